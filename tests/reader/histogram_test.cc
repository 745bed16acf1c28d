// Histograms against a plain search among the edges.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "penstock/reader/operations.h"
#include "tests/reader/in_memory_pass.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

struct Counted {
  std::vector<int64_t> bins;
  int64_t below = 0, above = 0, not_numbers = 0;
};

// numpy.histogram's rule.
template <typename Pixel>
Counted CountPlainly(const Frames<Pixel>& frames, const std::vector<double>& edges,
                     const std::vector<double>* weights) {
  Counted counted;
  counted.bins.resize(edges.size() - 1);
  for (size_t f = 0; f < frames.count(); ++f) {
    if (frames.valid[f] == 0) continue;
    for (size_t p = 0; p < frames.pixels(); ++p) {
      if (weights != nullptr && (*weights)[p] == 0) continue;
      const auto x = static_cast<double>(frames.At(f, p));
      if (std::isnan(x)) {
        ++counted.not_numbers;
      } else if (x < edges.front()) {
        ++counted.below;
      } else if (x > edges.back()) {
        ++counted.above;
      } else {
        const auto edge = std::upper_bound(edges.begin(), edges.end(), x);
        const auto bin =
            std::min<size_t>(static_cast<size_t>(edge - edges.begin()), edges.size() - 1);
        ++counted.bins[bin - 1];
      }
    }
  }
  return counted;
}

template <typename Pixel>
void Compare(const Frames<Pixel>& frames, const HistogramBins& bins,
             const std::optional<Mask>& region = {}) {
  for (const PassCut& cut : kCuts) {
    auto histogram = HistogramReduction::Create(bins, region);
    ASSERT_TRUE(histogram.ok());
    ASSERT_TRUE(RunInMemory(**histogram, frames.shape, frames.data, frames.valid, cut).ok());
    const Counted expected =
        CountPlainly(frames, (*histogram)->Edges().doubles(), region ? &region->weights : nullptr);
    EXPECT_EQ((*histogram)->BinCounts().integers(), expected.bins);
    EXPECT_EQ((*histogram)->below(), expected.below);
    EXPECT_EQ((*histogram)->above(), expected.above);
    EXPECT_EQ((*histogram)->not_numbers(), expected.not_numbers);
  }
}

template <typename Pixel>
class HistogramTest : public testing::Test {};
using Pixels = testing::Types<uint8_t, uint16_t, uint32_t, int8_t, int16_t, int32_t, float, double>;
TYPED_TEST_SUITE(HistogramTest, Pixels);

TYPED_TEST(HistogramTest, EqualsAPlainCount) {
  const auto frames = MakeFrames<TypeParam>();
  const auto [low, high] = std::minmax_element(frames.data.begin(), frames.data.end());
  const auto first = static_cast<double>(*low);
  const auto last = static_cast<double>(*high);
  Compare(frames, {1, first, last});
  Compare(frames, {256, first, last});
  Compare(frames, {10, first + (last - first) * 0.3, first + (last - first) * 0.7});
  Compare(frames, {5000, first, last});
  Compare(frames, {37, first, last}, AnnulusMask(frames.shape.signal, 18, 14, 3, 9.5));
}

// Counts of electrons: few different values, on the vectors' way.
TYPED_TEST(HistogramTest, EqualsAPlainCountOfFewValues) {
  auto frames = MakeFrames<TypeParam>();
  std::mt19937 random(7);
  std::poisson_distribution<int> counts(0.3);
  for (TypeParam& value : frames.data) value = static_cast<TypeParam>(counts(random) + 3);
  frames.data[5000] = static_cast<TypeParam>(120);
  Compare(frames, {8, 0, 8});
  Compare(frames, {16, 2.5, 10.5});
}

TEST(HistogramOfFloatsTest, BoundsBelongWhereNumpyPutsThem) {
  // Values on, just below and just above every bound of bins whose width no float has exactly.
  Frames<float> frames;
  const double low = -0.7;
  const double high = 1.3;
  const int bins = 30;
  std::vector<float> values;
  for (int b = 0; b <= bins; ++b) {
    const auto edge = static_cast<float>(low + b * (high - low) / bins);
    for (const float to : {-10.0f, 10.0f}) {
      float x = edge;
      for (int step = 0; step < 3; ++step, x = std::nextafter(x, to)) values.push_back(x);
    }
  }
  values.push_back(std::numeric_limits<float>::quiet_NaN());
  values.push_back(std::numeric_limits<float>::infinity());
  values.push_back(-std::numeric_limits<float>::infinity());
  values.push_back(std::numeric_limits<float>::max());
  while (values.size() % 64 != 0) values.push_back(0.31f);
  frames.shape = {{1, 1, false}, {1, static_cast<int64_t>(values.size())}, ElementType::kFloat32};
  frames.data = values;
  frames.valid = {1};
  Compare(frames, {bins, low, high});
}

TEST(HistogramOfFloatsTest, ALargeOffsetMovesNothing) {
  Frames<float> frames;
  std::mt19937 random(3);
  std::uniform_real_distribution<float> values(10000.2f, 10001.4f);
  frames.shape = {{1, 1, false}, {1, 20000}, ElementType::kFloat32};
  frames.data.resize(20000);
  for (float& value : frames.data) value = values(random);
  frames.valid = {1};
  for (const int64_t bins : {10, 300, 1000}) Compare(frames, {bins, 10000.3, 10001.1});
}

TEST(HistogramBinsTest, WhatIsNoBinsIsRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const HistogramBins& bins :
       {HistogramBins{0, 0, 1}, HistogramBins{-1, 0, 1}, HistogramBins{10, 1, 1},
        HistogramBins{10, 2, 1}, HistogramBins{10, nan, 1}, HistogramBins{10, 0, INFINITY},
        HistogramBins{10, -1.7e308, 1.7e308}, HistogramBins{1000, 1, 1 + 1e-15}}) {
    const auto histogram = HistogramReduction::Create(bins);
    ASSERT_FALSE(histogram.ok());
    EXPECT_EQ(histogram.error().kind(), ErrorKind::kInvalidArgument);
  }
}

}  // namespace
}  // namespace penstock
