// An upstream that measures how long another one takes.

#ifndef PENSTOCK_CACHEFS_SIGHT_TIMED_UPSTREAM_H_
#define PENSTOCK_CACHEFS_SIGHT_TIMED_UPSTREAM_H_

#include <memory>

#include "cachefs/sight/latency_histogram.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct UpstreamLatency {
  LatencyHistogram reads;     // Read, ReadUnchanged and UpstreamFile::Read
  LatencyHistogram metadata;  // everything else that asks the store
};

// Calls that fail are measured as well: a store that times out is slow. `latency` must outlive the
// upstream and the files that it opens.
std::shared_ptr<Upstream> MakeTimedUpstream(std::shared_ptr<Upstream> upstream,
                                            UpstreamLatency& latency);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_TIMED_UPSTREAM_H_
