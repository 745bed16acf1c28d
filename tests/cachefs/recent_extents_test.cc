#include "cachefs/cache/recent_extents.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <string>
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

// Of four extents one is for what is under way.
TEST(RecentExtentsTest, WhoReadsInOrderIsNotLeftFarBehind) {
  DeadlineWatch deadlines;
  RecentExtents recent(4, kNeverIdle, deadlines, kPatient);
  for (int extent = 0; extent < 3; ++extent) recent.Keep("a", extent, Filled(recent, 1));
  EXPECT_FALSE(recent.ReaderIsFarBehind("a", 100));  // nobody reads
  recent.Find("a", 1);
  EXPECT_FALSE(recent.ReaderIsFarBehind("a", 100));  // nor does who looks at a piece
  // The answers hold for a while after somebody read an extent to its end: asked again where this
  // machine took longer.
  const auto after_reading = [&recent](int64_t extent, const std::string& id, int64_t next) {
    while (true) {
      const auto begin = std::chrono::steady_clock::now();
      recent.Find("a", extent, true);
      const bool behind = recent.ReaderIsFarBehind(id, next);
      if (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(50)) return behind;
    }
  };
  EXPECT_FALSE(after_reading(0, "a", 3));
  EXPECT_TRUE(after_reading(0, "a", 4));
  EXPECT_FALSE(after_reading(1, "a", 4));
  // Of another replica as much as there is room for: two of three extents wait to be read.
  recent.Keep("b", 0, Filled(recent, 1));
  EXPECT_FALSE(after_reading(1, "b", 1));
  recent.Keep("b", 1, Filled(recent, 1));
  EXPECT_TRUE(after_reading(1, "b", 2));
  std::this_thread::sleep_for(std::chrono::milliseconds(110));
  EXPECT_FALSE(recent.ReaderIsFarBehind("a", 100));  // he has stopped
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
