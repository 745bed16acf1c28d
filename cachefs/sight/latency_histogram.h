// LatencyHistogram: how long something took, counted in buckets of about a tenth of a decade, from
// 10 microseconds to 1000 seconds. Recording is one search over 80 numbers and a few relaxed atomic
// additions: no locks, no allocation. Thread-safe.

#ifndef PENSTOCK_CACHEFS_SIGHT_LATENCY_HISTOGRAM_H_
#define PENSTOCK_CACHEFS_SIGHT_LATENCY_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock::cachefs {

inline constexpr int kLatencyDecades = 8;
inline constexpr std::array<int64_t, 10> kLatencySteps{10, 12, 15, 20, 25, 30, 40, 50, 60, 80};
// The upper bounds of the buckets in nanoseconds, inclusive; one more bucket takes what is longer.
inline constexpr auto kLatencyBounds = [] {
  std::array<int64_t, kLatencyDecades * kLatencySteps.size()> bounds{};
  int64_t scale = 1000;
  for (size_t decade = 0; decade < kLatencyDecades; ++decade) {
    for (size_t step = 0; step < kLatencySteps.size(); ++step) {
      bounds[decade * kLatencySteps.size() + step] = kLatencySteps[step] * scale;
    }
    scale *= 10;
  }
  return bounds;
}();

struct LatencySnapshot {
  std::array<uint64_t, kLatencyBounds.size() + 1> buckets{};
  uint64_t count = 0;  // the sum of the buckets
  double sum_seconds = 0;
  double max_seconds = 0;

  // The time that `part` (0 to 1) of all stayed below, interpolated within its bucket; 0 where
  // nothing was recorded.
  double Quantile(double part) const;
  // How many took at most `bound` nanoseconds; `bound` is one of kLatencyBounds.
  uint64_t CountUpTo(int64_t bound) const;
};

class LatencyHistogram {
 public:
  void Record(std::chrono::nanoseconds duration);
  // Consistent in itself to within the recordings that happen meanwhile.
  LatencySnapshot Snapshot() const;

 private:
  std::array<std::atomic<uint64_t>, kLatencyBounds.size() + 1> buckets_{};
  std::atomic<int64_t> sum_nanoseconds_{0};
  std::atomic<int64_t> max_nanoseconds_{0};
};

// Records the time between its construction and its destruction.
class LatencyTimer {
 public:
  explicit LatencyTimer(LatencyHistogram& histogram) : histogram_(histogram) {}
  ~LatencyTimer() { histogram_.Record(std::chrono::steady_clock::now() - begin_); }
  LatencyTimer(const LatencyTimer&) = delete;
  LatencyTimer& operator=(const LatencyTimer&) = delete;

 private:
  LatencyHistogram& histogram_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_LATENCY_HISTOGRAM_H_
