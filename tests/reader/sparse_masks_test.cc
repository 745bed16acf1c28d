// Sparse and complex masks and the stacks that detectors are cut into, against plain loops.

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <random>
#include <vector>

#include "penstock/reader/operations.h"
#include "penstock/reader/sparse_mask.h"
#include "reader/kernels/sparse_kernels.h"
#include "tests/reader/random_frames.h"

namespace penstock {
namespace {

// `entries` pixels, some of them twice; integer weights or real ones.
SparseMask RandomSparse(SignalShape shape, size_t entries, bool integer, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> pixel(0, shape.pixel_count() - 1), whole(-300, 300);
  std::normal_distribution<double> real(0, 1);
  SparseMask mask{"sparse", shape, {}, {}};
  for (size_t e = 0; e < entries; ++e) {
    mask.pixels.push_back(e % 7 == 3 ? mask.pixels.front() : pixel(random));
    mask.weights.push_back(integer ? static_cast<double>(whole(random)) : real(random));
  }
  return mask;
}

template <typename Pixel>
class SparseMasks : public testing::Test {};
using Pixels = testing::Types<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, double>;
TYPED_TEST_SUITE(SparseMasks, Pixels);

TYPED_TEST(SparseMasks, EqualPlainLoops) {
  const auto frames = MakeFrames<TypeParam>();
  for (const bool integer : {true, false}) {
    std::vector<AnyMask> masks;
    // The third has so many entries that it is computed densely; the last one is given so.
    const std::vector<size_t> counts = {1, 40, 500, 17, 0, 66};
    for (uint32_t k = 0; k < counts.size(); ++k) {
      masks.push_back(RandomSparse(frames.shape.signal, counts[k], integer, k));
    }
    masks.push_back(Dense(RandomSparse(frames.shape.signal, 200, integer, 99)));
    for (const PassCut& cut : kCuts) {
      auto reduction = MaskReduction::CreateMixed(masks);
      ASSERT_TRUE(reduction.ok());
      const Status status = RunInMemory(**reduction, frames.shape, frames.data, frames.valid, cut);
      ASSERT_TRUE(status.ok()) << status.error().ToString();
      const ResultArray& result = (*reduction)->result();
      EXPECT_EQ(result.shape, (std::vector<int64_t>{7, 5, 7}));
      const bool exact = std::is_integral_v<TypeParam> && integer;
      ASSERT_EQ(result.is_integer(), exact);
      for (size_t k = 0; k < masks.size(); ++k) {
        const SparseMask mask = std::holds_alternative<Mask>(masks[k])
                                    ? Sparse(std::get<Mask>(masks[k]))
                                    : std::get<SparseMask>(masks[k]);
        for (size_t f = 0; f < frames.count(); ++f) {
          if (frames.valid[f] == 0) continue;
          int64_t exact_sum = 0;
          long double sum = 0, scale = 0;
          for (size_t e = 0; e < mask.pixels.size(); ++e) {
            const TypeParam x = frames.At(f, static_cast<size_t>(mask.pixels[e]));
            exact_sum += static_cast<int64_t>(x) * static_cast<int64_t>(mask.weights[e]);
            sum += static_cast<long double>(x) * mask.weights[e];
            scale += std::abs(static_cast<long double>(x) * mask.weights[e]);
          }
          const size_t at = k * frames.count() + f;
          if (exact) {
            ASSERT_EQ(result.integers()[at], exact_sum) << "mask " << k << ", frame " << f;
          } else {
            ASSERT_NEAR(result.doubles()[at], static_cast<double>(sum),
                        static_cast<double>(1e-6L * scale));
          }
        }
      }
    }
  }
}

TEST(SparseMasks, PixelsWithoutWeightMayBeAnything) {
  auto frames = MakeFrames<float>();
  for (size_t f = 0; f < frames.count(); ++f) {
    for (size_t p = 0; p < frames.pixels(); ++p) {
      if (p % 11 != 5)
        frames.data[f * frames.pixels() + p] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  const SparseMask mask{"few", frames.shape.signal, {5, 16, 1061}, {1, 1, 2}};
  auto reduction = MaskReduction::CreateMixed({mask});
  ASSERT_TRUE(reduction.ok());
  ASSERT_TRUE(RunInMemory(**reduction, frames.shape, frames.data, frames.valid, kCuts[0]).ok());
  EXPECT_EQ((*reduction)->result().doubles()[3], static_cast<double>(frames.At(3, 5)) +
                                                     static_cast<double>(frames.At(3, 16)) +
                                                     2 * static_cast<double>(frames.At(3, 1061)));
}

TEST(SparseMasks, ComplexWeightsGiveComplexSums) {
  const auto frames = MakeFrames<uint16_t>();
  const Mask harmonic = HarmonicMask(frames.shape.signal, 18.2, 14.1, 3, 12, 2);
  const Mask plain = DiskMask(frames.shape.signal, 18, 14, 5);
  SparseMask few = Sparse(HarmonicMask(frames.shape.signal, 18, 14, 1, 3, -1));
  ASSERT_LT(few.pixels.size(), 60u);
  auto reduction = MaskReduction::CreateMixed({harmonic, plain, few});
  ASSERT_TRUE(reduction.ok());
  ASSERT_TRUE(RunInMemory(**reduction, frames.shape, frames.data, frames.valid, kCuts[1]).ok());
  const ResultArray& result = (*reduction)->result();
  ASSERT_TRUE(result.is_complex());
  EXPECT_TRUE(std::isnan(result.complexes()[0].real()));  // the first frame is lost
  const std::vector<Mask> masks = {harmonic, plain, Dense(few)};
  for (size_t k = 0; k < masks.size(); ++k) {
    for (const size_t f : {1, 13, 34}) {
      std::complex<double> sum = 0;
      for (size_t p = 0; p < frames.pixels(); ++p) {
        const double imaginary = masks[k].is_complex() ? masks[k].imaginary[p] : 0;
        sum += static_cast<double>(frames.At(f, p)) *
               std::complex<double>(masks[k].weights[p], imaginary);
      }
      const auto found = result.complexes()[k * frames.count() + f];
      EXPECT_NEAR(std::abs(found - sum), 0, 1e-6 * 65535 * 400) << k;
    }
  }
  EXPECT_EQ(result.AsDoubles(frames.count() + 1, 1)[0],
            result.complexes()[frames.count() + 1].real());
}

TEST(SparseMasks, ContradictionsAreRefused) {
  const SignalShape shape{3, 4};
  EXPECT_FALSE(MaskReduction::CreateMixed({SparseMask{"a", shape, {12}, {1}}}).ok());
  EXPECT_FALSE(MaskReduction::CreateMixed({SparseMask{"a", shape, {-1}, {1}}}).ok());
  EXPECT_FALSE(MaskReduction::CreateMixed({SparseMask{"a", shape, {1, 2}, {1}}}).ok());
  EXPECT_FALSE(MaskReduction::CreateMixed({SparseMask{"a", shape, {1}, {std::nan("")}}}).ok());
  EXPECT_FALSE(
      MaskReduction::CreateMixed({SparseMask{"a", shape, {1}, {1}}, FullMask({4, 3})}).ok());
  EXPECT_FALSE(CentreOfMassReduction::Create(HarmonicMask(shape, 1, 1, 0, 2, 1)).ok());
  const auto rows = [&](int64_t count, int64_t columns, std::vector<int64_t> starts,
                        std::vector<int64_t> pixels) {
    const std::vector<double> values(pixels.size(), 1);
    return MasksOfRows({count, columns, std::move(starts), std::move(pixels), values}, shape, "m");
  };
  ASSERT_TRUE(rows(2, 12, {0, 1, 3}, {4, 0, 11}).ok());
  EXPECT_EQ((*rows(2, 12, {0, 1, 3}, {4, 0, 11}))[1].pixels, (std::vector<int64_t>{0, 11}));
  EXPECT_FALSE(rows(2, 13, {0, 1, 3}, {4, 0, 11}).ok());
  EXPECT_FALSE(rows(2, 12, {0, 1}, {4}).ok());
  EXPECT_FALSE(rows(2, 12, {0, 2, 1}, {4, 0, 11}).ok());
  EXPECT_FALSE(rows(2, 12, {0, 4, 3}, {4, 0, 11}).ok());
  EXPECT_FALSE(rows(2, 12, {0, 1, 3}, {4, 0, 12}).ok());
}

TEST(DetectorMasks, SectorsShareOutTheAnnulus) {
  const SignalShape shape{41, 37};
  for (const int64_t count : {1, 3, 4, 7}) {
    const auto sectors = SectorMasks(shape, 20, 18, 4, 15, count, 45);
    ASSERT_EQ(sectors.size(), static_cast<size_t>(count));
    const Mask ring = AnnulusMask(shape, 20, 18, 4, 15);
    for (size_t p = 0; p < ring.weights.size(); ++p) {
      double sum = 0;
      for (const Mask& sector : sectors) sum += sector.weights[p];
      EXPECT_EQ(sum, ring.weights[p]);
    }
  }
  // The first quadrant is about increasing rows, from 45 to 135 degrees.
  const auto quadrants = SectorMasks(shape, 20, 18, 4, 15, 4, 45);
  EXPECT_EQ(quadrants[0].weights[30 * 37 + 18], 1);
  EXPECT_EQ(quadrants[1].weights[20 * 37 + 8], 1);
  EXPECT_EQ(quadrants[2].weights[10 * 37 + 18], 1);
  EXPECT_EQ(quadrants[3].weights[20 * 37 + 28], 1);
}

TEST(DetectorMasks, GradientsAreCoordinatesWithinTheDisk) {
  const auto gradient = GradientMasks({9, 8}, 4, 3, 3);
  ASSERT_EQ(gradient.size(), 2u);
  for (int64_t r = 0; r < 9; ++r) {
    for (int64_t c = 0; c < 8; ++c) {
      const bool inside = (r - 4) * (r - 4) + (c - 3) * (c - 3) <= 9;
      EXPECT_EQ(gradient[0].weights[static_cast<size_t>(r * 8 + c)], inside ? r - 4 : 0);
      EXPECT_EQ(gradient[1].weights[static_cast<size_t>(r * 8 + c)], inside ? c - 3 : 0);
    }
  }
}

TEST(DetectorMasks, LatticesHaveADiskPerPointInTheFrame) {
  const SignalShape shape{40, 30};
  const auto masks = LatticeMasks(shape, {20, 15, 10, 1, -2, 9, -3, 3, 2.5});
  ASSERT_TRUE(masks.ok());
  size_t found = 0;
  for (int64_t h = -3; h <= 3; ++h) {
    for (int64_t k = -3; k <= 3; ++k) {
      const Mask disk =
          DiskMask(shape, 20.0 + 10.0 * static_cast<double>(h) - 2.0 * static_cast<double>(k),
                   15.0 + static_cast<double>(h) + 9.0 * static_cast<double>(k), 2.5);
      if (Sparse(disk).pixels.empty()) continue;
      ASSERT_LT(found, masks->size());
      EXPECT_EQ((*masks)[found].name,
                "lattice[" + std::to_string(h) + "," + std::to_string(k) + "]");
      EXPECT_EQ(Dense((*masks)[found]).weights, disk.weights);
      ++found;
    }
  }
  EXPECT_EQ(found, masks->size());
  EXPECT_FALSE(LatticeMasks(shape, {20, 15, 10, 1, 20, 2, -3, 3, 2.5}).ok());    // one line
  EXPECT_FALSE(LatticeMasks(shape, {20, 15, 10, 1, -2, 9, 3, -3, 2.5}).ok());    // no range
  EXPECT_FALSE(LatticeMasks(shape, {900, 15, 10, 1, -2, 9, -3, 3, 2.5}).ok());   // outside
  EXPECT_FALSE(LatticeMasks(shape, {20, 15, 10, 1, -2, 9, -999, 999, 1}).ok());  // too many
}

TEST(ParseAnyMasks, KeepsSparseMasksSparse) {
  const SignalShape shape{40, 30};
  const auto disks = ParseAnyMasks("lattice:20,15,10,1,-2,9,-1,1,2", shape);
  ASSERT_TRUE(disks.ok());
  EXPECT_EQ(disks->size(), 9u);
  EXPECT_TRUE(std::holds_alternative<SparseMask>(disks->front()));
  EXPECT_EQ(NameOf(disks->front()), "lattice:20,15,10,1,-2,9,-1,1,2[-1,-1]");
  const auto all = ParseMasks("lattice-union:20,15,10,1,-2,9,-1,1,9", shape);
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 1u);
  for (const double weight : all->front().weights) EXPECT_TRUE(weight == 0 || weight == 1);
  const auto sectors = ParseMasks("sectors:20,15,2,9,4,45", shape);
  ASSERT_TRUE(sectors.ok());
  EXPECT_EQ((*sectors)[3].name, "sectors:20,15,2,9,4,45[3]");
  ASSERT_TRUE(ParseMasks("harmonic:20,15,2,9,-3", shape).ok());
  EXPECT_EQ(ParseMasks("gradient:20,15", shape)->size(), 2u);
  for (const auto* wrong :
       {"sectors:20,15,2,9,0", "sectors:20,15,9,2,4", "sectors:20,15,2,9,1.5", "gradient:20",
        "harmonic:20,15,2,9,0.5", "lattice:20,15,10,1,-2,9,-1,1", "lattice:20,15,1,1,2,2,-1,1,2",
        "lattice", "gradient:900,900,3", "absent.npz"}) {
    EXPECT_FALSE(ParseAnyMasks(wrong, shape).ok()) << wrong;
  }
}

class SparseKernel : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { kernels::UseTarget(GetParam()); }
  void TearDown() override { kernels::UseTarget(""); }
};

template <typename Pixel>
void HoldAgainstScalar() {
  std::mt19937_64 random(5);
  constexpr size_t kPixels = 1003, kFrames = 19, kMasks = 9;
  std::vector<Pixel> data(kFrames * (kPixels + 5));
  for (Pixel& value : data) value = static_cast<Pixel>(random() % 251);
  std::vector<uint32_t> blocks = {0, 8, 40, 512, 992, 1000};
  std::vector<uint32_t> row_masks, row_starts = {0};
  std::vector<uint16_t> places;
  std::vector<double> weights;
  for (uint32_t k = 0; k < kMasks; k += 2) {
    for (size_t e = 0; e < 3 * k + 1; ++e) {
      const size_t block = random() % blocks.size();
      places.push_back(static_cast<uint16_t>(block * 8 + random() % (block == 5 ? 3 : 8)));
      weights.push_back(static_cast<double>(random() % 100) - 50);
    }
    row_masks.push_back(k);
    row_starts.push_back(static_cast<uint32_t>(places.size()));
  }
  const kernels::SparseChunk chunk{blocks.data(),     blocks.size(),    row_masks.data(),
                                   row_starts.data(), row_masks.size(), places.data(),
                                   weights.data()};
  const kernels::FramePixels<Pixel> frames{data.data(), kPixels + 5, kFrames, kPixels};
  std::vector<double> found(kFrames * (kMasks + 2), 7), expected = found;
  kernels::SparseProduct(frames, chunk, found.data(), kMasks + 2);
  kernels::scalar::SparseProduct(frames, chunk, expected.data(), kMasks + 2);
  EXPECT_EQ(found, expected);
}

TEST_P(SparseKernel, EqualsItsScalarTwin) {
  HoldAgainstScalar<uint8_t>();
  HoldAgainstScalar<int8_t>();
  HoldAgainstScalar<uint16_t>();
  HoldAgainstScalar<int16_t>();
  HoldAgainstScalar<float>();
}

INSTANTIATE_TEST_SUITE_P(EveryTarget, SparseKernel, testing::ValuesIn(kernels::AvailableTargets()));

}  // namespace
}  // namespace penstock
