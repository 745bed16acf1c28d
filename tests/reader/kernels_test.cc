// Every kernel on every instruction set of this machine against its scalar twin.

#include "reader/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "reader/kernels/region_runs.h"
#include "reader/kernels/scalar_kernels.h"

namespace penstock::kernels {
namespace {

// Odd lengths below, at and above one vector; 70001 passes several chunks and widenings.
const std::vector<size_t> kPixelCounts = {1, 7, 31, 64, 65, 257, 1000, 4096, 70001};
const std::vector<size_t> kFrameCounts = {1, 3, 4, 9, 17};
const std::vector<size_t> kMaskCounts = {1, 2, 3, 4, 5, 8, 13, 65};

template <typename T>
std::vector<T> RandomIntegers(size_t count, T low, T high, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> values(low, high);
  std::vector<T> result(count);
  for (T& value : result) value = static_cast<T>(values(random));
  return result;
}

std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::lognormal_distribution<float> values(0.0f, 1.0f);
  std::vector<float> result(count);
  for (float& value : result) value = values(random);
  return result;
}

template <typename MaskValue>
std::vector<const MaskValue*> Rows(const std::vector<MaskValue>& values, size_t count,
                                   size_t pixels) {
  std::vector<const MaskValue*> rows;
  for (size_t k = 0; k < count; ++k) rows.push_back(values.data() + k * pixels);
  return rows;
}

class KernelTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { UseTarget(GetParam()); }
  void TearDown() override { UseTarget(""); }

  // Calls check(frames, pixels, masks) for a selection of sizes.
  template <typename Check>
  void ForSizes(Check&& check) {
    for (const size_t pixels : kPixelCounts) {
      for (const size_t frames : kFrameCounts) {
        for (const size_t masks : kMaskCounts) {
          if (pixels * frames * masks > 1'200'000) continue;
          SCOPED_TRACE(testing::Message()
                       << pixels << " pixels, " << frames << " frames, " << masks << " masks");
          check(frames, pixels, masks);
          if (HasFailure()) return;
        }
      }
    }
  }
};

// Frames lie `pixels + 5` apart and totals `masks + 2`, so that a wrong stride shows.
constexpr size_t kFrameGap = 5;
constexpr size_t kTotalGap = 2;

template <typename Pixel, typename MaskValue, typename Total, typename Fast, typename Slow>
void CompareExactly(const std::vector<Pixel>& data, const std::vector<MaskValue>& mask_values,
                    size_t frames, size_t pixels, size_t masks, Fast&& fast, Slow&& slow) {
  const auto rows = Rows(mask_values, masks, pixels);
  const FramePixels<Pixel> run{data.data(), pixels + kFrameGap, frames, pixels};
  std::vector<Total> found(frames * (masks + kTotalGap), Total{7});
  std::vector<Total> expected = found;
  fast(run, MaskRun<MaskValue, Total>{rows.data(), masks, found.data(), masks + kTotalGap});
  slow(run, MaskRun<MaskValue, Total>{rows.data(), masks, expected.data(), masks + kTotalGap});
  ASSERT_EQ(found, expected);
}

TEST_P(KernelTest, SelectsBytesExactly) {
  ForSizes([](size_t frames, size_t pixels, size_t masks) {
    const auto data = RandomIntegers<uint8_t>(frames * (pixels + kFrameGap), 0, 255, 1);
    auto mask = RandomIntegers<uint8_t>(masks * pixels, 0, 1, 2);
    for (uint8_t& value : mask) value = value != 0 ? 0xff : 0;
    CompareExactly<uint8_t, uint8_t, int64_t>(
        data, mask, frames, pixels, masks,
        [](const auto& run, const auto& mask_run) { MaskProduct(run, mask_run); },
        [](const auto& run, const auto& mask_run) { scalar::SelectProduct(run, mask_run); });
  });
}

TEST_P(KernelTest, WeighsBytesExactly) {
  ForSizes([](size_t frames, size_t pixels, size_t masks) {
    const auto data = RandomIntegers<uint8_t>(frames * (pixels + kFrameGap), 0, 255, 3);
    const auto mask = RandomIntegers<int16_t>(masks * pixels, -32767, 32767, 4);
    CompareExactly<uint8_t, int16_t, int64_t>(
        data, mask, frames, pixels, masks,
        [](const auto& run, const auto& mask_run) { MaskProduct(run, mask_run, 32767); },
        [](const auto& run, const auto& mask_run) { scalar::MaskProduct(run, mask_run); });
  });
}

TEST_P(KernelTest, WeighsBytesByBytesExactly) {
  for (const int8_t minimum : {int8_t{-128}, int8_t{-3}}) {
    ForSizes([minimum](size_t frames, size_t pixels, size_t masks) {
      const auto data = RandomIntegers<uint8_t>(frames * (pixels + kFrameGap), 0, 255, 3);
      const auto mask =
          RandomIntegers<int8_t>(masks * pixels, minimum, static_cast<int8_t>(-(minimum + 1)), 4);
      CompareExactly<uint8_t, int8_t, int64_t>(
          data, mask, frames, pixels, masks,
          [minimum](const auto& run, const auto& mask_run) {
            MaskProduct(run, mask_run, -int32_t{minimum});
          },
          [](const auto& run, const auto& mask_run) { scalar::MaskProduct(run, mask_run); });
    });
  }
}

template <typename Pixel, typename AddTo>
void CheckRuns(const AddTo& add, int64_t bias) {
  constexpr size_t kLanes = 8;
  constexpr size_t kRegions = 5;
  constexpr size_t kVector = kRunVectorBytes / sizeof(Pixel);
  constexpr size_t kPixels = kVector * kRunChunkVectors;
  constexpr size_t kStride = kPixels + kFrameGap;
  const auto data =
      RandomIntegers<Pixel>(kRunFrames * kStride, 0, std::numeric_limits<Pixel>::max(), 31);
  std::mt19937_64 random(32);
  std::vector<RegionRun> runs;
  std::vector<RunStep> steps;
  std::vector<int64_t> expected(kRunFrames * kRegions);
  for (const uint16_t region : {uint16_t{3}, uint16_t{0}, uint16_t{4}, uint16_t{3}}) {
    runs.push_back({.region = region, .steps = static_cast<uint16_t>(1 + random() % 64)});
    for (uint16_t s = 0; s < runs.back().steps; ++s) {
      const size_t vector = random() % kRunChunkVectors;
      const uint64_t selected = random() & (kVector == 64 ? ~uint64_t{0} : (uint64_t{1} << 32) - 1);
      steps.push_back({selected, static_cast<uint32_t>(vector * kRunVectorBytes)});
      for (size_t f = 0; f < kRunFrames; ++f) {
        for (size_t i = 0; i < kVector; ++i) {
          if ((selected >> i & 1) == 0) continue;
          expected[f * kRegions + region] += data[f * kStride + vector * kVector + i] - bias;
        }
      }
    }
  }
  const RegionRuns planned{runs.data(), runs.size(), steps.data()};
  for (size_t frames = 1; frames <= kRunFrames; ++frames) {
    std::vector<int64_t> lanes(frames * kRegions * kLanes + kLanes);
    // Vectors begin with a cache line.
    auto* const first =
        reinterpret_cast<int64_t*>((reinterpret_cast<uintptr_t>(lanes.data()) + 63) / 64 * 64);
    add(FramePixels<Pixel>{data.data(), kStride, frames, kPixels}, planned, first, kRegions);
    for (size_t i = 0; i < frames * kRegions; ++i) {
      EXPECT_EQ(std::accumulate(first + i * kLanes, first + (i + 1) * kLanes, int64_t{0}),
                expected[i])
          << frames << " frames, " << i;
    }
  }
}

TEST_P(KernelTest, RunsOfRegionsAreExact) {
  CheckRuns<uint8_t>([](const auto& frames, const RegionRuns& runs, int64_t* lanes,
                        size_t stride) { AddRuns(frames, runs, lanes, stride); },
                     0);
  CheckRuns<uint16_t>([](const auto& frames, const RegionRuns& runs, int64_t* lanes,
                         size_t stride) { AddRunsBiased(frames, runs, lanes, stride); },
                      32768);
}

TEST_P(KernelTest, WeighsWordsExactly) {
  for (const int16_t maximum : {int16_t{1}, int16_t{130}, int16_t{32767}}) {
    ForSizes([maximum](size_t frames, size_t pixels, size_t masks) {
      const auto data = RandomIntegers<uint16_t>(frames * (pixels + kFrameGap), 0, 65535, 5);
      const auto mask =
          RandomIntegers<int16_t>(masks * pixels, static_cast<int16_t>(-maximum), maximum, 6);
      CompareExactly<uint16_t, int16_t, int64_t>(
          data, mask, frames, pixels, masks,
          [maximum](const auto& run, const auto& mask_run) {
            BiasedMaskProduct(run, mask_run, maximum);
          },
          [](const auto& run, const auto& mask_run) {
            scalar::MaskProduct(run, mask_run, int64_t{32768});
          });
    });
  }
}

TEST_P(KernelTest, SelectsDoubleWordsExactly) {
  ForSizes([](size_t frames, size_t pixels, size_t masks) {
    const auto data = RandomIntegers<uint32_t>(frames * (pixels + kFrameGap), 0, 0xffffffffu, 7);
    auto mask = RandomIntegers<uint32_t>(masks * pixels, 0, 1, 8);
    for (uint32_t& value : mask) value = value != 0 ? 0xffffffffu : 0;
    CompareExactly<uint32_t, uint32_t, int64_t>(
        data, mask, frames, pixels, masks,
        [](const auto& run, const auto& mask_run) { MaskProduct(run, mask_run); },
        [](const auto& run, const auto& mask_run) { scalar::SelectProduct(run, mask_run); });
  });
}

// A 2048 x 2048 frame in which every pixel and every weight is at its limit: int32 lanes, and their
// sum, overflow many times over unless they are widened in time.
TEST_P(KernelTest, LargeFramesAtTheLimitsDoNotOverflow) {
  constexpr size_t kPixels = 2048 * 2048;
  for (const uint16_t value : {uint16_t{0}, uint16_t{65535}}) {
    for (const int16_t weight : {int16_t{1}, int16_t{-32767}, int16_t{32767}}) {
      const std::vector<uint16_t> data(kPixels, value);
      const std::vector<int16_t> mask(kPixels, weight);
      const int16_t* const row = mask.data();
      int64_t total = 0;
      BiasedMaskProduct({data.data(), kPixels, 1, kPixels}, {&row, 1, &total, 1},
                        std::abs(int{weight}));
      EXPECT_EQ(total, (int64_t{value} - 32768) * weight * static_cast<int64_t>(kPixels));

      const std::vector<uint8_t> bytes(kPixels, static_cast<uint8_t>(value));
      total = 0;
      MaskProduct({bytes.data(), kPixels, 1, kPixels},
                  MaskRun<int16_t, int64_t>{&row, 1, &total, 1}, std::abs(int{weight}));
      EXPECT_EQ(total, int64_t{bytes[0]} * weight * static_cast<int64_t>(kPixels));
    }
    for (const int8_t weight : {int8_t{1}, int8_t{-128}, int8_t{127}}) {
      const std::vector<uint8_t> bytes(kPixels, static_cast<uint8_t>(value));
      const std::vector<int8_t> mask(kPixels, weight);
      const int8_t* const row = mask.data();
      int64_t total = 0;
      MaskProduct({bytes.data(), kPixels, 1, kPixels}, MaskRun<int8_t, int64_t>{&row, 1, &total, 1},
                  std::abs(int{weight}));
      EXPECT_EQ(total, int64_t{bytes[0]} * weight * static_cast<int64_t>(kPixels));
    }
  }
}

template <typename Pixel>
void CheckFloatMasks(const std::vector<Pixel>& data, size_t frames, size_t pixels, size_t masks) {
  const auto mask = RandomFloats(masks * pixels, 9);
  const auto rows = Rows(mask, masks, pixels);
  const FramePixels<Pixel> run{data.data(), pixels + kFrameGap, frames, pixels};
  std::vector<double> found(frames * masks), expected(frames * masks);
  MaskProduct(run, MaskRun<float, double>{rows.data(), masks, found.data(), masks});
  scalar::MaskProduct(run, MaskRun<float, double>{rows.data(), masks, expected.data(), masks});
  for (size_t i = 0; i < found.size(); ++i) {
    // All terms are positive, so the sum itself is the scale of the error. One lane adds at most
    // 4096 / 4 terms before it is widened.
    ASSERT_NEAR(found[i], expected[i], 1e-5 * expected[i]);
  }
}

TEST_P(KernelTest, FloatMasksAgreeWithDoublePrecision) {
  ForSizes([](size_t frames, size_t pixels, size_t masks) {
    const size_t size = frames * (pixels + kFrameGap);
    CheckFloatMasks(RandomFloats(size, 10), frames, pixels, masks);
    CheckFloatMasks(RandomIntegers<uint8_t>(size, 0, 255, 11), frames, pixels, masks);
    CheckFloatMasks(RandomIntegers<uint16_t>(size, 0, 65535, 12), frames, pixels, masks);
  });
}

// A lane adds at most 4096 / 4 counts before it is widened: below 2^24 for counts up to 16383.
TEST_P(KernelTest, BinaryFloatMasksOnCountsAreExact) {
  constexpr size_t kPixels = 1 << 20;
  const auto data = RandomIntegers<uint16_t>(kPixels, 16000, 16383, 13);
  const std::vector<float> mask(kPixels, 1.0f);
  const float* const row = mask.data();
  double found = 0, expected = 0;
  MaskProduct({data.data(), kPixels, 1, kPixels}, MaskRun<float, double>{&row, 1, &found, 1});
  for (const uint16_t value : data) expected += value;
  EXPECT_EQ(found, expected);
}

TEST_P(KernelTest, SumsOverFramesAreExact) {
  for (const size_t pixels : {1, 15, 64, 1023, 1025, 5000}) {
    for (const size_t frames : {1, 7, 8, 33}) {
      const size_t size = frames * (pixels + kFrameGap);
      const auto check = [&](const auto& data, auto zero) {
        using Pixel = typename std::decay_t<decltype(data)>::value_type;
        using Sum = decltype(zero);
        const FramePixels<Pixel> run{data.data(), pixels + kFrameGap, frames, pixels};
        std::vector<Sum> found(pixels, Sum{3}), expected(pixels, Sum{3});
        AddFrames(run, found.data());
        scalar::AddFrames(run, expected.data());
        EXPECT_EQ(found, expected) << pixels << " pixels, " << frames << " frames";
      };
      check(RandomIntegers<uint8_t>(size, 0, 255, 14), uint32_t{});
      check(RandomIntegers<uint16_t>(size, 0, 65535, 15), uint32_t{});
      check(RandomIntegers<uint32_t>(size, 0, 0xffffffffu, 16), uint64_t{});
      check(RandomFloats(size, 17), double{});  // the same additions in the same order
    }
  }
}

TEST_P(KernelTest, ExtremesAreExact) {
  for (const size_t pixels : {1, 15, 64, 1023, 1025, 5000}) {
    for (const size_t frames : {1, 7, 8, 33}) {
      const size_t size = frames * (pixels + kFrameGap);
      const auto check = [&](const auto& data) {
        using Pixel = typename std::decay_t<decltype(data)>::value_type;
        const FramePixels<Pixel> run{data.data(), pixels + kFrameGap, frames, pixels};
        std::vector<Pixel> low(pixels, Pixel(100)), high(pixels, Pixel(101));
        auto low_expected = low;
        auto high_expected = high;
        TakeExtremes(run, low.data(), high.data());
        scalar::TakeExtremes(run, low_expected.data(), high_expected.data());
        EXPECT_EQ(low, low_expected);
        EXPECT_EQ(high, high_expected);
      };
      check(RandomIntegers<uint8_t>(size, 0, 255, 31));
      check(RandomIntegers<uint16_t>(size, 0, 65535, 32));
      check(RandomIntegers<uint32_t>(size, 0, UINT32_MAX, 33));
      auto floats = RandomFloats(size, 34);
      for (size_t i = 0; i < floats.size(); i += 3) floats[i] = std::nanf("");
      check(floats);
    }
  }
}

TEST_P(KernelTest, CountsAreExact) {
  for (const size_t pixels : {0, 1, 31, 64, 2047, 2048, 5000, 70001}) {
    for (const int highest : {3, 7, 8, 15, 16, 17, 31, 32, 63, 64, 255, 1000, 1023, 1024, 5000}) {
      const auto check = [&](const auto& data, size_t values) {
        std::vector<uint32_t> counts(values, 7), expected(values, 7);
        CountValues(data.data(), pixels, counts.data());
        scalar::CountValues(data.data(), pixels, expected.data());
        EXPECT_EQ(counts, expected);
      };
      check(RandomIntegers<uint8_t>(pixels, 0, static_cast<uint8_t>(std::min(highest, 255)), 41),
            256);
      // Stretches of few and of many values in turn.
      auto mixed = RandomIntegers<uint16_t>(pixels, 0, static_cast<uint16_t>(highest), 45);
      for (size_t p = 0; p < pixels; ++p) mixed[p] = p / 3000 % 2 == 0 ? mixed[p] : 100 + p % 5;
      check(mixed, 65536);
      const auto base = static_cast<uint16_t>(65535 - highest);
      check(RandomIntegers<uint16_t>(pixels, base, 65535, 42), 65536);
      check(RandomIntegers<uint16_t>(pixels, 250, static_cast<uint16_t>(250 + highest), 43), 65536);
    }
    const auto floats = RandomFloats(pixels, 44);
    for (const size_t count : {1, 10, 256, 9000}) {
      std::vector<float> edges;
      for (size_t b = 0; b <= count; ++b) {
        edges.push_back(0.2f + 3.7f * static_cast<float>(b) / static_cast<float>(count));
      }
      const UniformBins bins{count, 0.2f, static_cast<float>(count) / 3.7f, 0, edges.data()};
      std::vector<uint32_t> counts(count + 3, 1), expected(count + 3, 1);
      CountBins(floats.data(), pixels, bins, counts.data());
      scalar::CountBins(floats.data(), pixels, bins, expected.data());
      EXPECT_EQ(counts, expected);
    }
  }
}

// Whole numbers in bins that begin with them, and what lies beside, beyond and nowhere.
TEST_P(KernelTest, BinsOfWholeNumbersBeginWithThem) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  struct Case {
    size_t count;
    float low;
    float width;
  };
  for (const Case& each :
       {Case{256, 0, 1}, Case{256, -17, 1}, Case{100, 3, 0.5f}, Case{60000, 0, 2}, Case{7, 1e6f, 1},
        Case{65536, 0, 1}, Case{16, 3e7f, 1}}) {
    std::vector<float> edges;
    for (size_t b = 0; b <= each.count; ++b) {
      edges.push_back(each.low + each.width * static_cast<float>(b));
    }
    edges.back() = std::nextafter(edges.back(), kInfinity);
    std::vector<float> pixels = {kInfinity,
                                 -kInfinity,
                                 1e30f,
                                 -1e30f,
                                 0,
                                 -0.0f,
                                 std::numeric_limits<float>::quiet_NaN(),
                                 -std::numeric_limits<float>::quiet_NaN()};
    for (const size_t b : {size_t{0}, size_t{1}, each.count / 2, each.count - 1, each.count}) {
      const float edge = each.low + each.width * static_cast<float>(b);
      for (const float x : {edge, std::nextafter(edge, kInfinity), std::nextafter(edge, -kInfinity),
                            edge + each.width / 2}) {
        pixels.push_back(x);
      }
    }
    while (pixels.size() < 9001) {  // more than is counted at a time
      pixels.push_back(pixels[pixels.size() % 28] + static_cast<float>(pixels.size() % 5));
    }
    for (const float width : {each.width, 0.0f}) {
      const UniformBins bins{each.count, each.low, 1 / each.width, width, edges.data()};
      std::vector<uint32_t> counts(each.count + 3, 1), expected(each.count + 3, 1);
      CountBins(pixels.data(), pixels.size(), bins, counts.data());
      scalar::CountBins(pixels.data(), pixels.size(), bins, expected.data());
      EXPECT_EQ(counts, expected) << each.count << " bins from " << each.low;
    }
  }
}

TEST_P(KernelTest, MomentsAreExactForCounts) {
  for (const size_t pixels : {1, 15, 64, 1023, 1025, 5000}) {
    for (const size_t frames : {1, 7, 8, 33}) {
      const size_t size = frames * (pixels + kFrameGap);
      const auto bytes = RandomIntegers<uint8_t>(size, 0, 255, 18);
      std::vector<uint32_t> sums(pixels), squares(pixels), sums_expected(pixels),
          squares_expected(pixels);
      const FramePixels<uint8_t> byte_run{bytes.data(), pixels + kFrameGap, frames, pixels};
      AddMoments(byte_run, sums.data(), squares.data());
      scalar::AddMoments(byte_run, sums_expected.data(), squares_expected.data());
      EXPECT_EQ(sums, sums_expected);
      EXPECT_EQ(squares, squares_expected);

      const auto words = RandomIntegers<uint16_t>(size, 0, 65535, 19);
      std::vector<uint64_t> wide_squares(pixels), wide_squares_expected(pixels);
      const FramePixels<uint16_t> word_run{words.data(), pixels + kFrameGap, frames, pixels};
      AddMoments(word_run, sums.data(), wide_squares.data());
      scalar::AddMoments(word_run, sums_expected.data(), wide_squares_expected.data());
      EXPECT_EQ(sums, sums_expected);
      EXPECT_EQ(wide_squares, wide_squares_expected);
    }
  }
}

TEST_P(KernelTest, MomentsOfTheExtremesAreExact) {
  constexpr size_t kPixels = 70;
  for (const uint16_t value : {0, 1, 8191, 8192, 32767, 32768, 65535}) {
    const std::vector<uint16_t> words(8 * kPixels, value);
    std::vector<uint32_t> sums(kPixels);
    std::vector<uint64_t> squares(kPixels);
    AddMoments(FramePixels<uint16_t>{words.data(), kPixels, 8, kPixels}, sums.data(),
               squares.data());
    EXPECT_EQ(sums, std::vector<uint32_t>(kPixels, 8U * value));
    EXPECT_EQ(squares, std::vector<uint64_t>(kPixels, uint64_t{8} * value * value));
  }
}

// Few counts, and one place with many: wherever it lies, everything is taken once.
TEST_P(KernelTest, MomentsOfFewCountsAreExact) {
  constexpr size_t kPixels = 1500;
  auto words = RandomIntegers<uint16_t>(8 * kPixels, 0, 8191, 23);
  for (const size_t large : {size_t{8} * kPixels, size_t{0}, size_t{5}, size_t{700},
                             size_t{3} * kPixels + 1023, size_t{7} * kPixels + 1499}) {
    if (large < words.size()) words[large] = 65535;
    const FramePixels<uint16_t> frames{words.data(), kPixels, 8, kPixels};
    std::vector<uint32_t> sums(kPixels, 3), sums_expected(kPixels, 3);
    std::vector<uint64_t> squares(kPixels, 5), squares_expected(kPixels, 5);
    AddMoments(frames, sums.data(), squares.data());
    scalar::AddMoments(frames, sums_expected.data(), squares_expected.data());
    EXPECT_EQ(sums, sums_expected);
    EXPECT_EQ(squares, squares_expected);
  }
}

TEST_P(KernelTest, ShiftedMomentsAgree) {
  for (const size_t pixels : {1, 15, 64, 1025}) {
    for (const size_t frames : {1, 7, 8, 33}) {
      const size_t size = frames * (pixels + kFrameGap);
      const auto check = [&](const auto& data) {
        using Pixel = typename std::decay_t<decltype(data)>::value_type;
        const FramePixels<Pixel> run{data.data(), pixels + kFrameGap, frames, pixels};
        const std::vector<double> shift(data.begin(), data.begin() + static_cast<long>(pixels));
        std::vector<double> sums(pixels), squares(pixels), sums_expected(pixels),
            squares_expected(pixels);
        AddShiftedMoments(run, shift.data(), sums.data(), squares.data());
        scalar::AddShiftedMoments(run, shift.data(), sums_expected.data(), squares_expected.data());
        EXPECT_EQ(sums, sums_expected);
        for (size_t p = 0; p < pixels;
             ++p) {  // the fused multiply-add rounds once instead of twice
          EXPECT_NEAR(squares[p], squares_expected[p], 1e-13 * squares_expected[p]);
        }
      };
      check(RandomFloats(size, 20));
      check(RandomIntegers<uint32_t>(size, 0, 0xffffffffu, 21));
    }
  }
}

TEST_P(KernelTest, DiscardReadsEveryByte) {
  for (const size_t size : {size_t{0}, size_t{5}, size_t{511}, size_t{512}, size_t{100003}}) {
    auto bytes = RandomIntegers<uint8_t>(size, 0, 255, 22);
    const auto* const data = reinterpret_cast<const std::byte*>(bytes.data());
    for (const ReadPattern pattern : {ReadPattern::kLinear, ReadPattern::kEightStreams}) {
      EXPECT_EQ(LoadAndDiscard(data, size, pattern), scalar::LoadAndDiscard(data, size)) << size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, KernelTest, testing::ValuesIn(AvailableTargets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace penstock::kernels
