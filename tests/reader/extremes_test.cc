// Minimum and maximum over frames, against a plain loop.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "penstock/reader/operations.h"
#include "tests/reader/in_memory_pass.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

template <typename Pixel>
class ExtremesTest : public testing::Test {};
using Pixels = testing::Types<uint8_t, uint16_t, uint32_t, int8_t, int16_t, int32_t, float, double>;
TYPED_TEST_SUITE(ExtremesTest, Pixels);

TYPED_TEST(ExtremesTest, EqualsAPlainLoop) {
  const auto frames = MakeFrames<TypeParam>();
  for (const PassCut& cut : kCuts) {
    ExtremesReduction extremes;
    ASSERT_TRUE(RunInMemory(extremes, frames.shape, frames.data, frames.valid, cut).ok());
    EXPECT_EQ(extremes.frames_seen(), 30);
    const ResultArray minimum = extremes.Minimum();
    const ResultArray maximum = extremes.Maximum();
    ASSERT_EQ(minimum.shape, (std::vector<int64_t>{37, 29}));
    for (size_t p = 0; p < frames.pixels(); ++p) {
      TypeParam smallest = std::numeric_limits<TypeParam>::max();
      TypeParam largest = std::numeric_limits<TypeParam>::lowest();
      for (size_t f = 0; f < frames.count(); ++f) {
        if (frames.valid[f] == 0) continue;
        smallest = std::min(smallest, frames.At(f, p));
        largest = std::max(largest, frames.At(f, p));
      }
      ASSERT_EQ(minimum.doubles()[p], static_cast<double>(smallest)) << p;
      ASSERT_EQ(maximum.doubles()[p], static_cast<double>(largest)) << p;
    }
  }
}

TEST(ExtremesOfFloatsTest, NotANumberIsPassedOverAndInfinityCounts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  // Pixels: nothing but NaN; NaN first; NaN last; infinities; nothing but plus infinity.
  const std::vector<float> data = {nan, nan, 2,   -infinity, infinity,  //
                                   nan, 1,   3,   5,         infinity,  //
                                   nan, -4,  nan, infinity,  infinity};
  const DatasetShape shape{{1, 3, false}, {1, 5}, ElementType::kFloat32};
  ExtremesReduction extremes;
  ASSERT_TRUE(RunInMemory(extremes, shape, data, {1, 1, 1}, {}).ok());
  const auto minimum = extremes.Minimum().doubles();
  const auto maximum = extremes.Maximum().doubles();
  EXPECT_TRUE(std::isnan(minimum[0]) && std::isnan(maximum[0]));
  EXPECT_EQ(minimum[1], -4);
  EXPECT_EQ(maximum[1], 1);
  EXPECT_EQ(minimum[2], 2);
  EXPECT_EQ(maximum[2], 3);
  EXPECT_EQ(minimum[3], -infinity);
  EXPECT_EQ(maximum[3], infinity);
  EXPECT_EQ(minimum[4], infinity);
  EXPECT_EQ(maximum[4], infinity);
}

TEST(ExtremesOfFloatsTest, WithoutFramesThereIsNoNumber) {
  const DatasetShape shape{{1, 1, false}, {1, 2}, ElementType::kUint16};
  ExtremesReduction extremes;
  ASSERT_TRUE(RunInMemory(extremes, shape, std::vector<uint16_t>{3, 4}, {0}, {}).ok());
  EXPECT_TRUE(std::isnan(extremes.Minimum().doubles()[0]));
  EXPECT_TRUE(std::isnan(extremes.Maximum().doubles()[1]));
}

}  // namespace
}  // namespace penstock
