// Sums of frames with weights: the same vector of pixels of up to eight frames stays in registers
// while it goes into every sum, so that each sum is loaded and stored once for eight frames.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/weighted_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/unroll.h"
#include "reader/kernels/weighted_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <typename Pixel>
void Weigh(const FramePixels<Pixel>& frames, const WeightedSums& to) {
  scalar::AddWeighted(frames, to);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

template <class D, typename Pixel>
HWY_INLINE hn::Vec<D> LoadDoubles(D d, const Pixel* from) {
  const hn::Rebind<Pixel, D> d_pixel;
  if constexpr (std::is_same_v<Pixel, float>) {
    return hn::PromoteTo(d, hn::LoadU(d_pixel, from));
  } else {
    const hn::Rebind<int32_t, D> d_integer;
    return hn::PromoteTo(d, hn::PromoteTo(d_integer, hn::LoadU(d_pixel, from)));
  }
}

constexpr size_t kFrames = 8;

template <typename Pixel>
HWY_NOINLINE void WeighEight(const Pixel* first, size_t stride, size_t pixels,
                             const WeightedSums& to) {
  const hn::CappedTag<double, 8> d;
  const size_t lanes = hn::Lanes(d);
  size_t p = 0;
  for (; p + lanes <= pixels; p += lanes) {
    hn::Vec<decltype(d)> x[kFrames];
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) x[f] = LoadDoubles(d, first + f * stride + p);
    for (size_t j = 0; j < to.count; ++j) {
      const double* const weights = to.weights + j;
      double* const at = to.sums + j * to.stride + p;
      auto even = hn::LoadU(d, at);
      auto odd = hn::Zero(d);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; f += 2) {
        even = hn::MulAdd(x[f], hn::Set(d, weights[f * to.count]), even);
        odd = hn::MulAdd(x[f + 1], hn::Set(d, weights[(f + 1) * to.count]), odd);
      }
      hn::StoreU(hn::Add(even, odd), d, at);
    }
  }
  scalar::AddWeighted(FramePixels<Pixel>{first + p, stride, kFrames, pixels - p},
                      {to.weights, to.count, to.sums + p, to.stride});
}

template <typename Pixel>
void Weigh(const FramePixels<Pixel>& frames, const WeightedSums& to) {
  // A run of pixels whose sums stay in the L1 or L2 cache over all frames.
  constexpr size_t kRun = 512;
  for (size_t p = 0; p < frames.pixels; p += kRun) {
    const size_t pixels = std::min(kRun, frames.pixels - p);
    WeightedSums part{to.weights, to.count, to.sums + p, to.stride};
    size_t f = 0;
    for (; f + kFrames <= frames.frames; f += kFrames, part.weights += kFrames * to.count) {
      WeighEight(frames.first + f * frames.frame_stride + p, frames.frame_stride, pixels, part);
    }
    scalar::AddWeighted(FramePixels<Pixel>{frames.first + f * frames.frame_stride + p,
                                           frames.frame_stride, frames.frames - f, pixels},
                        part);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

void WeighU8(const FramePixels<uint8_t>& frames, const WeightedSums& to) { Weigh(frames, to); }
void WeighI8(const FramePixels<int8_t>& frames, const WeightedSums& to) { Weigh(frames, to); }
void WeighU16(const FramePixels<uint16_t>& frames, const WeightedSums& to) { Weigh(frames, to); }
void WeighI16(const FramePixels<int16_t>& frames, const WeightedSums& to) { Weigh(frames, to); }
void WeighF32(const FramePixels<float>& frames, const WeightedSums& to) { Weigh(frames, to); }

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(WeighU8);
HWY_EXPORT(WeighI8);
HWY_EXPORT(WeighU16);
HWY_EXPORT(WeighI16);
HWY_EXPORT(WeighF32);

void AddWeighted(const FramePixels<uint8_t>& frames, const WeightedSums& to) {
  HWY_DYNAMIC_DISPATCH(WeighU8)(frames, to);
}
void AddWeighted(const FramePixels<int8_t>& frames, const WeightedSums& to) {
  HWY_DYNAMIC_DISPATCH(WeighI8)(frames, to);
}
void AddWeighted(const FramePixels<uint16_t>& frames, const WeightedSums& to) {
  HWY_DYNAMIC_DISPATCH(WeighU16)(frames, to);
}
void AddWeighted(const FramePixels<int16_t>& frames, const WeightedSums& to) {
  HWY_DYNAMIC_DISPATCH(WeighI16)(frames, to);
}
void AddWeighted(const FramePixels<float>& frames, const WeightedSums& to) {
  HWY_DYNAMIC_DISPATCH(WeighF32)(frames, to);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
