// Minimum and maximum over frames, pixel by pixel.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/frame_extremes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
#include "reader/kernels/over_tile-inl.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <typename Pixel>
void Extremes(const FramePixels<Pixel>& frames, Pixel* minima, Pixel* maxima) {
  scalar::TakeExtremes(frames, minima, maxima);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

template <typename Pixel>
struct ExtremesKernel {
  Pixel* minima;
  Pixel* maxima;

  template <size_t kFrames>
  HWY_INLINE void Group(const Pixel* first, size_t stride, size_t pixels, size_t offset) const {
    const hn::ScalableTag<Pixel> d;
    const size_t lanes = hn::Lanes(d);
    size_t p = 0;
    for (; p + lanes <= pixels; p += lanes) {
      auto minimum = hn::LoadU(d, minima + offset + p);
      auto maximum = hn::LoadU(d, maxima + offset + p);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        const auto x = hn::LoadU(d, first + f * stride + p);
        if constexpr (std::is_floating_point_v<Pixel>) {
          // Not Min and Max, whose answer for NaN differs from machine to machine.
          minimum = hn::IfThenElse(hn::Lt(x, minimum), x, minimum);
          maximum = hn::IfThenElse(hn::Gt(x, maximum), x, maximum);
        } else {
          minimum = hn::Min(minimum, x);
          maximum = hn::Max(maximum, x);
        }
      }
      hn::StoreU(minimum, d, minima + offset + p);
      hn::StoreU(maximum, d, maxima + offset + p);
    }
    scalar::TakeExtremes(FramePixels<Pixel>{first + p, stride, kFrames, pixels - p},
                         minima + offset + p, maxima + offset + p);
  }
};

template <typename Pixel>
void Extremes(const FramePixels<Pixel>& frames, Pixel* minima, Pixel* maxima) {
  OverTile(ExtremesKernel<Pixel>{minima, maxima}, frames);
}

#endif  // HWY_TARGET == HWY_SCALAR

void ExtremesU8(const FramePixels<uint8_t>& frames, uint8_t* minima, uint8_t* maxima) {
  Extremes(frames, minima, maxima);
}
void ExtremesU16(const FramePixels<uint16_t>& frames, uint16_t* minima, uint16_t* maxima) {
  Extremes(frames, minima, maxima);
}
void ExtremesU32(const FramePixels<uint32_t>& frames, uint32_t* minima, uint32_t* maxima) {
  Extremes(frames, minima, maxima);
}
void ExtremesF32(const FramePixels<float>& frames, float* minima, float* maxima) {
  Extremes(frames, minima, maxima);
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(ExtremesU8);
HWY_EXPORT(ExtremesU16);
HWY_EXPORT(ExtremesU32);
HWY_EXPORT(ExtremesF32);

void TakeExtremes(const FramePixels<uint8_t>& frames, uint8_t* minima, uint8_t* maxima) {
  HWY_DYNAMIC_DISPATCH(ExtremesU8)(frames, minima, maxima);
}
void TakeExtremes(const FramePixels<uint16_t>& frames, uint16_t* minima, uint16_t* maxima) {
  HWY_DYNAMIC_DISPATCH(ExtremesU16)(frames, minima, maxima);
}
void TakeExtremes(const FramePixels<uint32_t>& frames, uint32_t* minima, uint32_t* maxima) {
  HWY_DYNAMIC_DISPATCH(ExtremesU32)(frames, minima, maxima);
}
void TakeExtremes(const FramePixels<float>& frames, float* minima, float* maxima) {
  HWY_DYNAMIC_DISPATCH(ExtremesF32)(frames, minima, maxima);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
