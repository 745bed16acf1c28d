#include "penstock/base/png.h"

#include <gtest/gtest.h>
#include <png.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "penstock/base/display.h"
#include "penstock/base/file.h"

namespace penstock {
namespace {

class Png : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) / ("png_test." + std::to_string(getpid()));
  }
  void TearDown() override { std::filesystem::remove(path_); }

  // Decodes with libpng's other, simplified interface.
  std::vector<uint8_t> Decode(png_uint_32 format, uint32_t rows, uint32_t columns) const {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    EXPECT_NE(png_image_begin_read_from_file(&image, path_.c_str()), 0) << image.message;
    EXPECT_EQ(image.width, columns);
    EXPECT_EQ(image.height, rows);
    image.format = format;
    std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
    EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
    return pixels;
  }

  std::filesystem::path path_;
};

TEST_F(Png, Grey8RowMajorTopDown) {
  const std::vector<uint8_t> pixels{0, 50, 100, 150, 200, 255};
  ASSERT_TRUE(WriteGreyPng(path_, {.rows = 2, .columns = 3}, pixels).ok());
  EXPECT_EQ(Decode(PNG_FORMAT_GRAY, 2, 3), pixels);
}

TEST_F(Png, Rgb8) {
  const std::vector<uint8_t> pixels{255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3};
  ASSERT_TRUE(WriteRgbPng(path_, {.rows = 2, .columns = 2}, pixels).ok());
  EXPECT_EQ(Decode(PNG_FORMAT_RGB, 2, 2), pixels);
}

TEST_F(Png, Grey16IsBigEndianInTheFile) {
  const std::vector<uint16_t> pixels{0x0102, 0xfffe};
  ASSERT_TRUE(WriteGreyPng(path_, {.rows = 1, .columns = 2}, pixels).ok());
  const Result<std::string> bytes = ReadWholeFile(path_, 1 << 16);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(static_cast<int>((*bytes)[24]), 16);  // IHDR: bit depth
  EXPECT_EQ(static_cast<int>((*bytes)[25]), 0);   // IHDR: grey
  // This interface takes 16-bit grey as linear light, so nothing is converted.
  EXPECT_EQ(Decode(PNG_FORMAT_LINEAR_Y, 1, 2), (std::vector<uint8_t>{0x02, 0x01, 0xfe, 0xff}));
}

TEST_F(Png, CarriesText) {
  const std::vector<uint8_t> pixels{7};
  ASSERT_TRUE(WriteGreyPng(path_, {.rows = 1, .columns = 1}, pixels,
                           {{"Title", "mean"}, {"Description", "0.5 \xc3\x85"}})
                  .ok());
  const std::string bytes = *ReadWholeFile(path_, 1 << 16);
  EXPECT_NE(bytes.find(std::string("tEXtTitle\0mean", 14)), std::string::npos);
  EXPECT_NE(bytes.find("iTXtDescription"), std::string::npos);
  EXPECT_EQ(Decode(PNG_FORMAT_GRAY, 1, 1), pixels);
}

TEST_F(Png, RefusesWrongSizesAndKeywords) {
  const std::vector<uint8_t> pixels(6);
  for (const ImageShape shape : {ImageShape{2, 2}, ImageShape{0, 6}, ImageShape{-1, -6}}) {
    const Status written = WriteGreyPng(path_, shape, pixels);
    ASSERT_FALSE(written.ok());
    EXPECT_EQ(written.error().kind(), ErrorKind::kInvalidArgument);
  }
  EXPECT_FALSE(WriteRgbPng(path_, {2, 3}, pixels).ok());
  for (const std::string& keyword : {std::string(), std::string(80, 'x'), std::string(" x")}) {
    EXPECT_FALSE(WriteGreyPng(path_, {2, 3}, pixels, {{keyword, "text"}}).ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST(Display, LinearLevelsAndClipping) {
  const std::vector<double> values{-5, 0, 5, 10, 20, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_EQ(ToGrey8(values, {.low = 0, .high = 10}),
            (std::vector<uint8_t>{0, 0, 128, 255, 255, 0}));
  EXPECT_EQ(ToGrey16(values, {.low = 0, .high = 10}),
            (std::vector<uint16_t>{0, 0, 32768, 65535, 65535, 0}));
}

TEST(Display, LogarithmicLevels) {
  const std::vector<double> values{1, 100, 1 + std::expm1(std::log1p(999.0) / 2), 1000};
  const std::vector<uint8_t> levels =
      ToGrey8(values, {.low = 1, .high = 1000}, DisplayScale::kLogarithmic);
  EXPECT_EQ(levels[0], 0);
  EXPECT_EQ(levels[1], std::lround(255 * std::log(100.0) / std::log(1000.0)));
  EXPECT_EQ(levels[2], 128);  // half of the decades
  EXPECT_EQ(levels[3], 255);
}

TEST(Display, RobustRangeLeavesOutHotPixelsAndNan) {
  std::vector<double> values;
  for (int i = 0; i <= 1000; ++i) values.push_back(i);
  values.push_back(1e9);
  values.push_back(std::numeric_limits<double>::infinity());
  values.push_back(std::numeric_limits<double>::quiet_NaN());
  const DisplayRange range = RobustRange(values, 0.01);
  EXPECT_NEAR(range.low, 10, 1);
  EXPECT_NEAR(range.high, 990, 2);
  const DisplayRange full = RobustRange(values, 0);
  EXPECT_EQ(full.low, 0);
  EXPECT_EQ(full.high, 1e9);
  // One bright pixel among zeros: the quantiles coincide, so the full range is shown.
  std::vector<double> dark(10000, 0.0);
  dark[5000] = 4;
  EXPECT_EQ(RobustRange(dark).high, 4);
  EXPECT_EQ(RobustRange(std::vector<double>(5, 3.0)).low, 3);
  EXPECT_EQ(RobustRange(std::vector<double>(5, 3.0)).high, 4);
  EXPECT_EQ(RobustRange({}).high, 1);
}

TEST(Display, CubehelixGetsSteadilyLighter) {
  std::vector<double> values;
  for (int i = 0; i <= 255; ++i) values.push_back(i);
  const std::vector<uint8_t> rgb = ToRgb(values, {.low = 0, .high = 255}, ColourMap::kCubehelix);
  ASSERT_EQ(rgb.size(), 256U * 3);
  EXPECT_EQ((std::vector<uint8_t>{rgb[0], rgb[1], rgb[2]}), (std::vector<uint8_t>{0, 0, 0}));
  EXPECT_EQ(rgb.back(), 255);
  double before = -1;
  for (size_t i = 0; i < 256; ++i) {  // perceived intensity, as in Green's paper
    const double now = 0.30 * rgb[3 * i] + 0.59 * rgb[3 * i + 1] + 0.11 * rgb[3 * i + 2];
    EXPECT_GT(now, before - 0.6) << i;  // rounding to whole levels
    before = now;
  }
}

TEST(Display, DirectionsHaveDistinctHuesAndZeroIsBlack) {
  const std::vector<double> rows{0, 0, 1, 0};
  const std::vector<double> columns{1, -1, 0, 0};
  const std::vector<uint8_t> rgb = DirectionToRgb(rows, columns);
  EXPECT_EQ(rgb[0], 255);  // along +columns: red
  EXPECT_EQ(rgb[3], 0);    // the opposite: no red
  EXPECT_EQ((std::vector<uint8_t>{rgb[9], rgb[10], rgb[11]}), (std::vector<uint8_t>{0, 0, 0}));
}

}  // namespace
}  // namespace penstock
