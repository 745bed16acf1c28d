#include "cachefs/sight/latency_histogram.h"

#include <algorithm>
#include <cmath>

namespace penstock::cachefs {

namespace {

constexpr double kNanosecondsPerSecond = 1e9;

double Seconds(int64_t nanoseconds) {
  return static_cast<double>(nanoseconds) / kNanosecondsPerSecond;
}

}  // namespace

double LatencySnapshot::Quantile(double part) const {
  if (count == 0) return 0;
  const double rank = std::clamp(part, 0.0, 1.0) * static_cast<double>(count);
  uint64_t below = 0;
  for (size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    const uint64_t in_bucket = buckets[bucket];
    if (in_bucket == 0 || static_cast<double>(below + in_bucket) < rank) {
      below += in_bucket;
      continue;
    }
    const double from = bucket == 0 ? 0 : Seconds(kLatencyBounds[bucket - 1]);
    const double to =
        bucket == kLatencyBounds.size() ? max_seconds : Seconds(kLatencyBounds[bucket]);
    const double share = (rank - static_cast<double>(below)) / static_cast<double>(in_bucket);
    return std::min(from + (to - from) * share, max_seconds);
  }
  return max_seconds;
}

uint64_t LatencySnapshot::CountUpTo(int64_t bound) const {
  uint64_t below = 0;
  for (size_t bucket = 0; bucket < kLatencyBounds.size() && kLatencyBounds[bucket] <= bound;
       ++bucket) {
    below += buckets[bucket];
  }
  return below;
}

void LatencyHistogram::Record(std::chrono::nanoseconds duration) {
  const int64_t nanoseconds = std::max<int64_t>(duration.count(), 0);
  const auto bound = std::lower_bound(kLatencyBounds.begin(), kLatencyBounds.end(), nanoseconds);
  buckets_[static_cast<size_t>(bound - kLatencyBounds.begin())].fetch_add(
      1, std::memory_order_relaxed);
  sum_nanoseconds_.fetch_add(nanoseconds, std::memory_order_relaxed);
  int64_t longest = max_nanoseconds_.load(std::memory_order_relaxed);
  while (nanoseconds > longest &&
         !max_nanoseconds_.compare_exchange_weak(longest, nanoseconds, std::memory_order_relaxed)) {
  }
}

LatencySnapshot LatencyHistogram::Snapshot() const {
  LatencySnapshot snapshot;
  for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    snapshot.buckets[bucket] = buckets_[bucket].load(std::memory_order_relaxed);
    snapshot.count += snapshot.buckets[bucket];
  }
  snapshot.sum_seconds = Seconds(sum_nanoseconds_.load(std::memory_order_relaxed));
  snapshot.max_seconds = Seconds(max_nanoseconds_.load(std::memory_order_relaxed));
  return snapshot;
}

}  // namespace penstock::cachefs
