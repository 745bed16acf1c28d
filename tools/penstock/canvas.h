// A picture that is drawn on: pixels of one or three bytes, and small numbers.

#ifndef PENSTOCK_TOOLS_CANVAS_H_
#define PENSTOCK_TOOLS_CANVAS_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "penstock/base/png.h"

namespace penstock::tools {

class Canvas {
 public:
  // Black. `channels`: 1 for grey, 3 for colours.
  Canvas(ImageShape shape, size_t channels);

  ImageShape shape() const { return shape_; }
  const std::vector<uint8_t>& pixels() const { return pixels_; }

  // What lies outside is not drawn. `colour`: one byte per channel.
  void Set(int64_t row, int64_t column, std::span<const uint8_t> colour);
  // The image with its upper left corner in that of the canvas, every value as zoom x zoom pixels.
  // `values`: shape.pixel_count() values of one byte per channel.
  void Draw(ImageShape shape, int64_t zoom, std::span<const uint8_t> values);
  // White digits, points, signs and "e"; its upper left corner.
  void Write(int64_t row, int64_t column, std::string_view text);

  static int64_t WidthOf(std::string_view text);
  static int64_t HeightOfText();

 private:
  ImageShape shape_;
  size_t channels_;
  std::vector<uint8_t> pixels_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_CANVAS_H_
