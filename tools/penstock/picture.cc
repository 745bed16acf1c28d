#include "tools/penstock/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tools/penstock/canvas.h"

namespace penstock::tools {

namespace {

constexpr int64_t kComfortableSize = 256;
constexpr int64_t kGap = 6;
constexpr int64_t kBarWidth = 14;
// A thin picture (a series) still leaves room for the bar and its numbers, or for the wheel.
constexpr int64_t kLeastRows = 96;

int64_t ChooseZoom(ImageShape shape) {
  return std::max<int64_t>(kComfortableSize / std::max(shape.rows, shape.columns), 1);
}

double MeanOf(std::span<const double> values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (std::isfinite(value)) {
      sum += value;
      ++count;
    }
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

std::vector<double> Less(std::span<const double> values, double mean) {
  std::vector<double> result(values.begin(), values.end());
  for (double& value : result) value -= mean;
  return result;
}

// Every vector up to length 1 where it points to.
struct ColourWheel {
  static constexpr int64_t kRadius = 30;

  static void Draw(Canvas& canvas, int64_t centre_row, int64_t centre_column) {
    for (int64_t y = -kRadius; y <= kRadius; ++y) {
      for (int64_t x = -kRadius; x <= kRadius; ++x) {
        const double along_rows = static_cast<double>(y) / kRadius;
        const double along_columns = static_cast<double>(x) / kRadius;
        if (std::hypot(along_rows, along_columns) > 1) continue;
        canvas.Set(centre_row + y, centre_column + x,
                   DirectionToRgb({&along_rows, 1}, {&along_columns, 1}, 1));
      }
    }
  }
};

}  // namespace

Status WritePicture(const std::filesystem::path& path, ImageShape shape,
                    std::span<const double> values, const PictureOptions& options) {
  const DisplayRange range = RobustRange(values, options.clip);
  const int64_t zoom = ChooseZoom(shape);
  const std::string low = fmt::format("{:.4g}", range.low);
  const std::string high = fmt::format("{:.4g}", range.high);
  const int64_t text_width = std::max(Canvas::WidthOf(low), Canvas::WidthOf(high));

  const int64_t rows = std::max<int64_t>(shape.rows * zoom, kLeastRows);
  Canvas canvas({rows, shape.columns * zoom + kGap + kBarWidth + kGap + text_width}, 1);
  canvas.Draw(shape, zoom, ToGrey8(values, range, options.scale));
  const int64_t bar = shape.columns * zoom + kGap;
  for (int64_t row = 0; row < rows; ++row) {
    const auto level = static_cast<uint8_t>(255 - row * 255 / std::max<int64_t>(rows - 1, 1));
    for (int64_t column = 0; column < kBarWidth; ++column) {
      const bool frame = row == 0 || row == rows - 1 || column == 0 || column == kBarWidth - 1;
      const uint8_t grey = frame ? 128 : level;
      canvas.Set(row, bar + column, {&grey, 1});
    }
  }
  canvas.Write(0, bar + kBarWidth + kGap, high);
  canvas.Write(rows - Canvas::HeightOfText(), bar + kBarWidth + kGap, low);

  const bool logarithmic = options.scale == DisplayScale::kLogarithmic;
  return WriteGreyPng(path, canvas.shape(), canvas.pixels(),
                      {{"Title", options.title},
                       {"Software", "penstock " PENSTOCK_VERSION},
                       {"Penstock:Minimum", fmt::format("{}", range.low)},
                       {"Penstock:Maximum", fmt::format("{}", range.high)},
                       {"Penstock:Scale", logarithmic ? "logarithmic" : "linear"},
                       {"Penstock:Zoom", fmt::format("{}", zoom)},
                       {"Penstock:Shape", fmt::format("{},{}", shape.rows, shape.columns)}});
}

Status WriteVectorPicture(const std::filesystem::path& path, ImageShape shape,
                          std::span<const double> along_rows, std::span<const double> along_columns,
                          const std::string& title) {
  const double mean_row = MeanOf(along_rows);
  const double mean_column = MeanOf(along_columns);
  const std::vector<double> rows = Less(along_rows, mean_row);
  const std::vector<double> columns = Less(along_columns, mean_column);
  std::vector<double> lengths(rows.size());
  double longest = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    lengths[i] = std::hypot(rows[i], columns[i]);
    if (std::isfinite(lengths[i])) longest = std::max(longest, lengths[i]);
  }
  // Of one vector that is far longer than the rest the others would be black.
  const double brightest = RobustRange(lengths, PictureOptions().clip).high;

  const int64_t zoom = ChooseZoom(shape);
  const std::string length = fmt::format("{:.4g}", brightest);
  const int64_t wheel_width =
      std::max<int64_t>(2 * ColourWheel::kRadius + 1, Canvas::WidthOf(length));
  Canvas canvas({std::max<int64_t>(shape.rows * zoom, kLeastRows),
                 shape.columns * zoom + kGap + wheel_width + kGap},
                3);
  canvas.Draw(shape, zoom, DirectionToRgb(rows, columns, brightest));
  const int64_t wheel = shape.columns * zoom + kGap;
  const int64_t wheel_row = ColourWheel::kRadius + kGap;
  const int64_t wheel_column = wheel + wheel_width / 2;
  ColourWheel::Draw(canvas, wheel_row, wheel_column);
  canvas.Write(wheel_row + ColourWheel::kRadius + kGap, wheel_column - Canvas::WidthOf(length) / 2,
               length);
  return WriteRgbPng(
      path, canvas.shape(), canvas.pixels(),
      {{"Title", title},
       {"Software", "penstock " PENSTOCK_VERSION},
       {"Penstock:MeanRow", fmt::format("{}", mean_row)},
       {"Penstock:MeanColumn", fmt::format("{}", mean_column)},
       {"Penstock:LongestDeviation", fmt::format("{}", longest)},
       {"Penstock:BrightestDeviation", fmt::format("{}", brightest)},
       {"Penstock:Wheel", fmt::format("{},{},{}", wheel_row, wheel_column, ColourWheel::kRadius)},
       {"Penstock:Zoom", fmt::format("{}", zoom)},
       {"Penstock:Shape", fmt::format("{},{}", shape.rows, shape.columns)}});
}

}  // namespace penstock::tools
