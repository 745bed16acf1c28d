#include "tools/penstock/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

namespace penstock::tools {

namespace {

constexpr int64_t kComfortableSize = 256;
constexpr int64_t kGap = 6;
constexpr int64_t kBarWidth = 14;
constexpr int64_t kGlyphWidth = 3;
constexpr int64_t kGlyphHeight = 5;
constexpr int64_t kGlyphZoom = 2;

// Rows from the top, three bits each.
struct Glyph {
  char character;
  std::array<uint8_t, kGlyphHeight> rows;
};
constexpr std::array<Glyph, 14> kGlyphs = {{{'0', {7, 5, 5, 5, 7}},
                                            {'1', {2, 6, 2, 2, 7}},
                                            {'2', {7, 1, 7, 4, 7}},
                                            {'3', {7, 1, 7, 1, 7}},
                                            {'4', {5, 5, 7, 1, 1}},
                                            {'5', {7, 4, 7, 1, 7}},
                                            {'6', {7, 4, 7, 5, 7}},
                                            {'7', {7, 1, 1, 1, 1}},
                                            {'8', {7, 5, 7, 5, 7}},
                                            {'9', {7, 5, 7, 1, 7}},
                                            {'.', {0, 0, 0, 0, 2}},
                                            {'-', {0, 0, 7, 0, 0}},
                                            {'+', {0, 2, 7, 2, 0}},
                                            {'e', {0, 7, 7, 4, 7}}}};

struct Canvas {
  ImageShape shape;
  std::vector<uint8_t> pixels;

  explicit Canvas(ImageShape size) : shape(size), pixels(static_cast<size_t>(size.pixel_count())) {}
  void Set(int64_t row, int64_t column, uint8_t level) {
    if (row < 0 || row >= shape.rows || column < 0 || column >= shape.columns) return;
    pixels[static_cast<size_t>(row * shape.columns + column)] = level;
  }
};

int64_t TextWidth(std::string_view text) {
  return static_cast<int64_t>(text.size()) * (kGlyphWidth + 1) * kGlyphZoom;
}

void DrawText(Canvas& canvas, int64_t row, int64_t column, std::string_view text) {
  for (const char character : text) {
    for (const Glyph& glyph : kGlyphs) {
      if (glyph.character != character) continue;
      for (int64_t y = 0; y < kGlyphHeight * kGlyphZoom; ++y) {
        for (int64_t x = 0; x < kGlyphWidth * kGlyphZoom; ++x) {
          const int bits = glyph.rows[static_cast<size_t>(y / kGlyphZoom)];
          if (((bits >> (kGlyphWidth - 1 - x / kGlyphZoom)) & 1) != 0) {
            canvas.Set(row + y, column + x, 255);
          }
        }
      }
    }
    column += (kGlyphWidth + 1) * kGlyphZoom;
  }
}

int64_t ChooseZoom(ImageShape shape) {
  return std::max<int64_t>(kComfortableSize / std::max(shape.rows, shape.columns), 1);
}

}  // namespace

Status WritePicture(const std::filesystem::path& path, ImageShape shape,
                    std::span<const double> values, const PictureOptions& options) {
  const DisplayRange range = RobustRange(values, options.clip);
  const std::vector<uint8_t> levels = ToGrey8(values, range, options.scale);
  const int64_t zoom = ChooseZoom(shape);
  const std::string low = fmt::format("{:.4g}", range.low);
  const std::string high = fmt::format("{:.4g}", range.high);
  const int64_t text_width = std::max(TextWidth(low), TextWidth(high));

  // A thin picture (a series) still leaves room for the bar and its numbers.
  const int64_t rows = std::max<int64_t>(shape.rows * zoom, 64);
  Canvas canvas({rows, shape.columns * zoom + kGap + kBarWidth + kGap + text_width});
  for (int64_t row = 0; row < shape.rows * zoom; ++row) {
    for (int64_t column = 0; column < shape.columns * zoom; ++column) {
      canvas.Set(row, column,
                 levels[static_cast<size_t>(row / zoom * shape.columns + column / zoom)]);
    }
  }
  const int64_t bar = shape.columns * zoom + kGap;
  for (int64_t row = 0; row < rows; ++row) {
    const auto level = static_cast<uint8_t>(255 - row * 255 / std::max<int64_t>(rows - 1, 1));
    for (int64_t column = 0; column < kBarWidth; ++column) {
      const bool frame = row == 0 || row == rows - 1 || column == 0 || column == kBarWidth - 1;
      canvas.Set(row, bar + column, frame ? 128 : level);
    }
  }
  DrawText(canvas, 0, bar + kBarWidth + kGap, high);
  DrawText(canvas, rows - kGlyphHeight * kGlyphZoom, bar + kBarWidth + kGap, low);

  const bool logarithmic = options.scale == DisplayScale::kLogarithmic;
  return WriteGreyPng(path, canvas.shape, canvas.pixels,
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
  const auto about_mean = [](std::span<const double> values, double& mean) {
    double sum = 0;
    int64_t count = 0;
    for (const double value : values) {
      if (std::isfinite(value)) {
        sum += value;
        ++count;
      }
    }
    mean = count > 0 ? sum / static_cast<double>(count) : 0;
    std::vector<double> result(values.begin(), values.end());
    for (double& value : result) value -= mean;
    return result;
  };
  double mean_row = 0;
  double mean_column = 0;
  const std::vector<double> rows = about_mean(along_rows, mean_row);
  const std::vector<double> columns = about_mean(along_columns, mean_column);
  double longest = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double length = std::hypot(rows[i], columns[i]);
    if (std::isfinite(length)) longest = std::max(longest, length);
  }
  const std::vector<uint8_t> colours = DirectionToRgb(rows, columns);
  const int64_t zoom = ChooseZoom(shape);
  const ImageShape enlarged{shape.rows * zoom, shape.columns * zoom};
  std::vector<uint8_t> pixels;
  pixels.reserve(static_cast<size_t>(enlarged.pixel_count()) * 3);
  for (int64_t row = 0; row < enlarged.rows; ++row) {
    for (int64_t column = 0; column < enlarged.columns; ++column) {
      const auto at = static_cast<size_t>(row / zoom * shape.columns + column / zoom) * 3;
      pixels.insert(pixels.end(), colours.begin() + static_cast<ptrdiff_t>(at),
                    colours.begin() + static_cast<ptrdiff_t>(at) + 3);
    }
  }
  return WriteRgbPng(path, enlarged, pixels,
                     {{"Title", title},
                      {"Software", "penstock " PENSTOCK_VERSION},
                      {"Penstock:MeanRow", fmt::format("{}", mean_row)},
                      {"Penstock:MeanColumn", fmt::format("{}", mean_column)},
                      {"Penstock:LongestDeviation", fmt::format("{}", longest)},
                      {"Penstock:Zoom", fmt::format("{}", zoom)},
                      {"Penstock:Shape", fmt::format("{},{}", shape.rows, shape.columns)}});
}

}  // namespace penstock::tools
