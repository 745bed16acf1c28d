// Sums over frames, pixel by pixel. Accumulators of a chunk of pixels stay in the L1 cache while
// groups of frames pass over them; each group is held in registers. Every pixel's sum is taken in
// the order of the frames, so that float results depend on neither tile nor group.

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/frame_sums.cc"
#include <hwy/cache_control.h>
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

void SumU8(const FramePixels<uint8_t>& frames, uint32_t* sums) { scalar::AddFrames(frames, sums); }
void SumU16(const FramePixels<uint16_t>& frames, uint32_t* sums) {
  scalar::AddFrames(frames, sums);
}
void SumU32(const FramePixels<uint32_t>& frames, uint64_t* sums) {
  scalar::AddFrames(frames, sums);
}
void SumF32(const FramePixels<float>& frames, double* sums) { scalar::AddFrames(frames, sums); }
void MomentsU8(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  scalar::AddMoments(frames, sums, squares);
}
void MomentsU16(const FramePixels<uint16_t>& frames, uint32_t* sums, uint64_t* squares) {
  scalar::AddMoments(frames, sums, squares);
}
void MomentsU32(const FramePixels<uint32_t>& frames, const double* shift, double* sums,
                double* squares) {
  scalar::AddShiftedMoments(frames, shift, sums, squares);
}
void MomentsF32(const FramePixels<float>& frames, const double* shift, double* sums,
                double* squares) {
  scalar::AddShiftedMoments(frames, shift, sums, squares);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

// `x` as lanes of D, from memory.
template <class D, typename Pixel>
HWY_INLINE hn::Vec<D> LoadAs(D d, const Pixel* from) {
  using T = hn::TFromD<D>;
  if constexpr (sizeof(T) == sizeof(Pixel)) {
    return hn::LoadU(d, from);
  } else if constexpr (sizeof(T) == 8 && sizeof(Pixel) < 4) {
    const hn::Rebind<uint32_t, D> d_half;
    return hn::PromoteTo(d, LoadAs(d_half, from));
  } else {
    const hn::Rebind<Pixel, D> d_pixel;
    return hn::PromoteTo(d, hn::LoadU(d_pixel, from));
  }
}

// 32-bit counts as float64: the bits of 2^52 + count, less 2^52.
template <class D>
HWY_INLINE hn::Vec<D> LoadAsDouble(D d, const uint32_t* from) {
  const hn::RebindToUnsigned<D> d_bits;
  const auto bits = hn::Or(LoadAs(d_bits, from), hn::Set(d_bits, 0x4330000000000000u));
  return hn::Sub(hn::BitCast(d, bits), hn::Set(d, 4503599627370496.0));
}
template <class D>
HWY_INLINE hn::Vec<D> LoadAsDouble(D d, const float* from) {
  return LoadAs(d, from);
}

template <typename Pixel, typename Sum>
struct SumKernel {
  Sum* sums;

  template <size_t kFrames>
  HWY_INLINE void Group(const Pixel* first, size_t stride, size_t pixels, size_t offset) const {
    const hn::ScalableTag<Sum> d;
    const size_t lanes = hn::Lanes(d);
    Sum* const into = sums + offset;
    size_t p = 0;
    for (; p + lanes <= pixels; p += lanes) {
      auto sum = hn::LoadU(d, into + p);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) sum = hn::Add(sum, LoadAs(d, first + f * stride + p));
      hn::StoreU(sum, d, into + p);
    }
    scalar::AddFrames(FramePixels<Pixel>{first + p, stride, kFrames, pixels - p}, into + p);
  }
};

struct MomentsKernelU8 {
  uint32_t* sums;
  uint32_t* squares;

  template <size_t kFrames>
  HWY_INLINE void Group(const uint8_t* first, size_t stride, size_t pixels, size_t offset) const {
    const hn::ScalableTag<uint32_t> d;
    const size_t lanes = hn::Lanes(d);
    size_t p = 0;
    for (; p + lanes <= pixels; p += lanes) {
      auto sum = hn::LoadU(d, sums + offset + p);
      auto square = hn::LoadU(d, squares + offset + p);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        const auto x = LoadAs(d, first + f * stride + p);
        sum = hn::Add(sum, x);
        square = hn::Add(square, hn::Mul(x, x));
      }
      hn::StoreU(sum, d, sums + offset + p);
      hn::StoreU(square, d, squares + offset + p);
    }
    scalar::AddMoments(FramePixels<uint8_t>{first + p, stride, kFrames, pixels - p},
                       sums + offset + p, squares + offset + p);
  }
};

struct MomentsKernelU16 {
  uint32_t* sums;
  uint64_t* squares;

  template <size_t kFrames>
  HWY_INLINE void Group(const uint16_t* first, size_t stride, size_t pixels, size_t offset) const {
    const hn::ScalableTag<uint64_t> d;
    const hn::Rebind<uint32_t, decltype(d)> d_sum;
    const hn::Repartition<uint32_t, decltype(d)> d_pairs;
    const size_t lanes = hn::Lanes(d);
    size_t p = 0;
    for (; p + lanes <= pixels; p += lanes) {
      auto sum = hn::LoadU(d_sum, sums + offset + p);
      auto square = hn::LoadU(d, squares + offset + p);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        const auto x = LoadAs(d_sum, first + f * stride + p);
        sum = hn::Add(sum, x);
        const auto wide = hn::BitCast(d_pairs, hn::PromoteTo(d, x));
        square = hn::Add(square, hn::MulEven(wide, wide));
      }
      hn::StoreU(sum, d_sum, sums + offset + p);
      hn::StoreU(square, d, squares + offset + p);
    }
    scalar::AddMoments(FramePixels<uint16_t>{first + p, stride, kFrames, pixels - p},
                       sums + offset + p, squares + offset + p);
  }
};

template <typename Pixel>
struct ShiftedMomentsKernel {
  const double* shift;
  double* sums;
  double* squares;

  template <size_t kFrames>
  HWY_INLINE void Group(const Pixel* first, size_t stride, size_t pixels, size_t offset) const {
    const hn::ScalableTag<double> d;
    const size_t lanes = hn::Lanes(d);
    size_t p = 0;
    for (; p + lanes <= pixels; p += lanes) {
      const auto origin = hn::LoadU(d, shift + offset + p);
      auto sum = hn::LoadU(d, sums + offset + p);
      auto square = hn::LoadU(d, squares + offset + p);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        const auto difference = hn::Sub(LoadAsDouble(d, first + f * stride + p), origin);
        sum = hn::Add(sum, difference);
        square = hn::MulAdd(difference, difference, square);
      }
      hn::StoreU(sum, d, sums + offset + p);
      hn::StoreU(square, d, squares + offset + p);
    }
    scalar::AddShiftedMoments(FramePixels<Pixel>{first + p, stride, kFrames, pixels - p},
                              shift + offset + p, sums + offset + p, squares + offset + p);
  }
};

void SumU8(const FramePixels<uint8_t>& frames, uint32_t* sums) {
  OverTile(SumKernel<uint8_t, uint32_t>{sums}, frames);
}
void SumU16(const FramePixels<uint16_t>& frames, uint32_t* sums) {
  OverTile(SumKernel<uint16_t, uint32_t>{sums}, frames);
}
void SumU32(const FramePixels<uint32_t>& frames, uint64_t* sums) {
  OverTile(SumKernel<uint32_t, uint64_t>{sums}, frames);
}
void SumF32(const FramePixels<float>& frames, double* sums) {
  OverTile(SumKernel<float, double>{sums}, frames);
}
void MomentsU8(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  OverTile(MomentsKernelU8{sums, squares}, frames);
}
void MomentsU16(const FramePixels<uint16_t>& frames, uint32_t* sums, uint64_t* squares) {
  OverTile(MomentsKernelU16{sums, squares}, frames);
}
void MomentsU32(const FramePixels<uint32_t>& frames, const double* shift, double* sums,
                double* squares) {
  OverTile(ShiftedMomentsKernel<uint32_t>{shift, sums, squares}, frames);
}
void MomentsF32(const FramePixels<float>& frames, const double* shift, double* sums,
                double* squares) {
  OverTile(ShiftedMomentsKernel<float>{shift, sums, squares}, frames);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(SumU8);
HWY_EXPORT(SumU16);
HWY_EXPORT(SumU32);
HWY_EXPORT(SumF32);
HWY_EXPORT(MomentsU8);
HWY_EXPORT(MomentsU16);
HWY_EXPORT(MomentsU32);
HWY_EXPORT(MomentsF32);

void AddFrames(const FramePixels<uint8_t>& frames, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU8)(frames, sums);
}
void AddFrames(const FramePixels<uint16_t>& frames, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU16)(frames, sums);
}
void AddFrames(const FramePixels<uint32_t>& frames, uint64_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU32)(frames, sums);
}
void AddFrames(const FramePixels<float>& frames, double* sums) {
  HWY_DYNAMIC_DISPATCH(SumF32)(frames, sums);
}
void AddMoments(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsU8)(frames, sums, squares);
}
void AddMoments(const FramePixels<uint16_t>& frames, uint32_t* sums, uint64_t* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsU16)(frames, sums, squares);
}
void AddShiftedMoments(const FramePixels<uint32_t>& frames, const double* shift, double* sums,
                       double* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsU32)(frames, shift, sums, squares);
}
void AddShiftedMoments(const FramePixels<float>& frames, const double* shift, double* sums,
                       double* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsF32)(frames, shift, sums, squares);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
