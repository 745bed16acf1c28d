#include "cachefs/cache/extent_map.h"

#include <gtest/gtest.h>

namespace penstock::cachefs {
namespace {

TEST(ExtentMap, CountsWhatIsPresent) {
  ExtentMap map(3);
  EXPECT_EQ(map.present(), 0);
  map.Set(1, ExtentState::kPresent);
  map.Set(1, ExtentState::kPresent);
  EXPECT_EQ(map.present(), 1);
  EXPECT_FALSE(map.all_present());
  map.Set(0, ExtentState::kPresent);
  map.Set(2, ExtentState::kPresent);
  EXPECT_TRUE(map.all_present());
  map.Set(2, ExtentState::kAbsent);
  EXPECT_EQ(map.present(), 2);
}

TEST(ExtentMap, FindsTheNextThatIsMissing) {
  ExtentMap map(4);
  map.Set(1, ExtentState::kPresent);
  map.Set(2, ExtentState::kFetching);
  map.Set(3, ExtentState::kUnverified);
  EXPECT_EQ(map.fetching(), 1);
  EXPECT_EQ(map.NextMissing(0), 0);
  EXPECT_EQ(map.NextMissing(1), 3);
  map.Set(3, ExtentState::kPresent);
  EXPECT_EQ(map.NextMissing(1), std::nullopt);
  map.Set(0, ExtentState::kPresent);
  EXPECT_EQ(map.NextMissing(2), std::nullopt);
}

TEST(ExtentMap, HexRoundTrip) {
  ExtentMap map(10);
  for (const int64_t extent : {0, 3, 4, 9}) map.Set(extent, ExtentState::kPresent);
  map.Set(5, ExtentState::kFetching);
  EXPECT_EQ(map.ToHex(), "912");
  ExtentMap copy(10);
  ASSERT_TRUE(copy.FromHex("912"));
  EXPECT_EQ(copy.present(), 4);
  EXPECT_EQ(copy.Get(9), ExtentState::kPresent);
  EXPECT_EQ(copy.Get(5), ExtentState::kAbsent);
}

TEST(ExtentMap, RefusesHexThatDoesNotFit) {
  ExtentMap map(10);
  for (const char* const digits : {"", "91", "9120", "9g2", "914", "91F"}) {
    EXPECT_FALSE(map.FromHex(digits)) << digits;
    EXPECT_EQ(map.present(), 0);
  }
}

}  // namespace
}  // namespace penstock::cachefs
