#include "reader/partition_tasks.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace penstock {

namespace {

// States beyond one per worker, so that a fast worker need not wait for a slow one to merge.
constexpr int kSpareStates = 2;

}  // namespace

PartitionTasks::PartitionTasks(const PassInput& input, std::span<const PlannedPartition> partitions,
                               std::span<Reduction* const> reductions, const PassOptions& options)
    : input_(input), partitions_(partitions), reductions_(reductions), options_(options) {
  valid_.reserve(input.image_key.size());
  for (const int32_t key : input.image_key) valid_.push_back(key == 0 ? 1 : 0);
  for (size_t frame = 0; frame < options.selection.size(); ++frame) {
    if (options.selection[frame] == 0) valid_[frame] = 0;
  }
  for (const PlannedPartition& planned : partitions_) frames_wanted_ += planned.selected;
}

void PartitionTasks::Begin(int workers) {
  any_order_ = options_.fast_order || std::ranges::all_of(reductions_, &Reduction::IsOrderFree);
  order_.emplace(partitions_.size(), any_order_ && input_.nearest_first);
  for (int i = 0; i < workers + kSpareStates; ++i) {
    ReductionStates states;
    for (Reduction* const reduction : reductions_) states.push_back(reduction->MakeState());
    free_states_.push_back(std::move(states));
  }
  done_.assign(valid_.size(), 0);
  phases_.assign(partitions_.size(), Phase::kWaiting);
}

// In order the states come first: whoever has a partition has states for it, so that the one which
// is to be merged next always gets there. In any order nobody waits for a turn.
std::optional<PartitionTask> PartitionTasks::Take(PartitionReader& idle) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failure_ || all_taken_ || late_ || !free_states_.empty(); });
  if (failure_ || all_taken_ || late_ || MustStop()) return std::nullopt;
  ReductionStates states = std::move(free_states_.back());
  free_states_.pop_back();
  return TakeWith(std::move(states), idle, lock);
}

std::optional<PartitionTask> PartitionTasks::TakeAnother(PartitionReader& idle) {
  std::unique_lock lock(mutex_);
  if (failure_ || all_taken_ || late_ || MustStop() || free_states_.empty()) return std::nullopt;
  ReductionStates states = std::move(free_states_.back());
  free_states_.pop_back();
  return TakeWith(std::move(states), idle, lock);
}

bool PartitionTasks::MayBegin() {
  const std::lock_guard lock(mutex_);
  return !failure_ && !late_ && !MustStop();
}

std::optional<PartitionTask> PartitionTasks::TakeWith(ReductionStates states, PartitionReader& idle,
                                                      std::unique_lock<std::mutex>& lock) {
  std::optional<size_t> next;
  if (any_order_) {
    lock.unlock();
    next =
        order_->Take([&](size_t index) { return idle.LocalityOf(partitions_[index].partition); });
    lock.lock();
  } else {
    next = order_->Take(nullptr);
  }
  if (next) return MakeTask(*next, std::move(states));
  all_taken_ = true;
  changed_.notify_all();
  return std::nullopt;
}

// mutex_ is held.
PartitionTask PartitionTasks::MakeTask(size_t index, ReductionStates states) {
  const bool continues =
      index > 0 && partitions_[index].partition.block == partitions_[index - 1].partition.block;
  PartitionTask task{.index = index, .states = std::move(states)};
  task.alone = !options_.selection.empty() || !continues || phases_[index - 1] == Phase::kWaiting;
  task.follows = !any_order_ || !task.alone;
  phases_[index] = Phase::kTaken;
  return task;
}

// mutex_ is held.
bool PartitionTasks::MustStop() {
  if (options_.stop.stop_requested()) {
    failure_ = Error::Cancelled("the pass was stopped").In(input_.name);
  } else if (options_.deadline && std::chrono::steady_clock::now() >= *options_.deadline) {
    late_ = true;
  } else {
    return false;
  }
  changed_.notify_all();
  return true;
}

void PartitionTasks::Fail(Error error) {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(error);
  changed_.notify_all();
}

void PartitionTasks::NoteDevice(std::string note) {
  const std::lock_guard lock(mutex_);
  summary_.device_note = std::move(note);
}

// Merges it, and those that waited for it, when it is its turn.
void PartitionTasks::Deliver(PartitionTask task, const PartitionReader& frames,
                             int64_t extents_verified) {
  const std::lock_guard lock(mutex_);
  ++summary_.partitions;
  summary_.extents_verified += extents_verified;
  frames.CountPartition(summary_);
  if (task.on_device) ++summary_.partitions_on_device;
  const size_t index = task.index;
  auto next = finished_.emplace(index, std::move(task)).first;
  while (next != finished_.end() && MayBeMerged(next->second)) {
    const size_t merged = next->first;
    Merge(merged, std::move(next->second.states));
    finished_.erase(next);
    next = finished_.find(merged + 1);
  }
  changed_.notify_all();
}

bool PartitionTasks::MayBeMerged(const PartitionTask& task) const {
  return !task.follows || task.index == 0 || phases_[task.index - 1] == Phase::kMerged;
}

void PartitionTasks::Merge(size_t index, ReductionStates states) {
  const Partition& partition = partitions_[index].partition;
  phases_[index] = Phase::kMerged;
  for (size_t i = 0; i < reductions_.size(); ++i) {
    reductions_[i]->Merge(*states[i], partition);
  }
  free_states_.push_back(std::move(states));
  const auto first = static_cast<ptrdiff_t>(partition.frames.first);
  const int64_t frames = partition.frames.last - partition.frames.first;
  std::copy_n(valid_.begin() + first, frames, done_.begin() + first);
  const auto valid = std::count(done_.begin() + first, done_.begin() + first + frames, 1);
  const int64_t wanted = partitions_[index].selected;
  summary_.frames += wanted;
  summary_.frames_invalid += wanted - valid;
  summary_.bytes += static_cast<uint64_t>(wanted) * input_.shape.frame_bytes();
  ++merged_;
  if (options_.on_partition) {
    options_.on_partition({merged_, static_cast<int64_t>(partitions_.size()), summary_.frames,
                           frames_wanted_, summary_.bytes, partition, done_});
  }
}

Result<PassSummary> PartitionTasks::End() {
  if (failure_) return *std::move(failure_);
  summary_.complete = merged_ == static_cast<int64_t>(partitions_.size());
  return summary_;
}

}  // namespace penstock
