// What a device is asked to compute: one plain structure for each kernel, all pointers into the
// device's memory. kernels/dispatch.h finds the kernel for the types.

#ifndef PENSTOCK_READER_DEVICE_KERNEL_CALL_H_
#define PENSTOCK_READER_DEVICE_KERNEL_CALL_H_

#include <cstddef>
#include <cstdint>
#include <variant>

#include "penstock/base/element_type.h"

namespace penstock {

// Whole frames, one after another. Each begins at a multiple of 16 bytes; what lies between them is
// zero.
struct StagedFrames {
  ElementType element_type = ElementType::kUint16;
  const std::byte* pixels = nullptr;
  size_t frame_stride = 0;         // bytes, a multiple of 16
  const uint8_t* valid = nullptr;  // one per frame
  int64_t frame_count = 0;
};

// How the weights of a stack of masks are kept (kernels/mask_layout.h).
enum class WeightKind : uint8_t {
  kInt8,    // exact, of pixels of 8 and 16 bits
  kFloat,   // of unsigned pixels of 8 and 16 bits and of float32
  kInt64,   // exact, of all integers
  kDouble,  // of everything else
};

// partials[((frame * masks) + mask) * chunks + chunk] = sum of pixel * weight over the chunk, int64
// or float64; `masks` includes those that fill up the last group.
struct MaskProductCall {
  StagedFrames frames;
  WeightKind weight_kind = WeightKind::kInt8;
  const std::byte* weights = nullptr;
  int64_t mask_groups = 0;
  int64_t chunks = 0;  // of pixels
  std::byte* partials = nullptr;
};

// partials[frame * pieces + piece] = sum of the pixels of the piece, int64 or float64. Pixel i of
// piece q is pixels_of[i * pieces + q].
struct PieceSumsCall {
  StagedFrames frames;
  const uint32_t* pixels_of = nullptr;
  const uint32_t* lengths = nullptr;  // of each piece
  int64_t pieces = 0;
  std::byte* partials = nullptr;
};

// totals[frame * runs + r] = sum of partials[frame * partial_count + i], first[r] <= i < first[r +
// 1], in this order.
struct RunSumsCall {
  bool integer = true;  // int64, or float64
  const std::byte* partials = nullptr;
  int64_t partial_count = 0;  // per frame
  const int64_t* first = nullptr;
  int64_t runs = 0;
  int64_t frame_count = 0;
  std::byte* totals = nullptr;
};

// sums[slice * pixels + p] += pixel p of the valid frames of the slice, frame after frame; `pixels`
// includes those that fill up a frame. int64 (modulo 2^64) or float64.
struct FrameSumsCall {
  StagedFrames frames;
  int64_t slices = 1;
  std::byte* sums = nullptr;
};

// The same, and the squares: pixels of 8 and 16 bits without a sign, exact.
struct MomentsCall {
  StagedFrames frames;
  int64_t slices = 1;
  uint64_t* sums = nullptr;
  uint64_t* squares = nullptr;
};

// shift[p] = pixel p of one frame, 0 where it is not finite.
struct TakeShiftCall {
  StagedFrames frames;
  int64_t frame = 0;
  double* shift = nullptr;
};

// sums[p] += x - shift[p], squares[p] += (x - shift[p])^2 over the valid frames, frame after frame.
struct ShiftedMomentsCall {
  StagedFrames frames;
  const double* shift = nullptr;
  double* sums = nullptr;
  double* squares = nullptr;
};

using KernelCall = std::variant<MaskProductCall, PieceSumsCall, RunSumsCall, FrameSumsCall,
                                MomentsCall, TakeShiftCall, ShiftedMomentsCall>;

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_KERNEL_CALL_H_
