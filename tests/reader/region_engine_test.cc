// Stacks of masks by their regions, against one multiplication per pixel and mask.

#include "reader/operations/region_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "penstock/reader/mask.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/region_runs.h"
#include "reader/operations/mask_regions.h"
#include "reader/operations/region_run_sums.h"
#include "reader/operations/region_sums.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

constexpr SignalShape kSignal{131, 97};  // no multiple of anything
constexpr size_t kPixels = size_t{131} * 97;
constexpr size_t kFrames = 21;

// Rings, disks over them, and a half plane that cuts both.
std::vector<Mask> Overlapping(double weight) {
  std::vector<Mask> masks;
  masks.reserve(12);
  for (int k = 0; k < 8; ++k) {
    masks.push_back(AnnulusMask(kSignal, 60.3, 50.1, 8.0 * k, 8.0 * (k + 1)));
  }
  for (int k = 0; k < 3; ++k) masks.push_back(DiskMask(kSignal, 40.0 + 9 * k, 31, 17.5));
  masks.push_back(FullMask(kSignal));
  for (size_t p = 0; p < kPixels; ++p) masks.back().weights[p] = p % 97 > 40 ? 1 : 0;
  for (size_t k = 0; k < masks.size(); ++k) {
    for (double& w : masks[k].weights) w *= weight * (k % 3 == 1 ? -2 : 1);
  }
  return masks;
}

std::vector<const Mask*> Pointers(const std::vector<Mask>& masks) {
  std::vector<const Mask*> pointers;
  pointers.reserve(masks.size());
  for (const Mask& mask : masks) pointers.push_back(&mask);
  return pointers;
}

template <typename Pixel>
std::vector<Pixel> RandomPixels() {
  std::vector<Pixel> pixels(kFrames * kPixels);
  std::mt19937_64 random(7);
  for (Pixel& pixel : pixels) {
    if constexpr (std::is_same_v<Pixel, float>) {
      pixel = std::uniform_real_distribution<float>(-3, 90)(random);
    } else {
      // Mostly the largest: where sums overflow, they do.
      const auto most = std::numeric_limits<Pixel>::max();
      pixel = random() % 4 == 0 ? static_cast<Pixel>(random()) : most;
    }
  }
  return pixels;
}

template <typename Pixel>
Tile TileOf(const std::vector<Pixel>& pixels, size_t first_pixel, size_t pixel_count,
            size_t frames) {
  Tile tile;
  tile.element_type = kTypeOf<Pixel>;
  tile.pixels = reinterpret_cast<const std::byte*>(pixels.data() + first_pixel);
  tile.frame_stride = kPixels * sizeof(Pixel);
  tile.frame_count = static_cast<int64_t>(frames);
  tile.first_pixel = static_cast<int64_t>(first_pixel);
  tile.pixel_count = static_cast<int64_t>(pixel_count);
  return tile;
}

struct Cut {
  size_t first_pixel;
  size_t pixel_count;
  size_t frames;
};
constexpr Cut kCuts[] = {{0, kPixels, kFrames}, {0, kPixels, 3}, {4096, 4096, 9}, {777, 5001, 5},
                         {1001, 9, 8},          {0, 31, 4},      {12000, 707, 4}};

std::unique_ptr<const MaskEngine> EngineOf(const std::vector<Mask>& masks, ElementType type,
                                           bool exact) {
  auto regions = FindFewRegions(Pointers(masks));
  if (!regions) return nullptr;
  return MakeRegionEngine(std::move(*regions), masks.size(), type, exact, {kFrames, 4096});
}

class RegionEngineTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { kernels::UseTarget(GetParam()); }
  void TearDown() override { kernels::UseTarget(""); }
};

template <typename Pixel, typename Total>
void CompareEngine(double weight, bool exact) {
  const std::vector<Mask> masks = Overlapping(weight);
  const auto pixels = RandomPixels<Pixel>();
  const auto engine = EngineOf(masks, kTypeOf<Pixel>, exact);
  ASSERT_NE(engine, nullptr);
  ASSERT_EQ(engine->is_exact(), (std::is_same_v<Total, int64_t>));
  for (const Cut& cut : kCuts) {
    std::vector<Total> totals(cut.frames * masks.size(), Total{5});
    engine->Multiply(TileOf(pixels, cut.first_pixel, cut.pixel_count, cut.frames), totals.data());
    for (size_t f = 0; f < cut.frames; ++f) {
      for (size_t k = 0; k < masks.size(); ++k) {
        long double expected = 5;
        long double magnitude = 1;
        for (size_t p = cut.first_pixel; p < cut.first_pixel + cut.pixel_count; ++p) {
          const long double term = static_cast<long double>(masks[k].weights[p]) *
                                   static_cast<long double>(pixels[f * kPixels + p]);
          expected += term;
          magnitude += std::abs(term);
        }
        const auto found = static_cast<long double>(totals[f * masks.size() + k]);
        if constexpr (std::is_same_v<Total, int64_t>) {
          ASSERT_EQ(found, expected) << f << " " << k;
        } else {
          ASSERT_NEAR(found, expected, magnitude * (std::is_same_v<Pixel, float> ? 1e-5 : 1e-12));
        }
      }
    }
  }
}

TEST_P(RegionEngineTest, EqualsOneMaskAfterTheOther) {
  CompareEngine<uint8_t, int64_t>(1, true);
  CompareEngine<uint16_t, int64_t>(3, true);
  CompareEngine<uint8_t, double>(0.37, false);
  CompareEngine<uint16_t, double>(0.37, false);
  CompareEngine<float, double>(1, false);
  CompareEngine<float, double>(-0.7, false);
}

// Both ways, whatever costs less.
template <typename Pixel>
void CompareSums(size_t rings) {
  std::vector<Mask> masks;
  const double width = 80.0 / static_cast<double>(rings);
  for (size_t k = 0; k < rings; ++k) {
    const auto at = static_cast<double>(k);
    masks.push_back(AnnulusMask(kSignal, 65.2, 48.7, at * width, (at + 1) * width));
  }
  const auto regions = MaskRegions::Find(Pointers(masks), 500);
  ASSERT_TRUE(regions.has_value());
  ASSERT_EQ(regions->count, rings);
  const auto sums = MakeRegionSums<Pixel>(*regions, {kFrames, 4096}, 1000000);
  ASSERT_NE(sums, nullptr);
  const auto pixels = RandomPixels<Pixel>();
  for (const Cut& cut : kCuts) {
    using Sum = typename RegionSums<Pixel>::Sum;
    std::vector<Sum> found(cut.frames * rings, Sum{0});
    sums->Add(TileOf(pixels, cut.first_pixel, cut.pixel_count, cut.frames), found.data());
    for (size_t f = 0; f < cut.frames; ++f) {
      std::vector<double> expected(rings);
      for (size_t p = cut.first_pixel; p < cut.first_pixel + cut.pixel_count; ++p) {
        const uint16_t region = regions->of_pixel[p];
        if (region != MaskRegions::kNone) {
          expected[region] += static_cast<double>(pixels[f * kPixels + p]);
        }
      }
      for (size_t r = 0; r < rings; ++r) {
        const double tolerance =
            std::is_same_v<Pixel, float> ? 1e-5 * (1 + std::abs(expected[r])) : 0;
        ASSERT_NEAR(static_cast<double>(found[f * rings + r]), expected[r], tolerance) << f << r;
      }
    }
  }
}

TEST_P(RegionEngineTest, FewAndManyRegionsAreAddedUp) {
  for (const size_t rings : {1U, 3U, 40U, 120U}) {
    CompareSums<uint8_t>(rings);
    CompareSums<uint16_t>(rings);
    CompareSums<float>(rings);
  }
}

// Region after region, in chunks that tiles of some sizes are multiples of.
template <typename Pixel>
void CompareRuns(size_t tile_pixels) {
  constexpr size_t kRings = 9;
  std::vector<Mask> masks;
  for (size_t k = 0; k < kRings; ++k) {
    const auto at = static_cast<double>(k);
    masks.push_back(AnnulusMask(kSignal, 65.2, 48.7, at * 7, at * 7 + 6));  // and gaps
  }
  const auto regions = MaskRegions::Find(Pointers(masks), 500);
  ASSERT_TRUE(regions.has_value());
  const auto sums = MakeRegionRunSums<Pixel>(*regions, tile_pixels, 1e9);
  ASSERT_EQ(sums != nullptr, kernels::RegionRunsAreQuick());
  if (sums == nullptr) return;
  const auto pixels = RandomPixels<Pixel>();
  std::vector<int64_t> found(kFrames * kRings), expected(kFrames * kRings);
  for (size_t first = 0; first < kPixels; first += tile_pixels) {
    const size_t count = std::min(tile_pixels, kPixels - first);
    sums->Add(TileOf(pixels, first, count, kFrames), found.data());
  }
  for (size_t f = 0; f < kFrames; ++f) {
    for (size_t p = 0; p < kPixels; ++p) {
      const uint16_t region = regions->of_pixel[p];
      if (region != MaskRegions::kNone) {
        expected[f * kRings + region] += pixels[f * kPixels + p];
      }
    }
  }
  EXPECT_EQ(found, expected) << tile_pixels;
}

TEST_P(RegionEngineTest, RunsOfRegionsAreExactInTilesOfAnySize) {
  for (const size_t tile_pixels : {256U, 512U, 3328U, 4096U, 8192U, 12800U, 100U}) {
    CompareRuns<uint8_t>(tile_pixels);
    CompareRuns<uint16_t>(tile_pixels);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RegionEngineTest,
                         ::testing::ValuesIn(kernels::AvailableTargets()),
                         [](const auto& info) { return info.param; });

TEST(MaskRegionsTest, AreTheDistinctWeights) {
  Mask one{"one", {2, 3}, {0, 1, 1, 0, 0, 2}};
  Mask two{"two", {2, 3}, {0, 0, 5, -0.0, 5, 0}};
  const std::vector<Mask> masks{one, two};
  const auto regions = MaskRegions::Find(Pointers(masks), 4);
  ASSERT_TRUE(regions.has_value());
  EXPECT_EQ(regions->count, 4U);
  EXPECT_EQ(regions->of_pixel,
            (std::vector<uint16_t>{MaskRegions::kNone, 0, 1, MaskRegions::kNone, 2, 3}));
  EXPECT_EQ(regions->weights, (std::vector<double>{1, 0, 1, 5, 0, 5, 2, 0}));
  EXPECT_FALSE(MaskRegions::Find(Pointers(masks), 3).has_value());
  one.weights[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(MaskRegions::Find(Pointers({one, two}), 4).has_value());
}

TEST(MaskRegionsTest, MasksOfManyWeightsAreNone) {
  std::vector<Mask> masks{FullMask(kSignal)};
  for (size_t p = 0; p < kPixels; ++p) masks[0].weights[p] = static_cast<double>(p);
  EXPECT_EQ(EngineOf(masks, ElementType::kUint16, true), nullptr);
  // And of one alone nothing is won.
  EXPECT_EQ(EngineOf({FullMask(kSignal)}, ElementType::kUint16, true), nullptr);
}

}  // namespace
}  // namespace penstock
