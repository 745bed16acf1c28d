#include "cachefs/sight/counter_table.h"

#include <array>

namespace penstock::cachefs {

namespace {

constexpr auto kCounters = std::to_array<CounterDescription>({
    {"hit_reads", "Reads of blocks that the daemon served from the cache",
     &CacheCounters::hit_reads},
    {"hit_bytes", "Bytes of blocks that the daemon served from the cache",
     &CacheCounters::hit_bytes},
    {"missed_reads", "Reads of blocks that had to wait for the store",
     &CacheCounters::missed_reads},
    {"missed_bytes", "Bytes of blocks that had to wait for the store",
     &CacheCounters::missed_bytes},
    {"passthrough_opens", "Opens of blocks that the kernel serves from the replica",
     &CacheCounters::passthrough_opens},
    {"served_opens", "Opens of blocks that the daemon serves", &CacheCounters::served_opens},
    {"plain_opens", "Opens of files that are not blocks", &CacheCounters::plain_opens},
    {"leases_granted", "Descriptors of blocks that were handed out",
     &CacheCounters::leases_granted},
    {"fetched_bytes", "Verified bytes that came from the store", &CacheCounters::fetched_bytes},
    {"peer_fetched_bytes", "Verified bytes that came from other nodes",
     &CacheCounters::peer_fetched_bytes},
    {"peer_served_bytes", "Bytes given to other nodes", &CacheCounters::peer_served_bytes},
    {"peer_refusals", "Requests that another node had nothing for", &CacheCounters::peer_refusals},
    {"peer_failures", "Requests to other nodes that failed or were not answered in time",
     &CacheCounters::peer_failures},
    {"peer_mismatches", "Extents of other nodes that did not match their checksum",
     &CacheCounters::peer_mismatches},
    {"fetched_file_bytes", "Bytes of files that are no blocks that came from the store",
     &CacheCounters::fetched_file_bytes},
    {"reverified_bytes", "Bytes found in the cache directory and proved again",
     &CacheCounters::reverified_bytes},
    {"verification_failures", "Extents of the store that did not match their checksum",
     &CacheCounters::verification_failures},
    {"damaged_cache_extents", "Extents of the cache that did not match their checksum",
     &CacheCounters::damaged_cache_extents},
    {"healed_cache_extents", "Damaged extents of the cache that were fetched again in their place",
     &CacheCounters::healed_cache_extents},
    {"quarantined_replicas", "Replicas that could not be mended in their place",
     &CacheCounters::quarantined_replicas},
    {"upstream_errors", "Calls to the store that failed", &CacheCounters::upstream_errors},
    {"timeouts", "Requests answered with an error because the store took too long",
     &CacheCounters::timeouts},
    {"evicted_blocks", "Replicas of blocks that were removed", &CacheCounters::evicted_blocks},
    {"evicted_files", "Replicas of other files that were removed", &CacheCounters::evicted_files},
    {"uncached_extents", "Extents served without being kept, for want of room or a sick disk",
     &CacheCounters::uncached_extents},
    {"cache_errors", "Failures of the cache disk", &CacheCounters::cache_errors},
});

// A counter that is not in the table would be seen by nobody.
static_assert(sizeof(CacheCounters) == kCounters.size() * sizeof(std::atomic<uint64_t>));

}  // namespace

std::span<const CounterDescription> CounterTable() { return kCounters; }

}  // namespace penstock::cachefs
