// The walk that all kernels of pixel-by-pixel results share; included once per instruction set.

#if defined(PENSTOCK_READER_KERNELS_OVER_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_OVER_TILE_INL_H_
#undef PENSTOCK_READER_KERNELS_OVER_TILE_INL_H_
#else
#define PENSTOCK_READER_KERNELS_OVER_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

#include "reader/kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

inline constexpr size_t kGroupFrames = 8;
// A group goes on for so long before it is the turn of the next: the processor foresees long ways
// only (sums over u8, 16 frames in a tile, AMD Zen 4: 1024 pixels 0.70 of the limit, 32768 0.78).
inline constexpr size_t kChunkPixels = 32768;

// Calls kernel.Group<n>(first pixel, stride, pixels, offset) over the whole tile; n is kGroupFrames
// or 1.
template <class Kernel, typename Pixel>
HWY_INLINE void OverTile(const Kernel& kernel, const FramePixels<Pixel>& frames) {
  for (size_t p = 0; p < frames.pixels; p += kChunkPixels) {
    const size_t pixels = std::min(kChunkPixels, frames.pixels - p);
    size_t f = 0;
    for (; f + kGroupFrames <= frames.frames; f += kGroupFrames) {
      kernel.template Group<kGroupFrames>(frames.first + f * frames.frame_stride + p,
                                          frames.frame_stride, pixels, p);
    }
    for (; f < frames.frames; ++f) {
      kernel.template Group<1>(frames.first + f * frames.frame_stride + p, frames.frame_stride,
                               pixels, p);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
