// What `penstock status` counts; cachefs/sight/counter_table.cc has their names. Relaxed atomics;
// thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_COUNTERS_H_
#define PENSTOCK_CACHEFS_CACHE_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace penstock::cachefs {

struct CacheCounters {
  std::atomic<uint64_t> hit_reads{0};  // served by the daemon from the cache
  std::atomic<uint64_t> hit_bytes{0};
  std::atomic<uint64_t> missed_reads{0};  // had to wait for the store
  std::atomic<uint64_t> missed_bytes{0};
  std::atomic<uint64_t> passthrough_opens{0};
  std::atomic<uint64_t> served_opens{0};
  std::atomic<uint64_t> plain_opens{0};  // of files that are not blocks
  std::atomic<uint64_t> leases_granted{0};
  std::atomic<uint64_t> fetched_bytes{0};          // verified bytes that came from the store
  std::atomic<uint64_t> peer_fetched_bytes{0};     // verified bytes that came from other nodes
  std::atomic<uint64_t> peer_served_bytes{0};      // given to other nodes
  std::atomic<uint64_t> peer_refusals{0};          // a node had no such extent to give
  std::atomic<uint64_t> peer_failures{0};          // a node could not be reached, or was silent
  std::atomic<uint64_t> peer_mismatches{0};        // extents of other nodes that did not match
  std::atomic<uint64_t> fetched_file_bytes{0};     // of files that are no blocks
  std::atomic<uint64_t> reverified_bytes{0};       // found in the cache directory and proved again
  std::atomic<uint64_t> verification_failures{0};  // extents of the store that did not match
  std::atomic<uint64_t> damaged_cache_extents{0};  // extents of the cache that did not match
  std::atomic<uint64_t> healed_cache_extents{0};   // fetched again in their place
  std::atomic<uint64_t> quarantined_replicas{0};   // not to be mended in their place
  std::atomic<uint64_t> upstream_errors{0};
  std::atomic<uint64_t> timeouts{0};
  std::atomic<uint64_t> evicted_blocks{0};
  std::atomic<uint64_t> evicted_files{0};
  std::atomic<uint64_t> uncached_extents{0};  // served without keeping: no room
  std::atomic<uint64_t> cache_errors{0};      // the cache disk failed
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_COUNTERS_H_
