// The tuner against simulated stores: every read takes a latency and its share of a common rate.

#include "cachefs/cache/fetch_tuner.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace penstock::cachefs {

namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kExtent = 4 << 20;

// `reads` at once give this many extents a second.
struct SimulatedStore {
  double latency = 0.05;            // seconds per read, whatever else goes on
  double extents_per_second = 1e9;  // all together
  int crowd = 1000;                 // more reads at once than this hinder one another
  double RateOf(int reads) const {
    const double rate = std::min(reads / latency, extents_per_second);
    return reads > crowd ? rate * crowd / reads : rate;
  }
};

class FetchTunerTest : public testing::Test {
 protected:
  // Goes on for so long with always more to do (or not); the extents that came.
  double Run(FetchTuner& tuner, const SimulatedStore& store, double seconds, bool waiting = true) {
    const auto end =
        now_ + std::chrono::duration_cast<FetchTuner::Time::duration>(Seconds(seconds));
    double extents = 0;
    while (now_ < end) {
      now_ += std::chrono::duration_cast<FetchTuner::Time::duration>(
          Seconds(1 / store.RateOf(tuner.limit())));
      tuner.Fetched(static_cast<uint64_t>(kExtent), waiting, now_);
      ++extents;
      lowest_ = std::min(lowest_, tuner.limit());
      highest_ = std::max(highest_, tuner.limit());
    }
    return extents;
  }

  FetchTuner::Time now_ = FetchTuner::Time() + std::chrono::hours(1);
  int lowest_ = 1000;
  int highest_ = 0;
};

TEST_F(FetchTunerTest, ClimbsToTheEndWhereOnlyTheLatencyLimits) {
  FetchTuner tuner(4, {});
  Run(tuner, {.latency = 0.05}, 20);
  EXPECT_EQ(tuner.limit(), 32);
}

TEST_F(FetchTunerTest, StopsWhereMoreBringsNothing) {
  // 200 extents a second are 10 reads of 50 ms.
  FetchTuner tuner(4, {});
  const SimulatedStore store{.latency = 0.05, .extents_per_second = 200};
  Run(tuner, store, 30);
  const double got = Run(tuner, store, 100);
  EXPECT_GE(got, 0.93 * 100 * 200);
  EXPECT_GE(tuner.limit(), 8);
  EXPECT_LE(tuner.limit(), 15);
}

TEST_F(FetchTunerTest, ComesDownWhereFewerDoAsWell) {
  FetchTuner tuner(16, {});
  const SimulatedStore store{.latency = 0.001, .extents_per_second = 300};  // one alone would do
  Run(tuner, store, 60);
  EXPECT_LE(tuner.limit(), 4);
  EXPECT_GE(lowest_, 2);
}

TEST_F(FetchTunerTest, LeavesACrowd) {
  FetchTuner tuner(32, {});
  const SimulatedStore store{.latency = 0.02, .crowd = 8};
  Run(tuner, store, 200);
  EXPECT_LE(tuner.limit(), 9);
  EXPECT_GE(tuner.limit(), 5);
}

TEST_F(FetchTunerTest, FollowsAStoreThatChanges) {
  FetchTuner tuner(4, {});
  Run(tuner, {.latency = 0.001, .extents_per_second = 100}, 60);
  EXPECT_LE(tuner.limit(), 6);
  Run(tuner, {.latency = 0.1}, 200);
  EXPECT_EQ(tuner.limit(), 32);
}

TEST_F(FetchTunerTest, LearnsNothingWhereNobodyWaits) {
  FetchTuner tuner(4, {});
  Run(tuner, {.latency = 0.05}, 60, /*waiting=*/false);
  EXPECT_EQ(tuner.limit(), 4);
}

TEST_F(FetchTunerTest, StaysWithinItsLimits) {
  FetchTuner tuner(100, {.least = 3, .most = 7});
  EXPECT_EQ(tuner.limit(), 7);
  Run(tuner, {.latency = 0.001, .extents_per_second = 100}, 100);
  Run(tuner, {.latency = 1}, 100);
  EXPECT_GE(lowest_, 3);
  EXPECT_LE(highest_, 7);
}

// A slow store: a window is as long as it takes to see something.
TEST_F(FetchTunerTest, ASlowStoreIsJudgedByEnoughReads) {
  FetchTuner tuner(4, {});
  Run(tuner, {.latency = 4}, 3);
  EXPECT_EQ(tuner.limit(), 4);
  Run(tuner, {.latency = 4}, 400);
  EXPECT_EQ(tuner.limit(), 32);
}

}  // namespace

}  // namespace penstock::cachefs
