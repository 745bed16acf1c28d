#include "cachefs/cache/holding_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::cachefs {

namespace {

TEST(HoldingTable, KeepsTheSumsPerDataset) {
  HoldingTable table;
  table.Set("a", "one", 0, 3, /*complete=*/true, /*confirmed=*/false);
  table.SetBytes("a", 100);
  table.Set("b", "one", 1, 1, /*complete=*/false, /*confirmed=*/true);
  table.SetBytes("b", 40);
  table.Set("c", "two", 0, 2, /*complete=*/true, /*confirmed=*/true);
  ASSERT_EQ(table.datasets().size(), 2);
  EXPECT_EQ(table.datasets().at("one").complete_blocks, 1);
  EXPECT_EQ(table.datasets().at("one").partial_blocks, 1);
  EXPECT_EQ(table.datasets().at("one").bytes, 140);
  EXPECT_EQ(table.datasets().at("two").bytes, 0);

  table.Set("b", "one", 1, 3, /*complete=*/true, /*confirmed=*/true);
  EXPECT_EQ(table.datasets().at("one").complete_blocks, 2);
  EXPECT_EQ(table.datasets().at("one").partial_blocks, 0);
  EXPECT_EQ(table.datasets().at("one").bytes, 140);
  EXPECT_EQ(table.Find("b")->extents_present, 3);
}

TEST(HoldingTable, AddingCountsAsSettingDoes) {
  HoldingTable table;
  table.Add("a", "folder/one", 0, 3, /*complete=*/true, /*bytes=*/100);
  table.Add("b", "folder/one", 1, 1, /*complete=*/false, /*bytes=*/40);
  table.Add("c", "folder/file", kNoBlock, 1, /*complete=*/true, /*bytes=*/7);
  table.Add("a", "folder/one", 0, 3, /*complete=*/true, /*bytes=*/100);  // already there
  EXPECT_EQ(table.size(), 3U);
  EXPECT_EQ(table.datasets().at("folder/one").complete_blocks, 1);
  EXPECT_EQ(table.datasets().at("folder/one").partial_blocks, 1);
  EXPECT_EQ(table.datasets().at("folder/one").bytes, 140U);
  EXPECT_EQ(table.files().files, 1U);
  EXPECT_EQ(table.files().bytes, 7U);
  EXPECT_EQ(table.FolderBytes("folder"), 147U);
  EXPECT_FALSE(table.Find("a")->confirmed);
  table.Erase("a");
  table.Erase("b");
  table.Erase("c");
  EXPECT_TRUE(table.datasets().empty());
  EXPECT_EQ(table.FolderBytes("folder"), 0U);
  EXPECT_EQ(table.files().files, 0U);
}

TEST(HoldingTable, AHoldingThatGetsItsDatasetTakesItsBytesAlong) {
  HoldingTable table;
  table.Set("a", "", -1, 0, /*complete=*/false, /*confirmed=*/true);
  table.SetBytes("a", 7);
  table.Set("a", "one", 4, 2, /*complete=*/true, /*confirmed=*/true);
  ASSERT_EQ(table.datasets().size(), 1);
  EXPECT_EQ(table.datasets().at("one").bytes, 7);
  EXPECT_EQ(table.Find("a")->sums->first, "one");
}

TEST(HoldingTable, ADatasetGoesWithItsLastHolding) {
  HoldingTable table;
  table.Set("a", "one", 0, 1, /*complete=*/false, /*confirmed=*/true);
  table.Set("b", "one", 1, 1, /*complete=*/false, /*confirmed=*/true);
  table.Erase("a");
  EXPECT_EQ(table.datasets().at("one").partial_blocks, 1);
  table.Erase("b");
  table.Erase("b");
  EXPECT_TRUE(table.datasets().empty());
  EXPECT_EQ(table.Find("b"), nullptr);
  table.SetBytes("b", 5);  // of nothing
  EXPECT_EQ(table.size(), 0);
}

TEST(HoldingTable, NamesWhatWasNotSeen) {
  HoldingTable table;
  table.Set("a", "one", 0, 1, /*complete=*/true, /*confirmed=*/false);
  table.Set("b", "one", 1, 1, /*complete=*/true, /*confirmed=*/false);
  EXPECT_TRUE(table.Confirm("b"));
  EXPECT_FALSE(table.Confirm("c"));
  EXPECT_THAT(table.Unconfirmed(), testing::ElementsAre("a"));
}

}  // namespace

}  // namespace penstock::cachefs
