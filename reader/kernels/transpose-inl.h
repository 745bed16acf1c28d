// The same eight pixels of eight frames as float32, turned so that one vector holds one pixel of
// all of them. Included once per instruction set, like the kernels themselves.

#if defined(PENSTOCK_READER_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_TRANSPOSE_INL_H_
#undef PENSTOCK_READER_KERNELS_TRANSPOSE_INL_H_
#else
#define PENSTOCK_READER_KERNELS_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

// Integers of at most 16 bits, and float32, are exact in it.
template <class D, typename Pixel>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const Pixel* from) {
  if constexpr (std::is_same_v<Pixel, float>) {
    return hn::LoadU(d, from);
  } else {
    const hn::RebindToSigned<D> d_integer;
    const hn::Rebind<Pixel, D> d_pixel;
    return hn::ConvertTo(d, hn::PromoteTo(d_integer, hn::LoadU(d_pixel, from)));
  }
}

// room[pixel * 8 + frame] = pixel of frame, for 8 pixels of 8 frames.
template <typename Pixel>
HWY_INLINE void TransposeEight(const Pixel* first, size_t stride, float* room) {
  const hn::CappedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> d_wide;
  PENSTOCK_UNROLL
  for (size_t frames = 0; frames < 8; frames += 4) {
    const Pixel* const from = first + frames * stride;
    PENSTOCK_UNROLL
    for (size_t pixels = 0; pixels < 8; pixels += 4) {
      const auto row0 = LoadFloats(d, from + pixels);
      const auto row1 = LoadFloats(d, from + stride + pixels);
      const auto row2 = LoadFloats(d, from + 2 * stride + pixels);
      const auto row3 = LoadFloats(d, from + 3 * stride + pixels);
      const auto low01 = hn::BitCast(d_wide, hn::InterleaveLower(d, row0, row1));
      const auto low23 = hn::BitCast(d_wide, hn::InterleaveLower(d, row2, row3));
      const auto high01 = hn::BitCast(d_wide, hn::InterleaveUpper(d, row0, row1));
      const auto high23 = hn::BitCast(d_wide, hn::InterleaveUpper(d, row2, row3));
      float* const to = room + pixels * 8 + frames;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d_wide, low01, low23)), d, to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d_wide, low01, low23)), d, to + 8);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d_wide, high01, high23)), d, to + 16);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d_wide, high01, high23)), d, to + 24);
    }
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // include guard, once per target
