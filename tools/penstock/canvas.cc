#include "tools/penstock/canvas.h"

#include <algorithm>
#include <array>

namespace penstock::tools {

namespace {

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

constexpr std::array<uint8_t, 3> kWhite = {255, 255, 255};

}  // namespace

Canvas::Canvas(ImageShape shape, size_t channels)
    : shape_(shape),
      channels_(channels),
      pixels_(static_cast<size_t>(shape.pixel_count()) * channels) {}

void Canvas::Set(int64_t row, int64_t column, std::span<const uint8_t> colour) {
  if (row < 0 || row >= shape_.rows || column < 0 || column >= shape_.columns) return;
  const auto at = static_cast<size_t>(row * shape_.columns + column) * channels_;
  std::ranges::copy(colour.first(channels_), pixels_.begin() + static_cast<ptrdiff_t>(at));
}

void Canvas::Draw(ImageShape shape, int64_t zoom, std::span<const uint8_t> values) {
  for (int64_t row = 0; row < shape.rows * zoom; ++row) {
    for (int64_t column = 0; column < shape.columns * zoom; ++column) {
      const auto at = static_cast<size_t>(row / zoom * shape.columns + column / zoom);
      Set(row, column, values.subspan(at * channels_, channels_));
    }
  }
}

void Canvas::Write(int64_t row, int64_t column, std::string_view text) {
  for (const char character : text) {
    for (const Glyph& glyph : kGlyphs) {
      if (glyph.character != character) continue;
      for (int64_t y = 0; y < kGlyphHeight * kGlyphZoom; ++y) {
        for (int64_t x = 0; x < kGlyphWidth * kGlyphZoom; ++x) {
          const int bits = glyph.rows[static_cast<size_t>(y / kGlyphZoom)];
          if (((bits >> (kGlyphWidth - 1 - x / kGlyphZoom)) & 1) != 0) {
            Set(row + y, column + x, kWhite);
          }
        }
      }
    }
    column += (kGlyphWidth + 1) * kGlyphZoom;
  }
}

int64_t Canvas::WidthOf(std::string_view text) {
  return static_cast<int64_t>(text.size()) * (kGlyphWidth + 1) * kGlyphZoom;
}

int64_t Canvas::HeightOfText() { return kGlyphHeight * kGlyphZoom; }

}  // namespace penstock::tools
