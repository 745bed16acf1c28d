// From the packed pixels of detector files to native little-endian arrays.
//
// Every function picks the best instruction set of the machine at run time and has a plain twin of
// the same signature in namespace `scalar` (unpack_scalar.h); tests hold each against its twin.
// All are pure and thread-safe. Source and destination may have any alignment and must not
// overlap; only the stated bytes are read and written.
//
// The layouts are those of the Merlin MIB format (processed data: big-endian words; raw data
// "R64": big-endian 64-bit words with the lowest pixel in the lowest bits), of Gatan K2 IS (uint12,
// two pixels in three bytes, low bits first) and of MRC (4-bit integers, float16).

#ifndef PENSTOCK_INGEST_UNPACK_UNPACK_H_
#define PENSTOCK_INGEST_UNPACK_UNPACK_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::ingest {

static_assert(std::endian::native == std::endian::little,
              "the kernels write native integers, which the layout wants little-endian");

// Big-endian 16-bit or 32-bit pixels to little-endian; 2 or 4 bytes per pixel on both sides.
void SwapBytes16(const std::byte* source, std::byte* destination, size_t pixels);
void SwapBytes32(const std::byte* source, std::byte* destination, size_t pixels);

// Packed uint12 to uint16: reads (3 * pixels + 1) / 2 bytes, writes 2 * pixels.
void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels);

// Blocks of packed uint12, 16 pixels wide, that lie side by side in an image (K2 IS): 24 bytes per
// row in each block, 32 bytes in the image.
struct Uint12Blocks {
  static constexpr size_t kRowBytes = 24;
  static constexpr size_t kImageBytes = 32;

  const std::byte* const* blocks = nullptr;  // the packed pixels of each, from left to right
  size_t block_count = 0;
  size_t first_row = 0;  // of the blocks
  size_t row_count = 0;
  std::byte* destination = nullptr;  // of the first row's first pixel of the first block
  size_t destination_stride = 0;     // bytes from one image row to the next
  // What lies so far behind each row is asked for, which need not be in the block; 0: nothing is.
  size_t prefetch_bytes = 0;
};
void UnpackUint12Blocks(const Uint12Blocks& blocks);

// 4-bit pixels to uint8, the first of a byte in its low bits: reads (pixels + 1) / 2 bytes.
void UnpackUint4(const std::byte* source, std::byte* destination, size_t pixels);

// IEEE 754 float16 to float32, which is exact: reads 2 bytes per pixel, writes 4.
void WidenFloat16(const std::byte* source, std::byte* destination, size_t pixels, bool big_endian);

// kReversed mirrors each row: the first pixel of the source row is written last.
enum class PixelOrder : uint8_t { kForward, kReversed };

// The pixel rows of one chip inside a raw frame, and where they go in the image. Strides are in
// bytes from one row to the next; the destination's is negative where rows go upward.
struct PixelRows {
  const std::byte* source = nullptr;
  size_t source_stride = 0;
  std::byte* destination = nullptr;
  ptrdiff_t destination_stride = 0;
  size_t row_count = 0;
  size_t pixels_per_row = 0;  // a multiple of 64 at depth 1, of 8 at depth 6, of 4 at 12 and 24
  PixelOrder order = PixelOrder::kForward;
  const std::byte* lower_source = nullptr;  // depth 24 alone, see there; same stride
};

// R64, by counter depth: 1 bit to uint8, 6 bit to uint8, 12 bit to uint16. The chips of one frame
// are unpacked row by row, the first row of each, then the second, as they lie in the file; all
// have the same number of rows.
void UnpackR64Depth1(std::span<const PixelRows> chips);
void UnpackR64Depth6(std::span<const PixelRows> chips);
void UnpackR64Depth12(std::span<const PixelRows> chips);

// R64 at depth 24 to uint32: the half frame at `source` holds the upper 12 bits, the one at
// `lower_source` the lower: value = upper * 4096 + lower.
void UnpackR64Depth24(std::span<const PixelRows> chips);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_UNPACK_UNPACK_H_
