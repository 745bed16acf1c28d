// Products of masks with pixels of 12 bits as detectors pack them, unpacked in registers on the
// way: two pixels in three bytes, low bits first (K2 IS).

#ifndef PENSTOCK_READER_KERNELS_PACKED_PRODUCT_H_
#define PENSTOCK_READER_KERNELS_PACKED_PRODUCT_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::kernels {

// How the values of masks are stored.
enum class MaskForm : uint8_t {
  kPlain,
  kScaled,  // those of even pixels are multiplied by kEvenScale
  kBits,    // of binary masks, one bit per pixel, low bits first
};
inline constexpr int32_t kEvenScale = 16;

// In which this machine is quickest, for values with |value| <= maximum_weight <= 32767.
MaskForm BestMaskForm(int32_t maximum_weight, bool binary);

// Some pixels of a run, and those masks that are not 0 all over them.
struct MaskChunk {
  size_t first_pixel = 0;           // even
  size_t pixels = 0;                // even
  const int16_t* values = nullptr;  // [mask][pixel]
  const uint32_t* bits = nullptr;   // [mask][words_of_bits()]: in their place where there are bits
  const uint16_t* masks = nullptr;  // their numbers, rising
  size_t mask_count = 0;

  size_t words_of_bits() const { return (pixels + 31) / 32; }
};

// A run of packed pixels of several frames, which lie anywhere.
struct PackedRun {
  const std::byte* const* frames = nullptr;  // one per frame: the first pixel of the run
  size_t pixels = 0;                         // even
  std::span<const MaskChunk> chunks{};
};

// What a stack of masks of integers is as a whole.
struct PackedMasks {
  static constexpr size_t kMost = 64;  // the numbers of masks are below it

  int32_t maximum_weight = 0;
  MaskForm form = MaskForm::kPlain;  // kPlain, or BestMaskForm
  // [mask]: the sum of the values of odd pixels over all chunks of all runs; where `form` is not
  // kPlain.
  const int64_t* odd_sums = nullptr;
};

// totals[frame * total_stride + mask] += sum over the chunks of pixel * mask value. Exact.
// Thread-safe. No byte behind a run is read.
void PackedMaskProduct(std::span<const PackedRun> runs, size_t frame_count,
                       const PackedMasks& masks, int64_t* totals, size_t total_stride);

namespace scalar {
// Pixel p of a frame.
inline int32_t PackedPixel(const std::byte* frame, size_t p) {
  const std::byte* const pair = frame + p / 2 * 3;
  const auto byte = [pair](size_t i) { return std::to_integer<int32_t>(pair[i]); };
  return p % 2 == 0 ? byte(0) | (byte(1) & 15) << 8 : byte(1) >> 4 | byte(2) << 4;
}
void PackedMaskProduct(std::span<const PackedRun> runs, size_t frame_count,
                       const PackedMasks& masks, int64_t* totals, size_t total_stride);
}  // namespace scalar

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_PACKED_PRODUCT_H_
