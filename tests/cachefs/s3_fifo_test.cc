#include "cachefs/cache/s3_fifo.h"

#include <gtest/gtest.h>

namespace penstock::cachefs {
namespace {

bool Any(const std::string&) { return true; }

TEST(S3Fifo, EvictsUnusedKeysInOrder) {
  S3Fifo fifo;
  fifo.Insert("a", 10);
  fifo.Insert("b", 20);
  fifo.Insert("c", 30);
  EXPECT_EQ(fifo.bytes(), 60U);
  EXPECT_EQ(fifo.Evict(Any), "a");
  EXPECT_EQ(fifo.Evict(Any), "b");
  EXPECT_EQ(fifo.bytes(), 30U);
  EXPECT_EQ(fifo.Evict(Any), "c");
  EXPECT_EQ(fifo.Evict(Any), std::nullopt);
  EXPECT_EQ(fifo.bytes(), 0U);
}

TEST(S3Fifo, KeysUsedAgainOutliveAScan) {
  S3Fifo fifo;
  fifo.Insert("hot", 10);
  fifo.Touch("hot");
  fifo.Touch("hot");
  // A scan of many keys through a cache of ten.
  for (int i = 0; i < 100; ++i) {
    fifo.Insert("scan" + std::to_string(i), 10);
    fifo.Touch("scan" + std::to_string(i));
    while (fifo.bytes() > 100) ASSERT_NE(fifo.Evict(Any), "hot");
  }
  EXPECT_TRUE(fifo.Contains("hot"));
}

TEST(S3Fifo, GhostsReturnToTheMainQueue) {
  S3Fifo fifo;
  fifo.Insert("back", 10);
  EXPECT_EQ(fifo.Evict(Any), "back");
  fifo.Insert("back", 10);  // remembered: goes to the main queue
  fifo.Insert("new", 10);
  EXPECT_EQ(fifo.Evict(Any), "new");
  EXPECT_TRUE(fifo.Contains("back"));
}

TEST(S3Fifo, KeysThatMayNotGoStay) {
  S3Fifo fifo;
  fifo.Insert("held", 10);
  fifo.Insert("free", 10);
  const auto not_held = [](const std::string& key) { return key != "held"; };
  EXPECT_EQ(fifo.Evict(not_held), "free");
  EXPECT_EQ(fifo.Evict(not_held), std::nullopt);
  EXPECT_TRUE(fifo.Contains("held"));
  EXPECT_EQ(fifo.Evict(Any), "held");
}

TEST(S3Fifo, UsedKeysGoInTheEnd) {
  S3Fifo fifo;
  for (const char* const key : {"a", "b"}) {
    fifo.Insert(key, 10);
    for (int i = 0; i < 9; ++i) fifo.Touch(key);
  }
  EXPECT_TRUE(fifo.Evict(Any).has_value());
  EXPECT_TRUE(fifo.Evict(Any).has_value());
  EXPECT_EQ(fifo.size(), 0U);
}

TEST(S3Fifo, SizesFollow) {
  S3Fifo fifo;
  fifo.Insert("a", 10);
  fifo.Resize("a", 25);
  fifo.Insert("a", 30);
  EXPECT_EQ(fifo.bytes(), 30U);
  EXPECT_EQ(fifo.size(), 1U);
  EXPECT_EQ(fifo.BytesOf("a"), 30U);
  fifo.Remove("a");
  EXPECT_EQ(fifo.bytes(), 0U);
  fifo.Remove("a");
  fifo.Resize("a", 5);
  fifo.Touch("a");
  EXPECT_EQ(fifo.size(), 0U);
}

}  // namespace
}  // namespace penstock::cachefs
