#include "cachefs/cache/parked_tasks.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>

namespace penstock::cachefs {
namespace {

TEST(ParkedTasksTest, EachComesOnce) {
  DeadlineWatch deadlines;
  ParkedTasks parked(deadlines);
  std::promise<void> last;
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    parked.Park(std::chrono::milliseconds(1), [&] {
      if (++runs == 3) last.set_value();
    });
  }
  last.get_future().get();
  parked.Drop();
  EXPECT_EQ(runs, 3);
}

TEST(ParkedTasksTest, WhatIsDroppedNeitherRunsNorStays) {
  DeadlineWatch deadlines;
  const auto held = std::make_shared<int>(0);
  {
    ParkedTasks parked(deadlines);
    parked.Park(std::chrono::milliseconds(20), [held] { ++*held; });
    parked.Park(std::chrono::hours(1), [held] { ++*held; });
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_EQ(held.use_count(), 1);
  // Deadlines come in their order: that of the dropped one has been by then.
  std::promise<void> later;
  deadlines.At(DeadlineWatch::Clock::now() + std::chrono::milliseconds(30),
               [&] { later.set_value(); });
  later.get_future().get();
  EXPECT_EQ(*held, 0);
}

TEST(ParkedTasksTest, NothingIsTakenAfterDrop) {
  DeadlineWatch deadlines;
  ParkedTasks parked(deadlines);
  parked.Drop();
  const auto held = std::make_shared<int>(0);
  parked.Park(std::chrono::milliseconds(0), [held] { ++*held; });
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace penstock::cachefs
