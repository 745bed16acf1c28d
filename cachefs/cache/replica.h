// Replica: the local copy of one block, as the daemon sees it. Internal to BlockCache; everything
// but `source` and `pins` is guarded by `mutex`.

#ifndef PENSTOCK_CACHEFS_CACHE_REPLICA_H_
#define PENSTOCK_CACHEFS_CACHE_REPLICA_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cachefs/cache/block_source.h"
#include "cachefs/cache/extent_map.h"
#include "cachefs/cache/worker_pool.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

// Called once with the verified bytes of the extent, or with the error (then the span is empty).
// Runs on a worker thread without locks held.
using ExtentWaiter = std::function<void(const Status&, std::span<const std::byte>)>;

struct Replica {
  explicit Replica(std::shared_ptr<const BlockSource> block_source)
      : source(std::move(block_source)),
        extents(source->extent_count()),
        written_to_the_end(source->extent_count()) {}

  // What the bytes of the extent must hash to; nothing where nobody has seen them yet.
  std::optional<uint64_t> ChecksumOf(int64_t extent) const {
    if (source->is_block()) return source->extent_checksum[static_cast<size_t>(extent)];
    const auto found = learned_checksums.find(extent);
    if (found == learned_checksums.end()) return std::nullopt;
    return found->second;
  }

  const std::shared_ptr<const BlockSource> source;
  // Guarded by the mutex of the cache: how many readers, leases and fetches hold the replica. One
  // that is held is not evicted.
  int pins = 0;
  bool loaded = true;  // guarded by the same: what the cache directory has of it was looked at

  std::mutex mutex;
  ExtentMap extents;
  // The extents that are known to have been written to their end once. Bytes that are wrong there
  // have been damaged; elsewhere a daemon may have been killed in the write.
  ExtentMap written_to_the_end;
  std::map<int64_t, uint64_t> learned_checksums;  // of an ordinary file, taken when it was fetched
  std::map<int64_t, std::vector<ExtentWaiter>> waiters;
  std::vector<std::function<void(const Status&)>> completion_waiters;
  // Shared, so that a read may go on while the replica changes over to a read-only descriptor.
  std::shared_ptr<const FileDescriptor> file;
  bool writable = false;  // `file` was opened for filling
  bool complete = false;  // every extent present, data and record on disk, sealed
  FileIdentity identity;  // of the file when it became complete
  // Seconds since 1970: all that is present was proved then or later. 0: nobody knows.
  int64_t verified_at = 0;
  int fill_chains = 0;  // background fetches that follow one another
  WorkerPool::Priority fill_priority = WorkerPool::Priority::kBackground;
  bool finishing = false;  // somebody is making it complete
  Status fill_failure;     // what went wrong last since the fill began
  bool refused = false;    // since then the disk did not take an extent that there was room for
  int64_t fill_next = 0;   // the first extent that the fill under way has not tried
};

// Everything but the device, which changes with the order in which disks are found at boot.
inline bool IsSameFile(const FileIdentity& a, const FileIdentity& b) {
  return a.inode == b.inode && a.size == b.size && a.mtime_ns == b.mtime_ns &&
         a.ctime_ns == b.ctime_ns;
}

// Keeps a replica from being evicted while any copy of it lives. Must not outlive the cache.
using ReplicaPin = std::shared_ptr<Replica>;

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_REPLICA_H_
