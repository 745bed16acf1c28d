#include "cachefs/sight/latency_histogram.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace penstock::cachefs {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(LatencyHistogram, IsEmptyAtFirst) {
  const LatencyHistogram histogram;
  const LatencySnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.count, 0);
  EXPECT_EQ(snapshot.Quantile(0.5), 0);
  EXPECT_EQ(snapshot.max_seconds, 0);
}

TEST(LatencyHistogram, BoundsGrowByLessThanAThird) {
  EXPECT_EQ(kLatencyBounds.front(), 10'000);  // 10 us
  EXPECT_EQ(kLatencyBounds.back(), int64_t{800} * 1'000'000'000);
  for (size_t bound = 1; bound < kLatencyBounds.size(); ++bound) {
    EXPECT_GT(kLatencyBounds[bound], kLatencyBounds[bound - 1]);
    EXPECT_LE(kLatencyBounds[bound] * 3, kLatencyBounds[bound - 1] * 4);
  }
}

TEST(LatencyHistogram, QuantilesLieInTheirBuckets) {
  LatencyHistogram histogram;
  for (int i = 0; i < 90; ++i) histogram.Record(milliseconds(1));
  for (int i = 0; i < 9; ++i) histogram.Record(milliseconds(90));
  histogram.Record(seconds(7));
  const LatencySnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.count, 100);
  EXPECT_NEAR(snapshot.sum_seconds, 0.09 + 0.81 + 7, 1e-9);
  EXPECT_GT(snapshot.Quantile(0.5), 0.0008);
  EXPECT_LE(snapshot.Quantile(0.5), 0.001);
  EXPECT_LE(snapshot.Quantile(0.9), 0.001);
  EXPECT_GT(snapshot.Quantile(0.95), 0.08);
  EXPECT_LE(snapshot.Quantile(0.95), 0.1);
  EXPECT_GT(snapshot.Quantile(0.995), 6);
  EXPECT_EQ(snapshot.Quantile(1), 7);
  EXPECT_EQ(snapshot.max_seconds, 7);
}

TEST(LatencyHistogram, CountsUpToItsBoundsInclusively) {
  LatencyHistogram histogram;
  histogram.Record(microseconds(-1));
  histogram.Record(microseconds(10));
  histogram.Record(microseconds(11));
  histogram.Record(microseconds(100));
  histogram.Record(seconds(3600));
  const LatencySnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.CountUpTo(10'000), 2);
  EXPECT_EQ(snapshot.CountUpTo(25'000), 3);
  EXPECT_EQ(snapshot.CountUpTo(100'000), 4);
  EXPECT_EQ(snapshot.CountUpTo(kLatencyBounds.back()), 4);
  EXPECT_EQ(snapshot.buckets.back(), 1);
  EXPECT_EQ(snapshot.Quantile(1), 3600);
}

TEST(LatencyHistogram, LosesNothingAmongThreads) {
  LatencyHistogram histogram;
  std::vector<std::thread> threads;
  for (int number = 1; number <= 4; ++number) {
    threads.emplace_back([&histogram, number] {
      for (int i = 0; i < 10'000; ++i) histogram.Record(milliseconds(number));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const LatencySnapshot snapshot = histogram.Snapshot();
  EXPECT_EQ(snapshot.count, 40'000);
  EXPECT_NEAR(snapshot.sum_seconds, 100, 1e-6);
  EXPECT_EQ(snapshot.max_seconds, 0.004);
}

}  // namespace

}  // namespace penstock::cachefs
