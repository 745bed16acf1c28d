#include "penstock/dataset/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>

namespace penstock {
namespace {

template <typename T>
constexpr ElementType TypeOf() {
  if constexpr (std::is_same_v<T, uint8_t>) return ElementType::kUint8;
  if constexpr (std::is_same_v<T, int8_t>) return ElementType::kInt8;
  if constexpr (std::is_same_v<T, uint16_t>) return ElementType::kUint16;
  if constexpr (std::is_same_v<T, int16_t>) return ElementType::kInt16;
  if constexpr (std::is_same_v<T, uint32_t>) return ElementType::kUint32;
  if constexpr (std::is_same_v<T, int32_t>) return ElementType::kInt32;
  if constexpr (std::is_same_v<T, uint64_t>) return ElementType::kUint64;
  if constexpr (std::is_same_v<T, int64_t>) return ElementType::kInt64;
  if constexpr (std::is_same_v<T, float>) return ElementType::kFloat32;
  return ElementType::kFloat64;
}

template <typename T>
auto Get(FrameStatistics::Number number) {
  if constexpr (std::is_floating_point_v<T>)
    return number.as_float;
  else if constexpr (std::is_signed_v<T>)
    return number.as_int;
  else
    return number.as_uint;
}

// Frames with three characters: mostly 0 and 1, below 256, and the whole range of the type.
template <typename T>
std::vector<T> MakeFrame(int kind, size_t pixels, std::mt19937_64& random) {
  std::vector<T> frame(pixels);
  for (T& pixel : frame) {
    const uint64_t bits = random();
    if (kind == 0) {
      pixel = static_cast<T>(bits % 17 == 0 ? 1 : 0);
    } else if (kind == 1) {
      pixel =
          static_cast<T>(bits % std::min<uint64_t>(256, uint64_t(std::numeric_limits<T>::max())));
    } else if constexpr (std::is_floating_point_v<T>) {
      pixel = static_cast<T>(std::ldexp(static_cast<double>(bits % 2001) - 500, bits % 31));
    } else {
      pixel = static_cast<T>(sizeof(T) == 8 ? bits >> 20 : bits);
    }
  }
  return frame;
}

// The histogram rule in its plainest form, from the edges.
size_t SlowBin(const std::vector<double>& edges, double value) {
  size_t bin = 0;
  while (bin + 2 < edges.size() && value >= edges[bin + 1]) ++bin;
  return bin;
}

template <typename T>
class StatisticsOf : public testing::Test {};
using PixelTypes = testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t,
                                  int64_t, float, double>;
TYPED_TEST_SUITE(StatisticsOf, PixelTypes);

TYPED_TEST(StatisticsOf, AgreesWithAPlainLoop) {
  using T = TypeParam;
  // 61 x 143 pixels: chunks and vectors with ragged ends.
  const DatasetShape shape{.scan = {.rows = 2, .columns = 4},
                           .signal = {.rows = 61, .columns = 143},
                           .element_type = TypeOf<T>()};
  const BlockRegion region{
      .first_row = 0, .row_count = 2, .first_column = 0, .column_count = 4, .first_frame = 0};
  const auto pixels = static_cast<size_t>(shape.signal.pixel_count());
  BlockStatistics statistics(shape, region);
  const std::vector<double> edges = HistogramEdges(shape.element_type);
  std::vector<uint64_t> histogram(edges.size() - 1);
  std::vector<long double> pattern(pixels);
  std::mt19937_64 random(7);

  for (int64_t index = 0; index < 8; ++index) {
    if (index == 5) continue;  // missing
    const std::vector<T> frame = MakeFrame<T>(index % 3, pixels, random);
    statistics.AddFrame(index, std::as_bytes(std::span(frame)));
    T minimum = frame[0];
    T maximum = frame[0];
    int64_t exact_sum = 0;
    uint64_t exact_squares = 0;
    long double sum = 0;
    long double squares = 0;
    for (size_t i = 0; i < pixels; ++i) {
      const T value = frame[i];
      minimum = std::min(minimum, value);
      maximum = std::max(maximum, value);
      sum += value;
      squares += static_cast<long double>(value) * value;
      if constexpr (std::is_integral_v<T>) {
        exact_sum += static_cast<int64_t>(value);
        if constexpr (sizeof(T) <= 2) exact_squares += int64_t{value} * value;
      }
      pattern[i] += value;
      ++histogram[SlowBin(edges, static_cast<double>(value))];
    }
    const FrameStatistics& got = statistics.frames()[static_cast<size_t>(index)];
    EXPECT_EQ(Get<T>(got.minimum), minimum);
    EXPECT_EQ(Get<T>(got.maximum), maximum);
    if constexpr (std::is_integral_v<T>) {
      EXPECT_EQ(static_cast<int64_t>(Get<T>(got.sum)), exact_sum);
    } else {
      EXPECT_NEAR(got.sum.as_float, static_cast<double>(sum),
                  1e-12 * static_cast<double>(std::sqrt(squares)) * 100);
    }
    if constexpr (std::is_integral_v<T> && sizeof(T) <= 2) {
      EXPECT_TRUE(got.sum_of_squares_exact == exact_squares);
      EXPECT_EQ(got.sum_of_squares, static_cast<double>(exact_squares));
    } else {
      EXPECT_NEAR(got.sum_of_squares, static_cast<double>(squares),
                  1e-12 * static_cast<double>(squares));
    }
    EXPECT_EQ(got.nan_count, 0U);
  }
  EXPECT_EQ(statistics.histogram(), histogram);
  for (size_t i = 0; i < pixels; ++i) {
    ASSERT_DOUBLE_EQ(statistics.sum_pattern()[i], static_cast<double>(pattern[i])) << i;
  }
  EXPECT_FALSE(statistics.frame_present()[5]);
  EXPECT_TRUE(statistics.frame_present()[6]);
  EXPECT_EQ(statistics.frames()[5].sum.as_uint, 0U);
}

TEST(StatisticsTest, EdgesOfTheHistogram) {
  const std::vector<double> edges = HistogramEdges(ElementType::kUint16);
  ASSERT_EQ(edges.size(), 265U);
  EXPECT_EQ(edges[0], 0);
  EXPECT_EQ(edges[255], 255);
  EXPECT_EQ(edges[256], 256);
  EXPECT_EQ(edges[257], 512);
  EXPECT_EQ(edges[264], 65536);
  EXPECT_EQ(HistogramEdges(ElementType::kUint8).size(), 257U);
  EXPECT_EQ(HistogramEdges(ElementType::kFloat32).size(), 281U);
  EXPECT_EQ(HistogramEdges(ElementType::kFloat32).back(), 4294967296.0);
  EXPECT_TRUE(HistogramEdges(ElementType::kComplex64).empty());
}

TEST(StatisticsTest, NanIsCountedAndNothingElse) {
  const DatasetShape shape{.scan = {.rows = 1, .columns = 2},
                           .signal = {.rows = 4, .columns = 5},
                           .element_type = ElementType::kFloat32};
  BlockStatistics statistics(shape, {0, 1, 0, 2, 0});
  std::vector<float> frame(20, 2.5F);
  frame[3] = std::numeric_limits<float>::quiet_NaN();
  frame[19] = std::numeric_limits<float>::quiet_NaN();
  frame[4] = -1;
  statistics.AddFrame(0, std::as_bytes(std::span(frame)));
  const FrameStatistics& got = statistics.frames()[0];
  EXPECT_EQ(got.nan_count, 2U);
  EXPECT_EQ(got.minimum.as_float, -1);
  EXPECT_EQ(got.maximum.as_float, 2.5);
  EXPECT_EQ(got.sum.as_float, 17 * 2.5 - 1);
  EXPECT_EQ(got.sum_of_squares, 17 * 6.25 + 1);
  EXPECT_EQ(statistics.histogram()[2], 17U);
  EXPECT_EQ(statistics.histogram()[0], 1U);
  EXPECT_EQ(statistics.sum_pattern()[3], 0);

  frame.assign(20, std::numeric_limits<float>::quiet_NaN());
  statistics.AddFrame(1, std::as_bytes(std::span(frame)));
  EXPECT_TRUE(std::isnan(statistics.frames()[1].minimum.as_float));
  EXPECT_EQ(statistics.frames()[1].nan_count, 20U);
  EXPECT_EQ(statistics.frames()[1].sum.as_float, 0);
}

TEST(StatisticsTest, TheSumPatternOutlivesThirtyTwoBits) {
  const int64_t frames = 70000;  // 70000 * 65535 > 2^32
  const DatasetShape shape{.scan = {.rows = 1, .columns = frames},
                           .signal = {.rows = 1, .columns = 2},
                           .element_type = ElementType::kUint16};
  BlockStatistics statistics(shape, {0, 1, 0, frames, 0});
  const std::vector<uint16_t> frame{65535, 1};
  for (int64_t i = 0; i < frames; ++i) statistics.AddFrame(i, std::as_bytes(std::span(frame)));
  EXPECT_EQ(statistics.sum_pattern()[0], 70000.0 * 65535);
  EXPECT_EQ(statistics.sum_pattern()[1], 70000.0);
  EXPECT_EQ(statistics.histogram()[1], 70000U);
  EXPECT_EQ(statistics.histogram().back(), 70000U);
}

TEST(StatisticsTest, ComplexFramesHaveNone) {
  const DatasetShape shape{.scan = {.rows = 1, .columns = 1},
                           .signal = {.rows = 1, .columns = 2},
                           .element_type = ElementType::kComplex64};
  BlockStatistics statistics(shape, {0, 1, 0, 1, 0});
  const std::vector<std::complex<float>> frame(2);
  statistics.AddFrame(0, std::as_bytes(std::span(frame)));
  EXPECT_TRUE(statistics.frame_present()[0]);
  EXPECT_TRUE(statistics.histogram().empty());
  EXPECT_TRUE(statistics.sum_pattern().empty());
}

}  // namespace
}  // namespace penstock
