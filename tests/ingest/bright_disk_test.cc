#include "ingest/pipeline/bright_disk.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "ingest/pipeline/binned_pattern.h"
#include "ingest/pipeline/disk_sums.h"

namespace penstock::ingest {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Drawn {
  ImageShape shape{96, 128};
  double background = 0.2;
  std::vector<double> pixels = std::vector<double>(96 * 128, background);

  double& at(int64_t row, int64_t column) {
    return pixels[static_cast<size_t>(row * shape.columns + column)];
  }
  void Ellipse(double row, double column, double half_rows, double half_columns, double level) {
    for (int64_t y = 0; y < shape.rows; ++y) {
      for (int64_t x = 0; x < shape.columns; ++x) {
        const double v = (static_cast<double>(y) - row) / half_rows;
        const double u = (static_cast<double>(x) - column) / half_columns;
        if (u * u + v * v <= 1) at(y, x) = level;
      }
    }
  }
  void Disk(double row, double column, double radius, double level) {
    Ellipse(row, column, radius, radius, level);
  }
  DiskSearch Find(int64_t bin = 1) const { return FindBrightDisk(shape, pixels, bin); }
};

TEST(BrightDisk, CentreAndRadius) {
  for (const double radius : {3.0, 9.5, 20.0, 31.0}) {
    Drawn drawn;
    drawn.Disk(41.3, 66.8, radius, 5);
    const DiskSearch found = drawn.Find();
    ASSERT_TRUE(found.disk) << found.reason;
    EXPECT_NEAR(found.disk->row, 41.3, 0.25);
    EXPECT_NEAR(found.disk->column, 66.8, 0.25);
    EXPECT_NEAR(found.disk->radius, radius, 0.5);
  }
}

TEST(BrightDisk, CountingNoiseStructureSpikesAndABeamStop) {
  std::mt19937 random(3);
  Drawn drawn;
  drawn.Disk(40, 60, 18, 4);
  for (double& pixel : drawn.pixels) {  // the mean of 20 frames
    pixel = static_cast<double>(std::poisson_distribution<int>(20 * pixel)(random)) / 20;
  }
  drawn.at(3, 4) = 1e6;                                     // hot
  drawn.at(38, 60) = 0;                                     // dead
  for (int64_t x = 0; x < 128; ++x) drawn.at(70, x) = 900;  // a hot line
  drawn.Disk(40, 60, 4, 0.2);                               // a hole in the middle
  const DiskSearch found = drawn.Find();
  ASSERT_TRUE(found.disk) << found.reason;
  EXPECT_NEAR(found.disk->row, 40, 0.5);
  EXPECT_NEAR(found.disk->column, 60, 0.5);
  EXPECT_NEAR(found.disk->radius, 18, 0.7);
}

TEST(BrightDisk, WeakDiffractedDisksDoNotMatter) {
  Drawn drawn;
  drawn.Disk(48, 64, 10, 10);
  drawn.Disk(48, 94, 10, 3);
  drawn.Disk(18, 64, 10, 2.5);
  const DiskSearch found = drawn.Find();
  ASSERT_TRUE(found.disk) << found.reason;
  EXPECT_NEAR(found.disk->column, 64, 0.2);
  EXPECT_NEAR(found.disk->radius, 10, 0.3);
}

TEST(BrightDisk, PixelsOfABinnedPattern) {
  Drawn drawn;
  drawn.Disk(40, 60, 20, 5);
  const DiskSearch found = drawn.Find(4);
  ASSERT_TRUE(found.disk) << found.reason;
  EXPECT_NEAR(found.disk->row, 161.5, 0.1);
  EXPECT_NEAR(found.disk->column, 241.5, 0.1);
  EXPECT_NEAR(found.disk->radius, 80, 1);
}

TEST(BrightDisk, RefusesWhatIsNoDisk) {
  Drawn flat;
  EXPECT_THAT(flat.Find().reason, HasSubstr("nothing stands out"));

  std::mt19937 random(5);
  Drawn noise;
  for (double& pixel : noise.pixels) pixel = std::normal_distribution<double>(10, 1)(random);
  EXPECT_FALSE(noise.Find().disk);

  Drawn bar;
  bar.Ellipse(48, 64, 6, 40, 5);
  EXPECT_THAT(bar.Find().reason, HasSubstr("not a compact disk"));

  Drawn ring;
  ring.Disk(48, 64, 30, 5);
  ring.Disk(48, 64, 24, 0.2);
  EXPECT_THAT(ring.Find().reason, HasSubstr("not a compact disk"));

  Drawn edge;
  edge.Disk(5, 64, 20, 5);
  EXPECT_THAT(edge.Find().reason, HasSubstr("edge"));

  Drawn many;
  for (const double x : {15.0, 45.0, 75.0, 105.0}) many.Disk(48, x, 8, 5);
  EXPECT_THAT(many.Find().reason, HasSubstr("not one region"));

  Drawn not_finite;
  not_finite.at(1, 1) = INFINITY;
  EXPECT_THAT(not_finite.Find().reason, HasSubstr("finite"));

  EXPECT_THAT(FindBrightDisk({4, 4}, std::vector<double>(16), 1).reason, HasSubstr("too small"));
}

template <typename T>
void ExpectDiskSums(ElementType type) {
  const DatasetShape shape{{2, 3, false}, {31, 27}, type};
  const BrightDisk disk{14.2, 11.75, 6.3};
  std::mt19937 random(9);
  std::vector<T> pixels(31 * 27);
  double bright = 0;
  double near = 0;
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<T>(random() % 200);
    if (std::is_signed_v<T> && i % 3 == 0) pixels[i] = static_cast<T>(-7);
    const size_t row = i / 27;
    const double distance = std::hypot(static_cast<double>(row) - disk.row,
                                       static_cast<double>(i - row * 27) - disk.column);
    if (distance <= disk.radius) bright += static_cast<double>(pixels[i]);
    if (distance <= kDarkFieldFrom * disk.radius) near += static_cast<double>(pixels[i]);
  }
  const DiskSum sum = DiskSums(shape, disk).Of(std::as_bytes(std::span(pixels)));
  EXPECT_EQ(sum.bright, bright);
  EXPECT_EQ(sum.near, near);
}

TEST(DiskSums, EveryElementType) {
  ExpectDiskSums<uint8_t>(ElementType::kUint8);
  ExpectDiskSums<int8_t>(ElementType::kInt8);
  ExpectDiskSums<uint16_t>(ElementType::kUint16);
  ExpectDiskSums<int16_t>(ElementType::kInt16);
  ExpectDiskSums<uint32_t>(ElementType::kUint32);
  ExpectDiskSums<int32_t>(ElementType::kInt32);
  ExpectDiskSums<uint64_t>(ElementType::kUint64);
  ExpectDiskSums<int64_t>(ElementType::kInt64);
  ExpectDiskSums<float>(ElementType::kFloat32);
  ExpectDiskSums<double>(ElementType::kFloat64);
}

TEST(DiskSums, LeaveOutWhatIsNoNumber) {
  const DatasetShape shape{{2, 3, false}, {9, 9}, ElementType::kFloat32};
  std::vector<float> pixels(81, 1.0F);
  pixels[4 * 9 + 4] = NAN;
  const DiskSum sum = DiskSums(shape, {4, 4, 1}).Of(std::as_bytes(std::span(pixels)));
  EXPECT_EQ(sum.bright, 4);
}

TEST(BinnedPattern, MeanOfCutBins) {
  BinnedPattern pattern({3, 5}, 2);
  EXPECT_EQ(pattern.bin(), 3);
  EXPECT_EQ(pattern.shape().rows, 1);
  EXPECT_EQ(pattern.shape().columns, 2);
  const std::vector<double> first{1, 2, 3, 40, 50, 4, 5};
  const std::vector<double> rest{6, 60, 70, 7, 8, NAN, 80, 90};
  pattern.Add(0, first);
  pattern.Add(7, rest);
  EXPECT_THAT(pattern.Mean(2), ElementsAre(2.0, 32.5));
}

}  // namespace
}  // namespace penstock::ingest
