#include "catalog/index/key_encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace penstock::catalog {
namespace {

TEST(KeyEncoding, NumbersSortLikeNumbers) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> rising{-kInfinity, -1e300, -2.5, -2,    -1e-300, 0,
                                   1e-300,     1,      1.5,  300e3, 1e300,   kInfinity};
  for (size_t i = 1; i < rising.size(); ++i) {
    EXPECT_LT(EncodeNumber(rising[i - 1]), EncodeNumber(rising[i])) << rising[i];
  }
  EXPECT_EQ(EncodeNumber(-0.0), EncodeNumber(0.0));
  EXPECT_EQ(EncodeNumber(1).size(), 8U);
}

TEST(KeyEncoding, PathsComeBack) {
  EXPECT_EQ(PathOfKey(EntryKey("2026/scan_1")), "2026/scan_1");
  EXPECT_EQ(PathOfKey(UnreadableKey("x")), "x");
  const std::string prefix = FactPrefix("a/voltage", "V");
  EXPECT_EQ(PathOfFactKey(FactKey("a/voltage", "V", 300e3, "2026/scan_1"), prefix), "2026/scan_1");
}

TEST(KeyEncoding, FactsOfOtherNamesAndUnitsAreOutsideOfThePrefix) {
  const std::string prefix = FactPrefix("a/voltage", "V");
  EXPECT_TRUE(FactKey("a/voltage", "V", 1, "x").starts_with(prefix));
  EXPECT_FALSE(FactKey("a/voltage", "VA", 1, "x").starts_with(prefix));
  EXPECT_FALSE(FactKey("a/voltage", "", 1, "x").starts_with(prefix));
  EXPECT_FALSE(FactKey("a/volt", "V", 1, "x").starts_with(prefix));
}

}  // namespace
}  // namespace penstock::catalog
