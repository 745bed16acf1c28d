#include "cachefs/cache/recent_extents.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "penstock/base/sole_owner.h"
#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kMostSpares = 8;

// A reader takes no longer from one extent to the next.
constexpr std::chrono::milliseconds kReads{100};

}  // namespace

Result<RecentExtents::Buffer> RecentExtents::TakeBuffer() {
  {
    const std::lock_guard lock(state_->mutex);
    // Memory that was in use already is worth more than fresh memory.
    auto& spares = state_->spares;
    const auto free = std::ranges::find_if(spares, IsSoleOwner<AlignedBuffer>);
    if (free != spares.end()) {
      Buffer buffer = std::move(*free);
      spares.erase(free);
      return buffer;
    }
  }
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer buffer, AlignedBuffer::Allocate(kExtentBytes));
  return std::make_shared<AlignedBuffer>(std::move(buffer));
}

void RecentExtents::Keep(const std::string& id, int64_t extent, Buffer buffer) {
  const auto now = DeadlineWatch::Clock::now();
  bool watch = false;
  {
    const std::lock_guard lock(state_->mutex);
    auto& entries = state_->entries;
    auto leaves = std::ranges::find_if(
        entries, [&](const Entry& entry) { return entry.extent == extent && entry.id == id; });
    if (leaves == entries.end() && entries.size() >= limit_) {
      leaves = std::ranges::find_if(entries, [&](const Entry& entry) {
        return entry.read_to_its_end || now - entry.kept >= awaited_;
      });
    }
    if (leaves != entries.end()) {
      SpareLocked(*state_, std::move(leaves->buffer));
      entries.erase(leaves);
    }
    if (entries.size() < limit_) {
      entries.push_back({.id = id, .extent = extent, .buffer = std::move(buffer), .kept = now});
    } else {
      SpareLocked(*state_, std::move(buffer));
    }
    state_->last_kept = now;
    watch = !std::exchange(state_->watched, true);
  }
  if (watch) Watch(state_, idle_, deadlines_);
}

bool RecentExtents::ReaderIsFarBehind(const std::string& id, int64_t next) const {
  const auto now = DeadlineWatch::Clock::now();
  // The rest is for what is under way already.
  const size_t most = limit_ * 3 / 4;
  const std::lock_guard lock(state_->mutex);
  if (now - state_->read_at > kReads) return false;
  if (state_->read_id == id) return next - state_->read_extent > static_cast<int64_t>(most);
  const auto awaited = std::ranges::count_if(state_->entries, [&](const Entry& entry) {
    return !entry.read_to_its_end && now - entry.kept < awaited_;
  });
  return static_cast<size_t>(awaited) >= most;
}

RecentExtents::Buffer RecentExtents::Find(const std::string& id, int64_t extent,
                                          bool reads_its_end) const {
  const std::lock_guard lock(state_->mutex);
  for (Entry& entry : state_->entries) {
    if (entry.extent != extent || entry.id != id) continue;
    if (reads_its_end) {
      entry.read_to_its_end = true;
      state_->read_id = id;
      state_->read_extent = extent;
      state_->read_at = DeadlineWatch::Clock::now();
    }
    return entry.buffer;
  }
  return nullptr;
}

void RecentExtents::SpareLocked(State& state, Buffer buffer) {
  if (state.spares.size() < kMostSpares) state.spares.push_back(std::move(buffer));
}

void RecentExtents::Watch(const std::shared_ptr<State>& state, std::chrono::milliseconds idle,
                          DeadlineWatch& deadlines) {
  deadlines.At(DeadlineWatch::Clock::now() + idle,
               [weak = std::weak_ptr<State>(state), idle, &deadlines] {
                 const auto still = weak.lock();
                 if (!still) return;
                 std::vector<Entry> entries;  // freed without the lock
                 std::vector<Buffer> spares;
                 bool ends = false;
                 {
                   const std::lock_guard lock(still->mutex);
                   ends = DeadlineWatch::Clock::now() - still->last_kept >= idle;
                   if (ends) {
                     entries.swap(still->entries);
                     spares.swap(still->spares);
                     still->watched = false;
                   }
                 }
                 if (!ends) Watch(still, idle, deadlines);
               });
}

}  // namespace penstock::cachefs
