// The part of BlockCache that keeps the limits: reserving, evicting.

#include <spdlog/spdlog.h>

#include <algorithm>

#include "cachefs/cache/block_cache.h"

namespace penstock::cachefs {

namespace {

// How long nothing is looked for after everything was found to be in use or pinned.
constexpr std::chrono::seconds kEvictionPause{1};

}  // namespace

bool BlockCache::ReserveSpace(const BlockSource& source, uint64_t bytes) {
  std::unique_lock lock(mutex_);
  if (removing_.contains(source.id)) return false;
  const auto evict_one = [&](std::optional<std::string_view> from) {
    if (!EvictOneLocked(source.id, from)) return false;
    lock.unlock();
    RemoveDoomed();
    lock.lock();
    return true;
  };
  const std::string_view folder = FolderOf(source.dataset, source.block);
  if (options_.policy != nullptr) {
    const uint64_t most = options_.policy->QuotaOf(folder).hard_bytes;
    const auto fits = [&] { return holdings_.FolderBytes(folder) + bytes <= most; };
    while (!fits()) {
      if (!evict_one(folder)) return false;
    }
  }
  const CacheLimits& limits = options_.limits;
  const auto fits = [&] {
    if (eviction_.bytes() + bytes > limits.cache_bytes) return false;
    if (limits.reserve_bytes == 0 && limits.reserve_files == 0) return true;
    const auto disk = directory_.DiskSpace();
    if (!disk.ok() || disk->available_bytes < limits.reserve_bytes + bytes) return false;
    // Some file systems do not count their files.
    return disk->total_files == 0 || disk->available_files > limits.reserve_files;
  };
  while (!fits()) {
    if (!evict_one(std::nullopt)) return false;
  }
  // An extent that is fetched a second time takes no more room than the file has.
  const uint64_t held = eviction_.BytesOf(source.id);
  if (holdings_.Find(source.id) == nullptr) {
    holdings_.Set(source.id, source.dataset, source.block, /*extents_present=*/0,
                  /*complete=*/false, /*confirmed=*/true);
  }
  SetBytesLocked(source.id, std::max(held, std::min(held + bytes, source.file_bytes)));
  return true;
}

void BlockCache::ReturnSpace(const BlockSource& source, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const uint64_t held = eviction_.BytesOf(source.id);
  if (eviction_.Contains(source.id)) SetBytesLocked(source.id, held > bytes ? held - bytes : 0);
}

bool BlockCache::EvictOneLocked(const std::string& except, std::optional<std::string_view> folder) {
  const auto now = std::chrono::steady_clock::now();
  if (!folder && now < nothing_to_evict_until_) return false;
  const CachePolicy* const policy = options_.policy;
  const auto may_go = [&](const std::string& id) {
    if (id == except) return false;
    const auto loaded = replicas_.find(id);
    if (loaded != replicas_.end() && loaded->second->pins > 0) return false;
    const Holding* const holding = holdings_.Find(id);
    if (holding == nullptr) return true;
    if (folder && FolderOf(holding->dataset(), holding->block) != *folder) return false;
    return policy == nullptr || !policy->IsKept(holding->dataset(), holding->block);
  };
  std::optional<std::string> victim;
  if (!folder && policy != nullptr) {
    // Those who have more than their share go first.
    for (const auto& [name, quota] : policy->Quotas()) {
      if (holdings_.FolderBytes(name) <= quota.soft_bytes) continue;
      if (EvictOneLocked(except, name)) return true;
    }
  }
  victim = eviction_.Evict(may_go);
  if (!victim) {
    if (!folder) nothing_to_evict_until_ = now + kEvictionPause;
    return false;
  }
  spdlog::debug("evicting replica {}", *victim);
  ForgetLocked(*victim);
  return true;
}

void BlockCache::PolicyChanged() {
  const std::lock_guard lock(mutex_);
  nothing_to_evict_until_ = {};
}

FolderSums BlockCache::FolderBytes() const {
  const std::lock_guard lock(mutex_);
  return holdings_.folders();
}

bool BlockCache::Evict(const std::string& id) {
  bool evicted = false;
  {
    const std::lock_guard lock(mutex_);
    evicted = EvictLocked(id);
  }
  RemoveDoomed();
  return evicted;
}

void BlockCache::RemoveDoomed() {
  std::vector<std::string> doomed;
  {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> wanted_again;
    for (std::string& id : doomed_) {
      if (eviction_.Contains(id)) continue;  // its file is being written over
      if (replicas_.contains(id)) {
        wanted_again.push_back(std::move(id));
        continue;
      }
      // Until it is gone nothing is written there.
      removing_.insert(id);
      doomed.push_back(std::move(id));
    }
    doomed_ = std::move(wanted_again);
  }
  for (const std::string& id : doomed) {
    {
      const DiskWait wait(options_.health);
      // First the record: a record without its file claims nothing after a crash either way, but a
      // file without its record is only verified again.
      if (const Status removed = store_.Remove(id); !removed.ok()) DiskFailed(removed.error());
      if (const Status removed = directory_.Remove(id); !removed.ok()) {
        DiskFailed(removed.error());
        spdlog::error("{}", removed.error().ToString());
      }
    }
    const std::lock_guard lock(mutex_);
    removing_.erase(id);
  }
}

void BlockCache::RemoveDoomedSoon() {
  disk_readers_.Submit(WorkerPool::Priority::kBackground, [this] { RemoveDoomed(); });
}

bool BlockCache::EvictLocked(const std::string& id) {
  if (!eviction_.Contains(id)) return false;
  const auto loaded = replicas_.find(id);
  if (loaded != replicas_.end() && loaded->second->pins > 0) return false;
  ForgetLocked(id);
  return true;
}

void BlockCache::ForgetLocked(const std::string& id) {
  replicas_.erase(id);
  if (const Holding* const holding = holdings_.Find(id)) {
    ++(holding->is_block() ? counters_.evicted_blocks : counters_.evicted_files);
    const auto file = file_ids_.find(holding->dataset());
    if (!holding->is_block() && file != file_ids_.end() && file->second == id) {
      file_ids_.erase(file);
    }
  }
  eviction_.Remove(id);
  holdings_.Erase(id);
  doomed_.push_back(id);
}

}  // namespace penstock::cachefs
