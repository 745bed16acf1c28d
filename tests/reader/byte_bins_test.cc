// Sums of 8-bit pixels by bin for sixteen frames at once, on every instruction set, against plain
// loops.

#include "reader/operations/byte_bins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "reader/kernels/kernels.h"

namespace penstock {
namespace {

constexpr size_t kSide = 200;
constexpr size_t kPixels = kSide * kSide;
constexpr size_t kGap = 3;  // between frames, and between totals

// Rings around the centre; what is outside is in none.
std::vector<uint32_t> RingOfPixel(size_t rings) {
  std::vector<uint32_t> bins;
  for (size_t p = 0; p < kPixels; ++p) {
    const size_t row = p / kSide;
    const size_t column = p % kSide;
    const double y = static_cast<double>(row) - 99.5;
    const double x = static_cast<double>(column) - 99.5;
    const double ring = std::hypot(y, x) / 100 * static_cast<double>(rings);
    bins.push_back(ring < static_cast<double>(rings) ? static_cast<uint32_t>(ring) : UINT32_MAX);
  }
  return bins;
}

class ByteBinsTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { kernels::UseTarget(GetParam()); }
  void TearDown() override { kernels::UseTarget(""); }

  static void Check(const std::vector<uint32_t>& bin_of_pixel, size_t bins,
                    const std::vector<uint8_t>& pixels, size_t frames, size_t first, size_t count) {
    const auto made = ByteBins::Make(bin_of_pixel, bins, {32, kPixels});
    ASSERT_TRUE(made.has_value());
    const ByteBins& byte_bins = *made;
    const size_t stride = kPixels + kGap;
    std::vector<int64_t> totals(frames * (bins + kGap), 5);
    const size_t done = byte_bins.Add({pixels.data() + first, stride, frames, count}, first,
                                      totals.data(), bins + kGap);
    EXPECT_EQ(done, frames % 16 > 8 ? frames : frames / 16 * 16);
    std::vector<int64_t> expected(totals.size(), 5);
    for (size_t f = 0; f < done; ++f) {
      for (size_t p = first; p < first + count; ++p) {
        if (bin_of_pixel[p] >= bins) continue;
        expected[f * (bins + kGap) + bin_of_pixel[p]] += pixels[f * stride + p];
      }
    }
    EXPECT_EQ(totals, expected) << bins << " bins, " << frames << " frames, from " << first << " "
                                << count << " pixels";
  }

  static std::vector<uint8_t> RandomPixels(size_t frames) {
    std::vector<uint8_t> pixels(frames * (kPixels + kGap));
    std::mt19937 random(3);
    std::ranges::generate(pixels, [&random] { return static_cast<uint8_t>(random()); });
    return pixels;
  }
};

TEST_P(ByteBinsTest, EqualsAPlainLoop) {
  const std::vector<uint8_t> pixels = RandomPixels(35);
  for (const size_t bins : {size_t{1}, size_t{3}, size_t{64}, size_t{256}, size_t{3000}}) {
    const std::vector<uint32_t> rings = RingOfPixel(bins);
    Check(rings, bins, pixels, 35, 0, kPixels);
    Check(rings, bins, pixels, 16, 77, 20011);
    Check(rings, bins, pixels, 15, 0, kPixels);
    Check(rings, bins, pixels, 25, 4096, 5000);
    Check(rings, bins, pixels, 8, 0, kPixels);
  }
}

TEST_P(ByteBinsTest, NoSumOverflows) {
  // Of the largest pixels, in one bin, in bins that come by turns, and in none.
  const std::vector<uint8_t> pixels(16 * (kPixels + kGap), 255);
  Check(std::vector<uint32_t>(kPixels, 0), 1, pixels, 16, 0, kPixels);
  std::vector<uint32_t> turns(kPixels);
  for (size_t p = 0; p < kPixels; ++p) turns[p] = p % 3 == 0 ? UINT32_MAX : p % 7 == 0 ? 1 : 0;
  Check(turns, 2, pixels, 16, 0, kPixels);
}

TEST_P(ByteBinsTest, NothingIsLeftFromOneCallToTheNext) {
  const std::vector<uint8_t> pixels = RandomPixels(16);
  const ByteBins many = *ByteBins::Make(RingOfPixel(500), 500, {16, kPixels});
  const ByteBins few = *ByteBins::Make(RingOfPixel(7), 7, {16, kPixels});
  std::vector<int64_t> of_few(16 * 7);
  std::vector<int64_t> again(16 * 7);
  std::vector<int64_t> of_many(16 * 500);
  const kernels::FramePixels<uint8_t> all{pixels.data(), kPixels + kGap, 16, kPixels};
  few.Add(all, 0, of_few.data(), 7);
  many.Add(all, 0, of_many.data(), 500);
  few.Add(all, 0, again.data(), 7);
  EXPECT_EQ(of_few, again);
}

TEST(ByteBinsLimitTest, WhatIsNeverTakenIsNotMade) {
  const std::vector<uint32_t> rings = RingOfPixel(64);
  EXPECT_TRUE(ByteBins::Make(rings, 64, {16, kPixels}).has_value());
  EXPECT_FALSE(ByteBins::Make(rings, 64, {8, kPixels}).has_value());
  EXPECT_FALSE(ByteBins::Make(rings, 64, {16, 1024}).has_value());
  EXPECT_FALSE(ByteBins::Make(rings, size_t{1} << 24, {16, kPixels}).has_value());
}

TEST(ByteBinsLimitTest, SumsOfMorePixelsThan32BitsHoldAreForOthers) {
  const ByteBins bins = *ByteBins::Make(RingOfPixel(3), 3, {16, kPixels});
  EXPECT_FALSE(bins.IsWorth(100));
  EXPECT_TRUE(bins.IsWorth(size_t{1} << 24));
  EXPECT_FALSE(bins.IsWorth((size_t{1} << 24) + 1));
}

INSTANTIATE_TEST_SUITE_P(Targets, ByteBinsTest, testing::ValuesIn(kernels::AvailableTargets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace penstock
