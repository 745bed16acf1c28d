#include "penstock/base/png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <limits>
#include <new>
#include <string>

#include "penstock/base/file.h"

namespace penstock {

namespace {

struct Picture {
  ImageShape shape;
  int bit_depth = 8;
  int colour_type = PNG_COLOR_TYPE_GRAY;
  const png_byte* pixels = nullptr;
  size_t row_bytes = 0;
  std::vector<png_text> text;
};

// What the C callbacks of libpng write to; outlives the longjmp of an error.
struct Output {
  std::string bytes;
  std::string error;
};

void OnError(png_structp png, png_const_charp message) {
  auto* output = static_cast<Output*>(png_get_error_ptr(png));
  output->error = message;
  longjmp(png_jmpbuf(png), 1);
}

void OnWarning(png_structp, png_const_charp) {}

void OnWrite(png_structp png, png_bytep data, png_size_t size) {
  auto* output = static_cast<Output*>(png_get_io_ptr(png));
  bool full = false;
  try {
    output->bytes.append(reinterpret_cast<const char*>(data), size);
  } catch (const std::bad_alloc&) {
    full = true;
  }
  if (full) png_error(png, "out of memory");
}

void OnFlush(png_structp) {}

// libpng reports errors by longjmp into this function, so it owns nothing with a destructor.
bool Encode(const Picture& picture, Output& output) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &output, OnError, OnWarning);
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  if (info == nullptr) {
    png_destroy_write_struct(&png, nullptr);
    output.error = "libpng could not be started";
    return false;
  }
  if (setjmp(png_jmpbuf(png)) != 0) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, &output, OnWrite, OnFlush);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.shape.columns),
               static_cast<png_uint_32>(picture.shape.rows), picture.bit_depth, picture.colour_type,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!picture.text.empty()) {
    png_set_text(png, info, picture.text.data(), static_cast<int>(picture.text.size()));
  }
  png_write_info(png, info);
  if (picture.bit_depth == 16) png_set_swap(png);  // PNG is big-endian
  for (int64_t row = 0; row < picture.shape.rows; ++row) {
    png_write_row(png, picture.pixels + static_cast<size_t>(row) * picture.row_bytes);
  }
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return true;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Status CheckKeyword(const std::string& keyword) {
  const bool printable =
      std::all_of(keyword.begin(), keyword.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (printable && !keyword.empty() && keyword.size() <= 79 && keyword.front() != ' ' &&
      keyword.back() != ' ' && keyword.find("  ") == std::string::npos) {
    return {};
  }
  return Error::InvalidArgument("a PNG keyword of this form is not allowed")
      .Expected("1 to 79 printable ASCII characters without outer or double spaces")
      .Found("'" + keyword + "'");
}

template <typename Level>
Status Write(const std::filesystem::path& path, ImageShape shape, int colour_type,
             size_t values_per_pixel, std::span<const Level> pixels,
             const std::vector<PngText>& text) {
  const size_t values = pixels.size();
  constexpr int64_t kMaxAxis = std::numeric_limits<int32_t>::max();
  if (shape.rows <= 0 || shape.columns <= 0 || shape.rows > kMaxAxis || shape.columns > kMaxAxis ||
      values / values_per_pixel != static_cast<uint64_t>(shape.pixel_count()) ||
      values % values_per_pixel != 0) {
    return Error::InvalidArgument("the image cannot be written")
        .In(path)
        .Expected(std::to_string(shape.rows) + " x " + std::to_string(shape.columns) +
                  " pixels, both positive")
        .Found(std::to_string(values) + " values");
  }
  Picture picture{
      .shape = shape,
      .bit_depth = 8 * sizeof(Level),
      .colour_type = colour_type,
      .pixels = reinterpret_cast<const png_byte*>(pixels.data()),
      .row_bytes = static_cast<size_t>(shape.columns) * values_per_pixel * sizeof(Level),
      .text = {}};
  for (const PngText& chunk : text) {
    PENSTOCK_RETURN_IF_ERROR(CheckKeyword(chunk.keyword));
    png_text entry{};
    entry.compression = IsAscii(chunk.text) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    // libpng copies both and does not write to them.
    entry.key = const_cast<png_charp>(chunk.keyword.c_str());
    entry.text = const_cast<png_charp>(chunk.text.c_str());
    picture.text.push_back(entry);
  }
  Output output;
  if (!Encode(picture, output)) {
    return Error::Internal("cannot encode the image: " + output.error).In(path);
  }
  return WriteFileAtomically(path, output.bytes);
}

}  // namespace

Status WriteGreyPng(const std::filesystem::path& path, ImageShape shape,
                    std::span<const uint8_t> pixels, const std::vector<PngText>& text) {
  return Write(path, shape, PNG_COLOR_TYPE_GRAY, 1, pixels, text);
}

Status WriteGreyPng(const std::filesystem::path& path, ImageShape shape,
                    std::span<const uint16_t> pixels, const std::vector<PngText>& text) {
  return Write(path, shape, PNG_COLOR_TYPE_GRAY, 1, pixels, text);
}

Status WriteRgbPng(const std::filesystem::path& path, ImageShape shape,
                   std::span<const uint8_t> pixels, const std::vector<PngText>& text) {
  return Write(path, shape, PNG_COLOR_TYPE_RGB, 3, pixels, text);
}

}  // namespace penstock
