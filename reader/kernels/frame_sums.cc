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

void SumU16(const FramePixels<uint16_t>& frames, uint32_t* sums) {
  scalar::AddFrames(frames, sums);
}
void SumU32(const FramePixels<uint32_t>& frames, uint64_t* sums) {
  scalar::AddFrames(frames, sums);
}
void SumF32(const FramePixels<float>& frames, double* sums) { scalar::AddFrames(frames, sums); }
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

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
// Pixels of two frames side by side, less 32768, go through the multiply-add of signed 16-bit
// values, which squares and adds both: at most 2^31, which still fits the unsigned lane. 16 pixels
// of kFrames frames; what the shift by 32768 costs is put right once for all of them.
template <size_t kFrames>
HWY_INLINE void AddMomentsInPairs(const uint16_t* first, size_t stride, uint32_t* sums,
                                  uint64_t* squares) {
  static_assert(kFrames % 2 == 0);
  constexpr hn::CappedTag<uint16_t, 16> d_pixel;
  constexpr hn::CappedTag<int16_t, 16> d_signed;
  constexpr hn::CappedTag<int32_t, 8> d_sum;
  constexpr hn::CappedTag<uint64_t, 4> d_square;
  constexpr hn::CappedTag<int64_t, 4> d_wide;
  static_assert(hn::MaxLanes(d_pixel) == 16);
  const auto flip = hn::Set(d_pixel, uint16_t{0x8000});
  const auto ones = hn::Set(d_signed, int16_t{1});
  const auto low_bits = hn::Set(d_square, uint64_t{0xffffffff});
  // [0]: pixels 0-3 and 8-11, [1]: the others, as interleaving leaves them.
  hn::Vec<decltype(d_sum)> sum[2] = {hn::Zero(d_sum), hn::Zero(d_sum)};
  hn::Vec<decltype(d_square)> even[2] = {hn::Zero(d_square), hn::Zero(d_square)};
  hn::Vec<decltype(d_square)> odd[2] = {hn::Zero(d_square), hn::Zero(d_square)};
  PENSTOCK_UNROLL
  for (size_t f = 0; f < kFrames; f += 2) {
    const auto a = hn::Xor(hn::LoadU(d_pixel, first + f * stride), flip);
    const auto b = hn::Xor(hn::LoadU(d_pixel, first + (f + 1) * stride), flip);
    const hn::Vec<decltype(d_signed)> pairs[2] = {
        hn::BitCast(d_signed, hn::InterleaveLower(d_pixel, a, b)),
        hn::BitCast(d_signed, hn::InterleaveUpper(d_pixel, a, b))};
    PENSTOCK_UNROLL
    for (size_t half = 0; half < 2; ++half) {
      auto none = hn::Zero(d_sum);
      sum[half] = hn::ReorderWidenMulAccumulate(d_sum, pairs[half], ones, sum[half], none);
      const auto square = hn::BitCast(
          d_square,
          hn::ReorderWidenMulAccumulate(d_sum, pairs[half], pairs[half], hn::Zero(d_sum), none));
      even[half] = hn::Add(even[half], hn::And(square, low_bits));
      odd[half] = hn::Add(odd[half], hn::ShiftRight<32>(square));
    }
  }
  const auto add = [&](auto four_sums, auto four_squares, size_t p) HWY_ATTR {
    constexpr hn::CappedTag<uint32_t, 4> d_four;
    const auto biased = hn::BitCast(d_square, hn::PromoteTo(d_wide, four_sums));
    const auto missing =
        hn::Add(hn::ShiftLeft<16>(biased), hn::Set(d_square, uint64_t{kFrames} << 30));
    hn::StoreU(hn::Add(hn::LoadU(d_square, squares + p), hn::Add(four_squares, missing)), d_square,
               squares + p);
    const auto whole =
        hn::Add(hn::BitCast(d_four, four_sums), hn::Set(d_four, uint32_t{kFrames} * 32768));
    hn::StoreU(hn::Add(hn::LoadU(d_four, sums + p), whole), d_four, sums + p);
  };
  const hn::Half<decltype(d_sum)> d_half;
  PENSTOCK_UNROLL
  for (size_t half = 0; half < 2; ++half) {
    const auto lower = hn::InterleaveLower(d_square, even[half], odd[half]);
    const auto upper = hn::InterleaveUpper(d_square, even[half], odd[half]);
    add(hn::LowerHalf(d_half, sum[half]), hn::ConcatLowerLower(d_square, upper, lower), 4 * half);
    add(hn::UpperHalf(d_half, sum[half]), hn::ConcatUpperUpper(d_square, upper, lower),
        8 + 4 * half);
  }
}

// Of each frame, so far ahead that they have come by then, and not yet gone.
inline constexpr size_t kPixelsAhead = 256;

// The same where all pixels are below 8192, as counts mostly are: sums of eight frames fit 16 bits,
// those of their squares 32. False, and nothing added, where one is not.
template <size_t kFrames>
HWY_INLINE bool AddSmallMomentsInPairs(const uint16_t* first, size_t stride, uint32_t* sums,
                                       uint64_t* squares) {
  static_assert(kFrames % 2 == 0 && kFrames <= 8);
  constexpr hn::CappedTag<uint16_t, 16> d_pixel;
  constexpr hn::CappedTag<int16_t, 16> d_signed;
  constexpr hn::CappedTag<int32_t, 8> d_square;
  constexpr hn::CappedTag<uint32_t, 8> d_sum;
  constexpr hn::CappedTag<uint64_t, 4> d_wide;
  constexpr hn::CappedTag<uint32_t, 4> d_four;
  auto any = hn::Zero(d_pixel);
  auto sum = hn::Zero(d_pixel);
  // [0]: pixels 0-3 and 8-11, [1]: the others, as interleaving leaves them.
  hn::Vec<decltype(d_square)> square[2] = {hn::Zero(d_square), hn::Zero(d_square)};
  PENSTOCK_UNROLL
  for (size_t f = 0; f < kFrames; f += 2) {
    const auto a = hn::LoadU(d_pixel, first + f * stride);
    const auto b = hn::LoadU(d_pixel, first + (f + 1) * stride);
    hwy::Prefetch(first + f * stride + kPixelsAhead);
    hwy::Prefetch(first + (f + 1) * stride + kPixelsAhead);
    any = hn::Or(any, hn::Or(a, b));
    sum = hn::Add(sum, hn::Add(a, b));
    const hn::Vec<decltype(d_signed)> pairs[2] = {
        hn::BitCast(d_signed, hn::InterleaveLower(d_pixel, a, b)),
        hn::BitCast(d_signed, hn::InterleaveUpper(d_pixel, a, b))};
    PENSTOCK_UNROLL
    for (size_t half = 0; half < 2; ++half) {
      auto none = hn::Zero(d_square);
      square[half] =
          hn::ReorderWidenMulAccumulate(d_square, pairs[half], pairs[half], square[half], none);
    }
  }
  const auto large = hn::And(any, hn::Set(d_pixel, uint16_t{0xe000}));
  if (!hn::AllTrue(d_pixel, hn::Eq(large, hn::Zero(d_pixel)))) return false;
  const hn::Half<decltype(d_pixel)> d_half_pixel;
  const auto add_sums = [&](auto eight, size_t p) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d_sum, sums + p), hn::PromoteTo(d_sum, eight)), d_sum, sums + p);
  };
  add_sums(hn::LowerHalf(d_half_pixel, sum), 0);
  add_sums(hn::UpperHalf(d_half_pixel, sum), 8);
  const hn::Half<decltype(d_square)> d_half;
  const auto add_squares = [&](auto four, size_t p) HWY_ATTR {
    const auto wide = hn::PromoteTo(d_wide, hn::BitCast(d_four, four));
    hn::StoreU(hn::Add(hn::LoadU(d_wide, squares + p), wide), d_wide, squares + p);
  };
  PENSTOCK_UNROLL
  for (size_t half = 0; half < 2; ++half) {
    add_squares(hn::LowerHalf(d_half, square[half]), 4 * half);
    add_squares(hn::UpperHalf(d_half, square[half]), 8 + 4 * half);
  }
  return true;
}
#endif

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
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
    if constexpr (kFrames % 2 == 0) {
      bool small = true;  // until a pixel is not; then the rest of the chunk is taken as it comes
      for (; p + 16 <= pixels; p += 16) {
        small = small && AddSmallMomentsInPairs<kFrames>(first + p, stride, sums + offset + p,
                                                         squares + offset + p);
        if (small) continue;
        AddMomentsInPairs<kFrames>(first + p, stride, sums + offset + p, squares + offset + p);
      }
    }
#endif
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

void SumU16(const FramePixels<uint16_t>& frames, uint32_t* sums) {
  OverTile(SumKernel<uint16_t, uint32_t>{sums}, frames);
}
void SumU32(const FramePixels<uint32_t>& frames, uint64_t* sums) {
  OverTile(SumKernel<uint32_t, uint64_t>{sums}, frames);
}
void SumF32(const FramePixels<float>& frames, double* sums) {
  OverTile(SumKernel<float, double>{sums}, frames);
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

HWY_EXPORT(SumU16);
HWY_EXPORT(SumU32);
HWY_EXPORT(SumF32);
HWY_EXPORT(MomentsU16);
HWY_EXPORT(MomentsU32);
HWY_EXPORT(MomentsF32);

void AddFrames(const FramePixels<uint16_t>& frames, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU16)(frames, sums);
}
void AddFrames(const FramePixels<uint32_t>& frames, uint64_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU32)(frames, sums);
}
void AddFrames(const FramePixels<float>& frames, double* sums) {
  HWY_DYNAMIC_DISPATCH(SumF32)(frames, sums);
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
