#include "ingest/unpack/unpack_scalar.h"

#include <cstdint>
#include <cstring>

namespace penstock::ingest::scalar {

namespace {

constexpr size_t kWordBytes = 8;

uint64_t LoadBigEndianWord(const std::byte* source) {
  uint64_t word = 0;
  for (size_t i = 0; i < kWordBytes; ++i) word = word << 8 | std::to_integer<uint64_t>(source[i]);
  return word;
}

template <typename T>
void Store(std::byte* destination, size_t index, T value) {
  std::memcpy(destination + index * sizeof(T), &value, sizeof(T));
}

// Pixel i of a row whose pixels take `field_bits` bits each of big-endian 64-bit words.
uint64_t R64Pixel(const std::byte* row, size_t i, size_t field_bits) {
  const size_t per_word = 64 / field_bits;
  const uint64_t word = LoadBigEndianWord(row + i / per_word * kWordBytes);
  return word >> (i % per_word * field_bits) & ((uint64_t{1} << field_bits) - 1);
}

// Calls pixel(chip, source row offset, i) for every pixel and stores the result as T.
template <typename T, typename PixelAt>
void UnpackRows(std::span<const PixelRows> chips, PixelAt pixel) {
  for (const PixelRows& rows : chips) {
    for (size_t row = 0; row < rows.row_count; ++row) {
      std::byte* destination =
          rows.destination + static_cast<ptrdiff_t>(row) * rows.destination_stride;
      for (size_t i = 0; i < rows.pixels_per_row; ++i) {
        const size_t target = rows.order == PixelOrder::kForward ? i : rows.pixels_per_row - 1 - i;
        Store(destination, target, static_cast<T>(pixel(rows, row * rows.source_stride, i)));
      }
    }
  }
}

}  // namespace

void SwapBytes16(const std::byte* source, std::byte* destination, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i) {
    destination[2 * i] = source[2 * i + 1];
    destination[2 * i + 1] = source[2 * i];
  }
}

void SwapBytes32(const std::byte* source, std::byte* destination, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i) {
    for (size_t byte = 0; byte < 4; ++byte) destination[4 * i + byte] = source[4 * i + 3 - byte];
  }
}

void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i) {
    const std::byte* pair = source + i / 2 * 3;
    const auto middle = std::to_integer<unsigned>(pair[1]);
    const unsigned value = i % 2 == 0 ? std::to_integer<unsigned>(pair[0]) + 256 * (middle % 16)
                                      : middle / 16 + 16 * std::to_integer<unsigned>(pair[2]);
    Store(destination, i, static_cast<uint16_t>(value));
  }
}

void UnpackUint12Blocks(const Uint12Blocks& blocks) {
  for (size_t row = 0; row < blocks.row_count; ++row) {
    for (size_t block = 0; block < blocks.block_count; ++block) {
      UnpackUint12(
          blocks.blocks[block] + (blocks.first_row + row) * Uint12Blocks::kRowBytes,
          blocks.destination + row * blocks.destination_stride + block * Uint12Blocks::kImageBytes,
          Uint12Blocks::kImageBytes / 2);
    }
  }
}

void UnpackUint4(const std::byte* source, std::byte* destination, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i) {
    const auto pair = std::to_integer<unsigned>(source[i / 2]);
    Store(destination, i, static_cast<uint8_t>(i % 2 == 0 ? pair % 16 : pair / 16));
  }
}

void WidenFloat16(const std::byte* source, std::byte* destination, size_t pixels, bool big_endian) {
  for (size_t i = 0; i < pixels; ++i) {
    const auto first = std::to_integer<uint32_t>(source[2 * i]);
    const auto second = std::to_integer<uint32_t>(source[2 * i + 1]);
    const uint32_t half = big_endian ? first << 8 | second : second << 8 | first;
    const uint32_t exponent = half >> 10 & 0x1F;
    const uint32_t mantissa = half & 0x3FF;
    uint32_t bits = 0;
    if (exponent == 0x1F) {
      bits = 0x7F800000 | mantissa << 13;
    } else if (exponent != 0) {
      bits = (exponent + 112) << 23 | mantissa << 13;
    } else {  // subnormal: mantissa * 2^-24
      const float value = static_cast<float>(mantissa) / 16777216.0F;
      std::memcpy(&bits, &value, sizeof(bits));
    }
    Store(destination, i, bits | (half & 0x8000) << 16);
  }
}

void UnpackR64Depth1(std::span<const PixelRows> chips) {
  UnpackRows<uint8_t>(chips, [](const PixelRows& rows, size_t offset, size_t i) {
    return R64Pixel(rows.source + offset, i, 1);
  });
}

void UnpackR64Depth6(std::span<const PixelRows> chips) {
  UnpackRows<uint8_t>(chips, [](const PixelRows& rows, size_t offset, size_t i) {
    return R64Pixel(rows.source + offset, i, 8);
  });
}

void UnpackR64Depth12(std::span<const PixelRows> chips) {
  UnpackRows<uint16_t>(chips, [](const PixelRows& rows, size_t offset, size_t i) {
    return R64Pixel(rows.source + offset, i, 16);
  });
}

void UnpackR64Depth24(std::span<const PixelRows> chips) {
  UnpackRows<uint32_t>(chips, [](const PixelRows& rows, size_t offset, size_t i) {
    return R64Pixel(rows.source + offset, i, 16) * 4096 +
           R64Pixel(rows.lower_source + offset, i, 16);
  });
}

}  // namespace penstock::ingest::scalar
