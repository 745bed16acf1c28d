// Mask shapes against hand-drawn ones, and the text form with its errors.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "penstock/base/npy.h"
#include "penstock/reader/mask.h"

namespace penstock {
namespace {

std::string Drawn(const Mask& mask) {
  std::string picture;
  for (int64_t r = 0; r < mask.shape.rows; ++r) {
    for (int64_t c = 0; c < mask.shape.columns; ++c) {
      const double weight = mask.weights[static_cast<size_t>(r * mask.shape.columns + c)];
      picture += weight == 1 ? '#' : weight == 0 ? '.' : '?';
    }
    picture += '\n';
  }
  return picture;
}

TEST(Masks, DiskHoldsPixelsWhoseCentreLiesWithin) {
  EXPECT_EQ(Drawn(DiskMask({5, 7}, 2, 3, 2)),
            "...#...\n"
            "..###..\n"
            ".#####.\n"
            "..###..\n"
            "...#...\n");
  // Off the pixel centres, and cut at the edge.
  EXPECT_EQ(Drawn(DiskMask({3, 4}, 0.5, 0.5, 0.75)),
            "##..\n"
            "##..\n"
            "....\n");
}

TEST(Masks, AnnulusIsTheOuterDiskWithoutTheInner) {
  const SignalShape shape{33, 40};
  const Mask annulus = AnnulusMask(shape, 15.3, 18.9, 5, 11.5);
  const Mask inner = DiskMask(shape, 15.3, 18.9, 5);
  const Mask outer = DiskMask(shape, 15.3, 18.9, 11.5);
  for (size_t p = 0; p < annulus.weights.size(); ++p) {
    EXPECT_EQ(annulus.weights[p] + inner.weights[p], outer.weights[p]);
  }
  EXPECT_EQ(Drawn(AnnulusMask({5, 5}, 2, 2, 1, 2)),
            "..#..\n"
            ".#.#.\n"
            "#...#\n"
            ".#.#.\n"
            "..#..\n");
}

TEST(Masks, SegmentsTurnFromColumnsTowardsRows) {
  // Angle 0 to the right, 90 downwards; the first angle belongs to the segment, the last does not.
  EXPECT_EQ(Drawn(SegmentMask({5, 5}, 2, 2, 0, 3, 0, 90)),
            ".....\n"
            ".....\n"
            "..###\n"
            "...##\n"
            "...##\n");
  EXPECT_EQ(Drawn(SegmentMask({5, 5}, 2, 2, 0, 3, 90, 180)),
            ".....\n"
            ".....\n"
            ".....\n"
            "###..\n"
            "###..\n");
}

TEST(Masks, SegmentsTileTheAnnulus) {
  const SignalShape shape{41, 37};
  std::vector<double> sum(static_cast<size_t>(shape.pixel_count()));
  for (int i = 0; i < 8; ++i) {
    // Beyond 360 and below 0: angles are taken modulo 360.
    const Mask mask = SegmentMask(shape, 20.2, 17.6, 4, 15, 45.0 * i - 100, 45.0 * (i + 1) - 100);
    for (size_t p = 0; p < sum.size(); ++p) sum[p] += mask.weights[p];
  }
  EXPECT_EQ(sum, AnnulusMask(shape, 20.2, 17.6, 4, 15).weights);
  EXPECT_EQ(SegmentMask(shape, 20, 17, 4, 15, 10, 370).weights,
            AnnulusMask(shape, 20, 17, 4, 15).weights);
}

TEST(Masks, RectangleIsHalfOpen) {
  EXPECT_EQ(Drawn(RectangleMask({3, 4}, 1, 0, 3, 2)),
            "....\n"
            "##..\n"
            "##..\n");
}

TEST(ParseMasks, UnderstandsEveryForm) {
  const SignalShape shape{20, 30};
  const auto one = [&](std::string_view text) {
    auto masks = ParseMasks(text, shape);
    EXPECT_TRUE(masks.ok()) << (masks.ok() ? "" : masks.error().ToString());
    EXPECT_EQ(masks->size(), 1u);
    EXPECT_EQ((*masks)[0].name, text);
    return (*masks)[0].weights;
  };
  EXPECT_EQ(one("disk:9.5,14,6"), DiskMask(shape, 9.5, 14, 6).weights);
  EXPECT_EQ(one("annulus:9,14,3,8.25"), AnnulusMask(shape, 9, 14, 3, 8.25).weights);
  EXPECT_EQ(one("segment:9,14,3,8,-30,60"), SegmentMask(shape, 9, 14, 3, 8, -30, 60).weights);
  EXPECT_EQ(one("rectangle:1,2,5,9"), RectangleMask(shape, 1, 2, 5, 9).weights);
  EXPECT_EQ(one("full"), std::vector<double>(600, 1.0));
}

TEST(ParseMasks, RefusesNonsenseAndSaysWhatIsKnown) {
  const SignalShape shape{20, 30};
  for (const std::string_view text :
       {"", "disk", "disk:", "disk:1,2", "disk:1,2,3,4", "disk:a,2,3", "disk:1,2,3x",
        "disk:1,2,nan", "disk:1,2,inf", "annulus:1,2,5,4", "annulus:1,2,-1,4",
        "segment:1,2,0,4,90,90", "blob:1,2,3", "disk:100,100,3", "rectangle:5,5,5,9", "full:1"}) {
    const auto masks = ParseMasks(text, shape);
    ASSERT_FALSE(masks.ok()) << text;
    EXPECT_EQ(masks.error().kind(), ErrorKind::kInvalidArgument) << text;
    EXPECT_NE(masks.error().ToString().find(std::string("'") + std::string(text) + "'"),
              std::string::npos)
        << masks.error().ToString();
  }
}

class MaskFile : public testing::Test {
 protected:
  MaskFile()
      : path_(std::filesystem::temp_directory_path() / ("mask-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(path_);
  }
  ~MaskFile() override { std::filesystem::remove_all(path_); }

  template <typename T>
  std::filesystem::path Write(const char* name, ElementType type, std::vector<int64_t> shape,
                              const std::vector<T>& values) {
    const Status written = WriteNpy(path_ / name, type, shape, std::as_bytes(std::span(values)));
    EXPECT_TRUE(written.ok());
    return path_ / name;
  }

  std::filesystem::path path_;
};

TEST_F(MaskFile, OneOrSeveralMasksOfAnyType) {
  std::vector<float> weights(2 * 3 * 4);
  std::iota(weights.begin(), weights.end(), -5.5f);
  const auto stack = LoadMasks(Write("s.npy", ElementType::kFloat32, {2, 3, 4}, weights), {3, 4});
  ASSERT_TRUE(stack.ok()) << stack.error().ToString();
  ASSERT_EQ(stack->size(), 2u);
  EXPECT_EQ((*stack)[0].name, "s.npy[0]");
  EXPECT_EQ((*stack)[1].weights, std::vector<double>(weights.begin() + 12, weights.end()));

  const std::vector<int16_t> integers = {1, -2, 3, 4, 5, 32000};
  const auto single =
      ParseMasks(Write("i.npy", ElementType::kInt16, {2, 3}, integers).string(), SignalShape{2, 3});
  ASSERT_TRUE(single.ok());
  EXPECT_EQ((*single)[0].name, "i.npy");
  EXPECT_EQ((*single)[0].weights, std::vector<double>(integers.begin(), integers.end()));
}

TEST_F(MaskFile, WrongShapesTypesAndValuesAreNamed) {
  const std::vector<float> zeros(12);
  const auto wrong_shape = LoadMasks(Write("a.npy", ElementType::kFloat32, {3, 4}, zeros), {4, 3});
  ASSERT_FALSE(wrong_shape.ok());
  EXPECT_NE(wrong_shape.error().ToString().find("a.npy"), std::string::npos);
  EXPECT_EQ(wrong_shape.error().found(), "(3, 4)");

  const std::vector<float> pairs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const auto complex = LoadMasks(Write("c.npy", ElementType::kComplex64, {2, 3}, pairs), {2, 3});
  ASSERT_TRUE(complex.ok());
  EXPECT_EQ((*complex)[0].weights, (std::vector<double>{1, 3, 5, 7, 9, 11}));
  EXPECT_EQ((*complex)[0].imaginary, (std::vector<double>{2, 4, 6, 8, 10, 12}));

  std::vector<float> bad(12, 1.0f);
  bad[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(LoadMasks(Write("n.npy", ElementType::kFloat32, {3, 4}, bad), {3, 4}).ok());
  EXPECT_FALSE(LoadMasks(path_ / "absent.npy", {3, 4}).ok());
}

}  // namespace
}  // namespace penstock
