#include "cachefs/sight/busy_threads.h"

#include <gtest/gtest.h>

namespace penstock::cachefs {

namespace {

using Clock = BusyThreads::Clock;

TEST(BusyThreads, AreStuckOnceNoneIsFree) {
  BusyThreads threads;
  EXPECT_TRUE(threads.AnyFreeSince(Clock::now()));  // nobody yet
  BusyThreads::Thread& first = threads.Add();
  BusyThreads::Thread& second = threads.Add();
  const auto before = Clock::now();
  first.Begin();
  EXPECT_TRUE(threads.AnyFreeSince(Clock::now() + std::chrono::hours(1)));
  second.Begin();
  const auto after = Clock::now() + std::chrono::nanoseconds(1);
  EXPECT_TRUE(threads.AnyFreeSince(before));  // they have begun since
  EXPECT_FALSE(threads.AnyFreeSince(after));
  first.End();
  EXPECT_TRUE(threads.AnyFreeSince(after));
  first.Begin();
  EXPECT_TRUE(threads.AnyFreeSince(after - std::chrono::nanoseconds(1)));
}

}  // namespace

}  // namespace penstock::cachefs
