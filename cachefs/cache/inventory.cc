// The part of BlockCache that finds out what an earlier daemon left.
//
// The records are read first, which takes a second for a million replicas; looking at as many files
// may take minutes, so that is done while the mount already serves. Nothing is handed out because a
// record says so: a replica that is used is held against its file first.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "cachefs/cache/block_cache.h"

namespace penstock::cachefs {

namespace {

constexpr uint64_t kDiskBlockBytes = 4096;

}  // namespace

void BlockCache::TakeInventory() {
  {
    const std::lock_guard lock(mutex_);
    const size_t expected = store_.EstimateSize();
    holdings_.Reserve(expected);
    eviction_.Reserve(expected);
    std::string id;
    std::string dataset;
    store_.ForEach([&](std::string_view key, const ReplicaOutline& record) {
      id.assign(key);
      dataset.assign(record.dataset);
      const int64_t present = ExtentMap::CountPresent(record.extents);
      if (record.block == kNoBlock) file_ids_[dataset] = id;
      const uint64_t bytes = record.complete
                                 ? record.file_bytes
                                 : std::min<uint64_t>(static_cast<uint64_t>(present) * kExtentBytes,
                                                      record.file_bytes);
      const uint64_t on_disk = (bytes + kDiskBlockBytes - 1) / kDiskBlockBytes * kDiskBlockBytes;
      holdings_.Add(id, dataset, record.block, present, record.complete, on_disk);
      eviction_.Insert(id, on_disk);
    });
  }
  inventory_worker_.Submit(WorkerPool::Priority::kBackground, [this] { CompareWithDirectory(); });
}

void BlockCache::CompareWithDirectory() {
  size_t without_record = 0;
  const Status listed = directory_.ForEachFolder([&](const std::vector<std::string>& ids) {
    std::vector<std::string> unknown;
    {
      const std::lock_guard lock(mutex_);
      std::ranges::copy_if(ids, std::back_inserter(unknown),
                           [this](const std::string& id) { return !holdings_.Confirm(id); });
    }
    for (const std::string& id : unknown) {
      // Asked here, so that the disk does not keep the lock waiting when it is asked there.
      if (!directory_.AllocatedBytes(id)) continue;
      const std::lock_guard lock(mutex_);
      if (inventory_stops_) return false;
      if (!holdings_.Confirm(id) && FindUnlistedLocked(id)) ++without_record;
    }
    return !inventory_stops_.load();
  });
  if (inventory_stops_) return;
  if (!listed.ok()) {
    // What could not be listed is not believed to be gone.
    spdlog::error("{}", listed.error().ToString());
  }
  size_t without_file = 0;
  std::vector<std::string> unconfirmed;
  if (listed.ok()) {
    const std::lock_guard lock(mutex_);
    unconfirmed = holdings_.Unconfirmed();
  }
  for (const std::string& id : unconfirmed) {
    if (directory_.AllocatedBytes(id)) continue;
    const std::lock_guard lock(mutex_);
    if (inventory_stops_) return;
    const Holding* const holding = holdings_.Find(id);
    if (holding == nullptr || holding->confirmed || directory_.AllocatedBytes(id)) continue;
    ForgetRecordLocked(id);
    ++without_file;
  }
  const std::lock_guard lock(mutex_);
  inventory_done_ = true;
  if (without_record + without_file > 0) {
    spdlog::info(
        "the cache directory holds {} replicas: {} without a record, {} records lost "
        "their file",
        holdings_.size(), without_record, without_file);
  }
}

bool BlockCache::FindUnlistedLocked(const std::string& id) {
  if (inventory_done_ || removing_.contains(id)) return false;
  // One that was evicted a moment ago, and is still to be removed, was no find.
  if (std::ranges::find(doomed_, id) != doomed_.end()) return false;
  const auto bytes = directory_.AllocatedBytes(id);
  if (!bytes) return false;
  holdings_.Set(id, /*dataset=*/"", kUnknownBlock, /*extents_present=*/0, /*complete=*/false,
                /*confirmed=*/true);
  SetBytesLocked(id, *bytes);
  return true;
}

void BlockCache::SetBytesLocked(const std::string& id, uint64_t bytes) {
  eviction_.Insert(id, bytes);
  holdings_.SetBytes(id, bytes);
}

void BlockCache::ForgetRecordLocked(const std::string& id) {
  eviction_.Remove(id);
  holdings_.Erase(id);
  if (const Status removed = store_.Remove(id); !removed.ok()) {
    spdlog::error("{}", removed.error().ToString());
  }
}

bool BlockCache::inventory_done() const {
  const std::lock_guard lock(mutex_);
  return inventory_done_;
}

}  // namespace penstock::cachefs
