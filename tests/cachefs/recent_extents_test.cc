#include "cachefs/cache/recent_extents.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <thread>

#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {
namespace {

constexpr std::chrono::hours kNeverIdle{1};
constexpr std::chrono::hours kPatient{1};

RecentExtents::Buffer Filled(RecentExtents& recent, int value) {
  auto buffer = recent.TakeBuffer();
  EXPECT_TRUE(buffer.ok());
  std::ranges::fill((*buffer)->span(), static_cast<std::byte>(value));
  return *buffer;
}

int ValueOf(const RecentExtents::Buffer& buffer) {
  return buffer ? static_cast<int>(buffer->span()[kExtentBytes - 1]) : -1;
}

TEST(RecentExtentsTest, FoundByReplicaAndExtent) {
  DeadlineWatch deadlines;
  const RecentExtents::Buffer none;
  RecentExtents recent(3, kNeverIdle, deadlines, kPatient);
  recent.Keep("a", 0, Filled(recent, 1));
  recent.Keep("a", 1, Filled(recent, 2));
  recent.Keep("b", 0, Filled(recent, 3));
  EXPECT_EQ(ValueOf(recent.Find("a", 0)), 1);
  EXPECT_EQ(ValueOf(recent.Find("a", 1)), 2);
  EXPECT_EQ(ValueOf(recent.Find("b", 0)), 3);
  EXPECT_EQ(recent.Find("b", 1), none);
  EXPECT_EQ(recent.Find("c", 0), none);
}

TEST(RecentExtentsTest, WhatWasReadToItsEndMakesRoom) {
  DeadlineWatch deadlines;
  RecentExtents recent(2, kNeverIdle, deadlines, kPatient);
  recent.Keep("a", 0, Filled(recent, 1));
  recent.Keep("a", 1, Filled(recent, 2));
  recent.Find("a", 1, true);
  recent.Keep("a", 2, Filled(recent, 3));
  EXPECT_EQ(ValueOf(recent.Find("a", 0)), 1);
  EXPECT_EQ(ValueOf(recent.Find("a", 1)), -1);
  EXPECT_EQ(ValueOf(recent.Find("a", 2)), 3);
}

TEST(RecentExtentsTest, FetchesThatRunAheadDoNotPushOutWhatIsReadNext) {
  DeadlineWatch deadlines;
  RecentExtents recent(2, kNeverIdle, deadlines, kPatient);
  for (int extent = 0; extent < 4; ++extent) recent.Keep("a", extent, Filled(recent, extent));
  EXPECT_EQ(ValueOf(recent.Find("a", 0)), 0);
  EXPECT_EQ(ValueOf(recent.Find("a", 1)), 1);
  EXPECT_EQ(ValueOf(recent.Find("a", 2)), -1);
}

TEST(RecentExtentsTest, NothingWaitsForEverForAReaderWhoDoesNotCome) {
  DeadlineWatch deadlines;
  RecentExtents recent(2, kNeverIdle, deadlines, std::chrono::milliseconds(0));
  for (int extent = 0; extent < 3; ++extent) recent.Keep("a", extent, Filled(recent, extent));
  EXPECT_EQ(ValueOf(recent.Find("a", 0)), -1);
  EXPECT_EQ(ValueOf(recent.Find("a", 1)), 1);
  EXPECT_EQ(ValueOf(recent.Find("a", 2)), 2);
}

TEST(RecentExtentsTest, AnExtentThatComesAgainIsThereOnce) {
  DeadlineWatch deadlines;
  RecentExtents recent(2, kNeverIdle, deadlines, kPatient);
  recent.Keep("a", 0, Filled(recent, 1));
  recent.Keep("b", 0, Filled(recent, 2));
  recent.Keep("a", 0, Filled(recent, 3));
  EXPECT_EQ(ValueOf(recent.Find("a", 0)), 3);
  EXPECT_EQ(ValueOf(recent.Find("b", 0)), 2);
}

TEST(RecentExtentsTest, MemoryThatSomebodyReadsIsNotWrittenTo) {
  DeadlineWatch deadlines;
  RecentExtents recent(1, kNeverIdle, deadlines, kPatient);
  recent.Keep("a", 0, Filled(recent, 1));
  const RecentExtents::Buffer reading = recent.Find("a", 0, true);
  for (int extent = 1; extent < 20; ++extent) {
    recent.Keep("b", extent, Filled(recent, 2));
    EXPECT_EQ(ValueOf(recent.Find("b", extent, true)), 2);
  }
  EXPECT_EQ(ValueOf(reading), 1);
}

TEST(RecentExtentsTest, MemoryIsUsedAgain) {
  DeadlineWatch deadlines;
  RecentExtents recent(1, kNeverIdle, deadlines, kPatient);
  recent.Keep("a", 0, Filled(recent, 1));
  const std::byte* const memory = recent.Find("a", 0, true)->data();
  recent.Keep("a", 1, Filled(recent, 2));
  EXPECT_EQ((*recent.TakeBuffer())->data(), memory);
}

TEST(RecentExtentsTest, NoneIsKeptWhereThereIsToBeNoMemoryForIt) {
  DeadlineWatch deadlines;
  RecentExtents recent(0, kNeverIdle, deadlines, kPatient);
  recent.Keep("a", 0, Filled(recent, 1));
  EXPECT_EQ(ValueOf(recent.Find("a", 0)), -1);
}

TEST(RecentExtentsTest, WhereNothingIsKeptForAWhileAllIsGivenBack) {
  DeadlineWatch deadlines;
  RecentExtents recent(2, std::chrono::milliseconds(1), deadlines);
  for (int round = 0; round < 3; ++round) {
    recent.Keep("a", 0, Filled(recent, 1));
    while (recent.Find("a", 0)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(RecentExtentsTest, TheDeadlineMayComeAfterTheEnd) {
  DeadlineWatch deadlines;
  std::weak_ptr<AlignedBuffer> memory;
  {
    RecentExtents recent(2, std::chrono::milliseconds(50), deadlines);
    recent.Keep("a", 0, Filled(recent, 1));
    memory = recent.Find("a", 0);
  }
  EXPECT_TRUE(memory.expired());  // not kept for the deadline
  // Deadlines come in their order: that of the other one has been by then.
  std::promise<void> later;
  deadlines.At(DeadlineWatch::Clock::now() + std::chrono::milliseconds(60),
               [&] { later.set_value(); });
  later.get_future().get();
}

}  // namespace
}  // namespace penstock::cachefs
