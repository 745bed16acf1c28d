// PNG images: grey with 8 or 16 bits, RGB with 8 bits.
//
// Pixels are row-major, first row on top. Files are written under a temporary name and renamed; an
// existing file is replaced. Thread-safe.

#ifndef PENSTOCK_BASE_PNG_H_
#define PENSTOCK_BASE_PNG_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock {

struct ImageShape {
  int64_t rows = 0;
  int64_t columns = 0;

  int64_t pixel_count() const { return rows * columns; }
};

// A text chunk. `keyword`: 1 to 79 characters of ASCII ("Title", "Description", "Software", or
// one's own); `text`: UTF-8.
struct PngText {
  std::string keyword;
  std::string text;
};

// `pixels` holds exactly shape.pixel_count() values (three per pixel for RGB). kInvalidArgument for
// an empty shape, an axis above 2^31 - 1, a wrong number of values or a keyword that PNG forbids.
Status WriteGreyPng(const std::filesystem::path& path, ImageShape shape,
                    std::span<const uint8_t> pixels, const std::vector<PngText>& text = {});
Status WriteGreyPng(const std::filesystem::path& path, ImageShape shape,
                    std::span<const uint16_t> pixels, const std::vector<PngText>& text = {});
Status WriteRgbPng(const std::filesystem::path& path, ImageShape shape,
                   std::span<const uint8_t> pixels, const std::vector<PngText>& text = {});

}  // namespace penstock

#endif  // PENSTOCK_BASE_PNG_H_
