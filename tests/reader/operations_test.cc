// Every operation against a straightforward loop in long arithmetic, over all element types, odd
// frame sizes, lost frames and several ways to cut the data into tiles and partitions.

#include "penstock/reader/operations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "tests/reader/in_memory_pass.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

Mask RandomMask(SignalShape shape, int kind, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int> bit(0, 1), small(-200, 200), large(-1000000, 1000000);
  std::normal_distribution<double> real(0, 1);
  Mask mask{"random", shape, std::vector<double>(static_cast<size_t>(shape.pixel_count()))};
  for (double& weight : mask.weights) {
    weight = kind == 0   ? bit(random)
             : kind == 1 ? small(random)
             : kind == 2 ? large(random)
                         : real(random);
  }
  return mask;
}

template <typename Pixel>
class Operations : public testing::Test {};
using Pixels = testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, double>;
TYPED_TEST_SUITE(Operations, Pixels);

TYPED_TEST(Operations, MaskSumsAreExactForIntegersAndCloseForFloats) {
  const auto frames = MakeFrames<TypeParam>();
  for (int kind = 0; kind < 4; ++kind) {
    std::vector<Mask> masks;
    for (uint32_t k = 0; k < 6; ++k) masks.push_back(RandomMask(frames.shape.signal, kind, k));
    for (const PassCut& cut : kCuts) {
      auto reduction = MaskReduction::Create(masks);
      ASSERT_TRUE(reduction.ok());
      const Status status = RunInMemory(**reduction, frames.shape, frames.data, frames.valid, cut);
      ASSERT_TRUE(status.ok()) << status.error().ToString();
      const ResultArray& result = (*reduction)->result();
      EXPECT_EQ(result.shape, (std::vector<int64_t>{6, 5, 7}));
      const bool exact = std::is_integral_v<TypeParam> && kind < 3;
      ASSERT_EQ(result.is_integer(), exact);
      for (size_t k = 0; k < masks.size(); ++k) {
        for (size_t f = 0; f < frames.count(); ++f) {
          const size_t at = k * frames.count() + f;
          if (frames.valid[f] == 0) {
            if (exact) {
              EXPECT_EQ(result.integers()[at], 0);
            } else {
              EXPECT_TRUE(std::isnan(result.doubles()[at]));
            }
            continue;
          }
          int64_t exact_sum = 0;
          long double sum = 0, scale = 0;
          for (size_t p = 0; p < frames.pixels(); ++p) {
            const long double term =
                static_cast<long double>(frames.At(f, p)) * masks[k].weights[p];
            sum += term;
            scale += std::abs(term);
            if (exact) {
              exact_sum +=
                  static_cast<int64_t>(frames.At(f, p)) * static_cast<int64_t>(masks[k].weights[p]);
            }
          }
          if (exact) {
            ASSERT_EQ(result.integers()[at], exact_sum) << "mask " << k << ", frame " << f;
          } else {
            ASSERT_NEAR(result.doubles()[at], static_cast<double>(sum),
                        static_cast<double>(1e-6L * scale))
                << "mask " << k << ", frame " << f;
          }
        }
      }
    }
  }
}

TYPED_TEST(Operations, SumIsExactForIntegers) {
  const auto frames = MakeFrames<TypeParam>();
  for (const PassCut& cut : kCuts) {
    SumReduction reduction;
    ASSERT_TRUE(RunInMemory(reduction, frames.shape, frames.data, frames.valid, cut).ok());
    EXPECT_EQ(reduction.frames_summed(), 30);
    EXPECT_EQ(reduction.result().shape, (std::vector<int64_t>{37, 29}));
    ASSERT_EQ(reduction.result().is_integer(), std::is_integral_v<TypeParam>);
    for (size_t p = 0; p < frames.pixels(); ++p) {
      int64_t exact_sum = 0;
      long double sum = 0;
      for (size_t f = 0; f < frames.count(); ++f) {
        if (frames.valid[f] == 0) continue;
        exact_sum += static_cast<int64_t>(frames.At(f, p));
        sum += frames.At(f, p);
      }
      if constexpr (std::is_integral_v<TypeParam>) {
        ASSERT_EQ(reduction.result().integers()[p], exact_sum);
      } else {
        ASSERT_NEAR(reduction.result().doubles()[p], static_cast<double>(sum), 1e-9);
      }
    }
  }
}

TYPED_TEST(Operations, MeanAndDeviation) {
  const auto frames = MakeFrames<TypeParam>();
  for (const PassCut& cut : kCuts) {
    StatisticsReduction reduction;
    ASSERT_TRUE(RunInMemory(reduction, frames.shape, frames.data, frames.valid, cut).ok());
    EXPECT_EQ(reduction.frames_seen(), 30);
    const ResultArray mean = reduction.Mean();
    const ResultArray deviation = reduction.StandardDeviation();
    const ResultArray variance = reduction.Variance();
    const std::optional<ResultArray> exact_sum = reduction.ExactSum();
    ASSERT_EQ(exact_sum.has_value(),
              (std::is_same_v<TypeParam, uint8_t> || std::is_same_v<TypeParam, uint16_t>));
    ASSERT_EQ(StatisticsReduction::HasExactSum(frames.shape.element_type), exact_sum.has_value());
    for (size_t p = 0; p < frames.pixels(); ++p) {
      long double sum = 0, squares = 0;
      for (size_t f = 0; f < frames.count(); ++f) {
        if (frames.valid[f] != 0) sum += frames.At(f, p);
      }
      if (exact_sum) {
        ASSERT_EQ(static_cast<long double>(exact_sum->integers()[p]), sum);
      }
      const long double expected = sum / 30;
      for (size_t f = 0; f < frames.count(); ++f) {
        const long double difference = frames.At(f, p) - expected;
        if (frames.valid[f] != 0) squares += difference * difference;
      }
      const auto expected_deviation = static_cast<double>(std::sqrt(squares / 30));
      ASSERT_NEAR(mean.doubles()[p], static_cast<double>(expected),
                  1e-12 * std::abs(static_cast<double>(expected)) + 1e-12 * expected_deviation);
      ASSERT_NEAR(deviation.doubles()[p], expected_deviation, 1e-12 * expected_deviation);
      const auto expected_variance = static_cast<double>(squares / 30);
      ASSERT_NEAR(variance.doubles()[p], expected_variance, 1e-12 * expected_variance);
    }
  }
}

TYPED_TEST(Operations, CentreOfMassInsideASelection) {
  const auto frames = MakeFrames<TypeParam>();
  const Mask selection = AnnulusMask(frames.shape.signal, 17.5, 14, 3, 12);
  for (const PassCut& cut : kCuts) {
    auto reduction = CentreOfMassReduction::Create(selection);
    ASSERT_TRUE(reduction.ok());
    ASSERT_TRUE(RunInMemory(**reduction, frames.shape, frames.data, frames.valid, cut).ok());
    const ResultArray rows = (*reduction)->Rows();
    const ResultArray columns = (*reduction)->Columns();
    EXPECT_EQ(rows.shape, (std::vector<int64_t>{5, 7}));
    for (size_t f = 0; f < frames.count(); ++f) {
      if (frames.valid[f] == 0) {
        EXPECT_TRUE(std::isnan(rows.doubles()[f]));
        EXPECT_TRUE(std::isnan(columns.doubles()[f]));
        continue;
      }
      int64_t weight = 0, along_rows = 0, along_columns = 0;
      long double real_weight = 0, real_rows = 0, real_columns = 0;
      for (size_t p = 0; p < frames.pixels(); ++p) {
        if (selection.weights[p] == 0) continue;
        const auto row = static_cast<int64_t>(p) / 29, column = static_cast<int64_t>(p) % 29;
        const TypeParam value = frames.At(f, p);
        real_weight += value;
        real_rows += static_cast<long double>(value) * row;
        real_columns += static_cast<long double>(value) * column;
        if constexpr (std::is_integral_v<TypeParam>) {
          weight += value;
          along_rows += value * row;
          along_columns += value * column;
        }
      }
      if constexpr (std::is_integral_v<TypeParam>) {  // one division of exact sums
        EXPECT_EQ(rows.doubles()[f], static_cast<double>(along_rows) / static_cast<double>(weight));
        EXPECT_EQ(columns.doubles()[f],
                  static_cast<double>(along_columns) / static_cast<double>(weight));
        EXPECT_EQ((*reduction)->Intensity().integers()[f], weight);
      } else {
        EXPECT_NEAR(rows.doubles()[f], static_cast<double>(real_rows / real_weight), 1e-5);
        EXPECT_NEAR(columns.doubles()[f], static_cast<double>(real_columns / real_weight), 1e-5);
      }
    }
  }
}

// Large 16-bit frames at the limit of the type: the totals pass 2^31 by far.
TEST(OperationsLimits, FullRangeSixteenBitFramesOf2048Pixels) {
  const SignalShape signal{2048, 2048};
  const DatasetShape shape{{1, 2, false}, signal, ElementType::kUint16};
  std::vector<uint16_t> data(2u * 2048 * 2048, 65535);
  std::fill(data.begin() + 2048 * 2048, data.end(), uint16_t{0});
  const Mask annulus = AnnulusMask(signal, 1023.5, 1023.5, 200, 900);
  auto masks = MaskReduction::Create({FullMask(signal), annulus, FullMask(signal)});
  ASSERT_TRUE(masks.ok());
  ASSERT_TRUE(RunInMemory(**masks, shape, data, {1, 1}, {32, 8192, 32}).ok());
  int64_t annulus_pixels = 0;
  for (const double weight : annulus.weights) annulus_pixels += weight != 0 ? 1 : 0;
  EXPECT_EQ((*masks)->result().integers(),
            (std::vector<int64_t>{int64_t{65535} * 2048 * 2048, 0, 65535 * annulus_pixels, 0,
                                  int64_t{65535} * 2048 * 2048, 0}));
  auto centre = CentreOfMassReduction::Create(FullMask(signal));
  ASSERT_TRUE(centre.ok());
  ASSERT_TRUE(RunInMemory(**centre, shape, data, {1, 1}, {32, 8192, 32}).ok());
  EXPECT_EQ((*centre)->Rows().doubles()[0], 1023.5);
  EXPECT_EQ((*centre)->Columns().doubles()[0], 1023.5);
  EXPECT_TRUE(std::isnan((*centre)->Rows().doubles()[1]));  // nothing there, no centre
}

// More frames than a 32-bit sum can hold: 70000 frames of 65535.
TEST(OperationsLimits, ManyFramesDoNotOverflowTheNarrowSums) {
  const DatasetShape shape{{700, 100, false}, {1, 3}, ElementType::kUint16};
  const std::vector<uint16_t> data(70000u * 3, 65535);
  const std::vector<uint8_t> valid(70000, 1);
  SumReduction sum;
  ASSERT_TRUE(RunInMemory(sum, shape, data, valid, {64, 256, 1 << 20}).ok());
  EXPECT_EQ(sum.result().integers(), std::vector<int64_t>(3, int64_t{65535} * 70000));
  StatisticsReduction statistics;
  ASSERT_TRUE(RunInMemory(statistics, shape, data, valid, {64, 256, 1 << 20}).ok());
  EXPECT_EQ(statistics.Mean().doubles(), std::vector<double>(3, 65535.0));
  EXPECT_EQ(statistics.StandardDeviation().doubles(), std::vector<double>(3, 0.0));

  const DatasetShape bytes{{700, 100, false}, {1, 3}, ElementType::kUint8};
  const std::vector<uint8_t> byte_data(70000u * 3, 255);
  StatisticsReduction byte_statistics;
  ASSERT_TRUE(RunInMemory(byte_statistics, bytes, byte_data, valid, {64, 256, 1 << 20}).ok());
  EXPECT_EQ(byte_statistics.Mean().doubles(), std::vector<double>(3, 255.0));
  EXPECT_EQ(byte_statistics.StandardDeviation().doubles(), std::vector<double>(3, 0.0));
}

// A small deviation on a large offset, where sums of squares in float64 keep no digit.
TEST(OperationsLimits, DeviationSurvivesALargeOffset) {
  const DatasetShape shape{{4, 25, false}, {1, 2}, ElementType::kFloat64};
  std::vector<double> data(200);
  for (size_t f = 0; f < 100; ++f) data[2 * f] = data[2 * f + 1] = 1e12 + (f % 2 == 0 ? 1 : -1);
  StatisticsReduction statistics;
  ASSERT_TRUE(
      RunInMemory(statistics, shape, data, std::vector<uint8_t>(100, 1), {8, 256, 16}).ok());
  EXPECT_EQ(statistics.Mean().doubles(), std::vector<double>(2, 1e12));
  EXPECT_NEAR(statistics.StandardDeviation().doubles()[0], 1.0, 1e-9);
}

TEST(OperationsErrors, WrongShapesAndTypesAreRefused) {
  EXPECT_EQ(MaskReduction::Create({}).error().kind(), ErrorKind::kInvalidArgument);
  EXPECT_EQ(MaskReduction::Create({FullMask({2, 2}), FullMask({2, 3})}).error().kind(),
            ErrorKind::kInvalidArgument);
  auto masks = MaskReduction::Create({FullMask({2, 2})});
  ASSERT_TRUE(masks.ok());
  PassPlan plan{{{1, 1, false}, {3, 3}, ElementType::kUint16}, 1, 256, 1, 1};
  EXPECT_EQ((*masks)->Begin(plan).error().kind(), ErrorKind::kInvalidArgument);
  plan.shape.signal = {2, 2};
  for (const ElementType type :
       {ElementType::kUint64, ElementType::kInt64, ElementType::kComplex64}) {
    plan.shape.element_type = type;
    SumReduction sum;
    StatisticsReduction statistics;
    EXPECT_EQ((*masks)->Begin(plan).error().kind(), ErrorKind::kUnsupported);
    EXPECT_EQ(sum.Begin(plan).error().kind(), ErrorKind::kUnsupported);
    EXPECT_EQ(statistics.Begin(plan).error().kind(), ErrorKind::kUnsupported);
  }
}

// Weights beyond what int64 sums can hold give float64 instead of a wrong integer.
TEST(OperationsLimits, TotalsThatCouldOverflowBecomeFloat) {
  const DatasetShape shape{{1, 1, false}, {1, 4}, ElementType::kUint32};
  Mask mask{"huge", {1, 4}, std::vector<double>(4, 4294967296.0)};
  auto masks = MaskReduction::Create({mask});
  ASSERT_TRUE(masks.ok());
  const std::vector<uint32_t> data(4, 0xffffffffu);
  ASSERT_TRUE(RunInMemory(**masks, shape, data, {1}, {1, 256, 1}).ok());
  ASSERT_FALSE((*masks)->result().is_integer());
  EXPECT_NEAR((*masks)->result().doubles()[0], 4 * 4294967295.0 * 4294967296.0, 1e10);
}

}  // namespace
}  // namespace penstock
