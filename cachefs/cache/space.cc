// The part of BlockCache that keeps the limits: reserving, evicting.

#include <spdlog/spdlog.h>

#include <algorithm>

#include "cachefs/cache/block_cache.h"

namespace penstock::cachefs {

bool BlockCache::ReserveSpace(const BlockSource& source, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  while (true) {
    bool fits = eviction_.bytes() + bytes <= options_.limits.cache_bytes;
    if (fits && options_.limits.reserve_bytes > 0) {
      const auto disk = directory_.DiskSpace();
      fits = disk.ok() && disk->available_bytes >= options_.limits.reserve_bytes + bytes;
    }
    if (fits) break;
    if (!EvictOneLocked(source.id)) return false;
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

bool BlockCache::EvictOneLocked(const std::string& except) {
  const auto victim = eviction_.Evict([&](const std::string& id) {
    if (id == except) return false;
    const auto loaded = replicas_.find(id);
    return loaded == replicas_.end() || loaded->second->pins == 0;
  });
  if (!victim) return false;
  spdlog::debug("evicting replica {}", *victim);
  counters_.evicted_blocks++;
  ForgetLocked(*victim);
  return true;
}

bool BlockCache::Evict(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (!eviction_.Contains(id)) return false;
  const auto loaded = replicas_.find(id);
  if (loaded != replicas_.end() && loaded->second->pins > 0) return false;
  eviction_.Remove(id);
  counters_.evicted_blocks++;
  ForgetLocked(id);
  return true;
}

void BlockCache::ForgetLocked(const std::string& id) {
  replicas_.erase(id);
  holdings_.Erase(id);
  // First the record: a record without its file claims nothing after a crash either way, but a file
  // without its record is only verified again.
  if (const Status removed = store_.Remove(id); !removed.ok()) {
    spdlog::error("{}", removed.error().ToString());
  }
  if (const Status removed = directory_.Remove(id); !removed.ok()) {
    spdlog::error("{}", removed.error().ToString());
  }
}

}  // namespace penstock::cachefs
