// Radial integration against a plain loop over rings and sectors.

#include "penstock/reader/radial.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "tests/reader/in_memory_pass.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

// -1: in no bin.
int64_t BinOf(const PolarGrid& grid, double outer, double row, double column) {
  const double dy = row - grid.centre_row;
  const double dx = column - grid.centre_column;
  const double distance = std::sqrt(dy * dy + dx * dx);
  for (int64_t ring = 0; ring < grid.rings; ++ring) {
    const double width = (outer - grid.inner) / static_cast<double>(grid.rings);
    if (distance < grid.inner + static_cast<double>(ring) * width ||
        distance >= grid.inner + static_cast<double>(ring + 1) * width) {
      continue;
    }
    double angle = std::atan2(dy, dx) * 180 / std::numbers::pi;
    if (angle < 0) angle += 360;
    for (int64_t sector = 0; sector < grid.sectors; ++sector) {
      if (angle < 360.0 * static_cast<double>(sector + 1) / static_cast<double>(grid.sectors)) {
        return sector * grid.rings + ring;
      }
    }
  }
  return -1;
}

// The centre is off every symmetry, so that no pixel lies on a bound.
constexpr double kRow = 17.3137, kColumn = 12.8171;

template <typename Pixel>
void Compare(const Frames<Pixel>& frames, const PolarGrid& grid, const PassCut& cut,
             const std::optional<Mask>& selection = {}) {
  auto radial = RadialReduction::Create(grid, selection);
  ASSERT_TRUE(radial.ok());
  ASSERT_TRUE(RunInMemory(**radial, frames.shape, frames.data, frames.valid, cut).ok());
  const auto bins = static_cast<size_t>(grid.rings * grid.sectors);
  const ResultArray& sums = (*radial)->sums();
  const ResultArray means = (*radial)->Means();
  std::vector<int64_t> shape = {5, 7};
  if (grid.sectors > 1) shape.push_back(grid.sectors);
  shape.push_back(grid.rings);
  ASSERT_EQ(sums.shape, shape);
  ASSERT_EQ(sums.is_integer(), std::is_integral_v<Pixel>);
  const double outer = grid.outer > 0 ? grid.outer : 1e-9 + std::hypot(36 - kRow, 28 - kColumn);
  std::vector<int64_t> counts(bins);
  for (size_t f = 0; f < frames.count(); ++f) {
    std::vector<double> expected(bins), magnitude(bins);
    for (size_t p = 0; p < frames.pixels(); ++p) {
      const size_t row = p / 29;
      const size_t column = p % 29;
      const int64_t bin = BinOf(grid, outer, static_cast<double>(row), static_cast<double>(column));
      if (bin < 0 || (selection && selection->weights[p] == 0)) continue;
      expected[static_cast<size_t>(bin)] += static_cast<double>(frames.At(f, p));
      magnitude[static_cast<size_t>(bin)] += std::abs(static_cast<double>(frames.At(f, p)));
      if (f == 0) ++counts[static_cast<size_t>(bin)];
    }
    for (size_t b = 0; b < bins; ++b) {
      const double found = sums.AsDoubles(f * bins + b, 1)[0];
      if (frames.valid[f] == 0) {
        ASSERT_TRUE(std::is_integral_v<Pixel> ? found == 0 : std::isnan(found));
        continue;
      }
      const double tolerance = std::is_same_v<Pixel, float> ? 2e-7 * magnitude[b] : 0;
      ASSERT_NEAR(found, expected[b], tolerance) << "frame " << f << " bin " << b;
      if (counts[b] == 0) {
        ASSERT_TRUE(std::isnan(means.doubles()[f * bins + b]));
      } else {
        ASSERT_EQ(means.doubles()[f * bins + b], found / static_cast<double>(counts[b]));
      }
    }
  }
  EXPECT_EQ((*radial)->PixelCounts().integers(), counts);
}

template <typename Pixel>
class RadialTest : public testing::Test {};
using Pixels = testing::Types<uint8_t, uint16_t, uint32_t, int8_t, int16_t, int32_t, float, double>;
TYPED_TEST_SUITE(RadialTest, Pixels);

TYPED_TEST(RadialTest, EqualsAPlainLoop) {
  const auto frames = MakeFrames<TypeParam>();
  std::vector<PassCut> cuts = kCuts;
  cuts.push_back({8, 256, 24});
  for (const PassCut& cut : cuts) {
    Compare(frames, {kRow, kColumn, 0, 0, 32, 1}, cut);
    Compare(frames, {kRow, kColumn, 2.5, 11.3, 7, 5}, cut);
    Compare(frames, {kRow, kColumn, 0, 12.1, 300, 1}, cut);
    Compare(frames, {kRow, kColumn, 0, 0, 1, 1}, cut, DiskMask(frames.shape.signal, 15, 15, 9));
  }
}

TEST(RadialLimitTest, OneBinOfManyPixelsIsExact) {
  // More pixels of the largest value in one bin than 32 bits hold.
  Frames<uint16_t> frames;
  frames.shape = {{1, 8, false}, {300, 400}, ElementType::kUint16};
  frames.data.assign(8 * 300 * 400, 65535);
  frames.valid.assign(8, 1);
  auto radial = RadialReduction::Create({150, 200, 0, 0, 1, 1});
  ASSERT_TRUE(radial.ok());
  ASSERT_TRUE(RunInMemory(**radial, frames.shape, frames.data, frames.valid, {}).ok());
  for (int f = 0; f < 8; ++f) EXPECT_EQ((*radial)->sums().integers()[f], int64_t{65535} * 120000);
  EXPECT_EQ((*radial)->PixelCounts().integers()[0], 120000);
}

TEST(RadialLimitTest, ManyFramesOfBytesAreExact) {
  constexpr int64_t kSide = 160;
  constexpr int64_t kFrames = 37;  // twice sixteen, and five
  const DatasetShape shape{{1, kFrames, false}, {kSide, kSide}, ElementType::kUint8};
  std::vector<uint8_t> data(static_cast<size_t>(shape.payload_bytes()));
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(255 - i % 251 % 16);
  const std::vector<uint8_t> valid(kFrames, 1);
  const PolarGrid grid{kRow, kColumn, 0, 150, 60, 1};
  for (const PassCut& cut : {PassCut{}, PassCut{16, 12800, 1 << 20}, PassCut{37, 1 << 20, 20}}) {
    auto radial = RadialReduction::Create(grid);
    ASSERT_TRUE(radial.ok());
    ASSERT_TRUE(RunInMemory(**radial, shape, data, valid, cut).ok());
    std::vector<int64_t> expected(kFrames * 60);
    for (size_t i = 0; i < data.size(); ++i) {
      const size_t p = i % (kSide * kSide);
      const size_t row = p / kSide;
      const size_t column = p % kSide;
      const int64_t bin = BinOf(grid, 150, static_cast<double>(row), static_cast<double>(column));
      if (bin >= 0) expected[i / (kSide * kSide) * 60 + static_cast<size_t>(bin)] += data[i];
    }
    EXPECT_EQ((*radial)->sums().integers(), expected);
  }
}

TEST(RadialLimitTest, RadiiAreTheMiddlesOfTheRings) {
  auto radial = RadialReduction::Create({3, 3, 1, 5, 4, 1});
  ASSERT_TRUE(radial.ok());
  PassPlan plan;
  plan.shape = {{1, 1, false}, {8, 8}, ElementType::kUint8};
  plan.partition_frames = 1;
  ASSERT_TRUE((*radial)->Begin(plan).ok());
  EXPECT_EQ((*radial)->Radii().doubles(), (std::vector<double>{1.5, 2.5, 3.5, 4.5}));
}

TEST(RadialLimitTest, MarkedPixelsAreInNoBin) {
  auto radial = RadialReduction::Create({3, 3, 0, 0, 2, 1});
  ASSERT_TRUE(radial.ok());
  PassPlan plan;
  plan.shape = {{1, 1, false}, {8, 8}, ElementType::kUint8};
  plan.partition_frames = 1;
  auto good = std::make_shared<std::vector<uint8_t>>(64, uint8_t{1});
  (*good)[0] = (*good)[63] = 0;
  plan.good_pixels = good;
  ASSERT_TRUE((*radial)->Begin(plan).ok());
  const ResultArray counts = (*radial)->PixelCounts();
  EXPECT_EQ(counts.integers()[0] + counts.integers()[1], 62);
}

TEST(RadialLimitTest, WhatIsNoGridIsRefused) {
  for (const PolarGrid& grid :
       {PolarGrid{0, 0, 5, 5, 10, 1}, PolarGrid{0, 0, 5, 4, 10, 1}, PolarGrid{0, 0, -1, 4, 10, 1},
        PolarGrid{NAN, 0, 0, 4, 10, 1}, PolarGrid{0, 0, 0, INFINITY, 10, 1},
        PolarGrid{0, 0, 0, 4, 0, 1}, PolarGrid{0, 0, 0, 4, 10, 0},
        PolarGrid{0, 0, 0, 4, int64_t{1} << 62, 4}}) {
    const auto radial = RadialReduction::Create(grid);
    ASSERT_FALSE(radial.ok());
    EXPECT_EQ(radial.error().kind(), ErrorKind::kInvalidArgument);
  }
}

}  // namespace
}  // namespace penstock
