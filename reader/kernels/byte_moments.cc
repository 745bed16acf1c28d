// Sums and sums of squares over frames of 8-bit pixels, as in frame_sums.cc. With VNNI four frames
// at a time in 32 bits. Otherwise in 16 bits where all pixels are below 64, as counts mostly are:
// half of the work.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/byte_moments.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/byte_words-inl.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/over_tile-inl.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/kernels/unroll.h"
#include "reader/kernels/vnni-inl.h"
#include "reader/kernels/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void MomentsU8(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  scalar::AddMoments(frames, sums, squares);
}

#else

constexpr uint16_t kSmall = 64;
static_assert(kGroupFrames * (kSmall - 1) * (kSmall - 1) <= UINT16_MAX);

struct MomentsKernelU8 {
  uint32_t* sums;
  uint32_t* squares;

  template <size_t kFrames>
  HWY_INLINE void Group(const uint8_t* first, size_t stride, size_t pixels, size_t offset) const {
    const Words d;
    const size_t lanes = hn::Lanes(d);
    size_t p = 0;
    for (; p + kParts * lanes <= pixels; p += kParts * lanes) {
      auto any = hn::Zero(d);
      WordVector sum[kParts] = {any, any};
      WordVector square[kParts] = {any, any};
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        PENSTOCK_UNROLL
        for (size_t i = 0; i < kParts; ++i) {
          const auto x = LoadWords(first + f * stride + p + i * lanes);
          any = hn::Or(any, x);
          sum[i] = hn::Add(sum[i], x);
          square[i] = hn::Add(square[i], hn::Mul(x, x));
        }
      }
      const auto large = hn::And(any, hn::Set(d, static_cast<uint16_t>(~(kSmall - 1))));
      const bool is_small = hn::AllTrue(d, hn::Eq(large, hn::Zero(d)));
      PENSTOCK_UNROLL
      for (size_t i = 0; i < kParts; ++i) {
        const size_t at = p + i * lanes;
        AddWords(sum[i], sums + offset + at);
        if (is_small) {
          AddWords(square[i], squares + offset + at);
        } else {
          AddLargeSquares<kFrames>(first + at, stride, squares + offset + at);
        }
      }
    }
    scalar::AddMoments(FramePixels<uint8_t>{first + p, stride, kFrames, pixels - p},
                       sums + offset + p, squares + offset + p);
  }

 private:
  // Of as many pixels as a vector has words: a square fits one, a sum of them does not.
  template <size_t kFrames>
  static HWY_INLINE void AddLargeSquares(const uint8_t* first, size_t stride, uint32_t* to) {
    const hn::Repartition<uint32_t, Words> d;
    const hn::Half<Words> d_half;
    auto lower = hn::LoadU(d, to);
    auto upper = hn::LoadU(d, to + hn::Lanes(d));
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) {
      const auto x = LoadWords(first + f * stride);
      const auto square = hn::Mul(x, x);
      lower = hn::Add(lower, hn::PromoteTo(d, hn::LowerHalf(d_half, square)));
      upper = hn::Add(upper, hn::PromoteTo(d, hn::UpperHalf(d_half, square)));
    }
    hn::StoreU(lower, d, to);
    hn::StoreU(upper, d, to + hn::Lanes(d));
  }
};

#if PENSTOCK_KERNELS_WITH_VNNI

// The bytes of one pixel in four frames are one lane, of which an instruction adds up the products
// with one signed byte each: x * 1, and x * (x - 128), which is x^2 - 128 x.
struct MomentsKernelVnni {
  uint32_t* sums;
  uint32_t* squares;

  template <size_t kFrames>
  HWY_INLINE void Group(const uint8_t* first, size_t stride, size_t pixels, size_t offset) const {
    if constexpr (kFrames % 4 != 0) {
      MomentsKernelU8{sums, squares}.Group<kFrames>(first, stride, pixels, offset);
    } else {
      GroupOfFours<kFrames>(first, stride, pixels, offset);
    }
  }

 private:
  template <size_t kFrames>
  HWY_INLINE void GroupOfFours(const uint8_t* first, size_t stride, size_t pixels,
                               size_t offset) const {
    constexpr size_t kPixels = 64;
    size_t p = 0;
    for (; p + kPixels <= pixels; p += kPixels) {
      __m512i sum[4];
      __m512i square[4];
      PENSTOCK_UNROLL
      for (size_t i = 0; i < 4; ++i) sum[i] = square[i] = _mm512_setzero_si512();
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; f += 4) {
        const uint8_t* const four = first + f * stride + p;
        AddFour(_mm512_loadu_si512(four), _mm512_loadu_si512(four + stride),
                _mm512_loadu_si512(four + 2 * stride), _mm512_loadu_si512(four + 3 * stride), sum,
                square);
      }
      PENSTOCK_UNROLL
      for (size_t i = 0; i < 4; ++i) {
        square[i] = _mm512_add_epi32(square[i], _mm512_slli_epi32(sum[i], 7));
      }
      AddInOrder(sum, sums + offset + p);
      AddInOrder(square, squares + offset + p);
    }
    scalar::AddMoments(FramePixels<uint8_t>{first + p, stride, kFrames, pixels - p},
                       sums + offset + p, squares + offset + p);
  }

  static HWY_INLINE void AddFour(__m512i a, __m512i b, __m512i c, __m512i d, __m512i* sum,
                                 __m512i* square) {
    const __m512i ab[2] = {_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)};
    const __m512i cd[2] = {_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d)};
    PENSTOCK_UNROLL
    for (size_t i = 0; i < 2; ++i) {
      AddLanes(_mm512_unpacklo_epi16(ab[i], cd[i]), sum[2 * i], square[2 * i]);
      AddLanes(_mm512_unpackhi_epi16(ab[i], cd[i]), sum[2 * i + 1], square[2 * i + 1]);
    }
  }

  static HWY_INLINE void AddLanes(__m512i x, __m512i& sum, __m512i& square) {
    const __m512i ones = _mm512_set1_epi8(1);
    const __m512i less_128 = _mm512_xor_si512(x, _mm512_set1_epi8(static_cast<char>(0x80)));
    AddProductsOfBytes(x, ones, sum);
    AddProductsOfBytes(x, less_128, square);
  }

  // Block b of lanes[i] belongs to pixels 16 b + 4 i to 16 b + 4 i + 3.
  static HWY_INLINE void AddInOrder(const __m512i* lanes, uint32_t* to) {
    const __m512i low01 = _mm512_shuffle_i32x4(lanes[0], lanes[1], 0x44);  // blocks 0 1, 0 1
    const __m512i high01 = _mm512_shuffle_i32x4(lanes[0], lanes[1], 0xEE);
    const __m512i low23 = _mm512_shuffle_i32x4(lanes[2], lanes[3], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(lanes[2], lanes[3], 0xEE);
    AddTo(_mm512_shuffle_i32x4(low01, low23, 0x88), to);
    AddTo(_mm512_shuffle_i32x4(low01, low23, 0xDD), to + 16);
    AddTo(_mm512_shuffle_i32x4(high01, high23, 0x88), to + 32);
    AddTo(_mm512_shuffle_i32x4(high01, high23, 0xDD), to + 48);
  }

  static HWY_INLINE void AddTo(__m512i values, uint32_t* to) {
    _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), values));
  }
};

#endif  // PENSTOCK_KERNELS_WITH_VNNI

void MomentsU8(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
#if PENSTOCK_KERNELS_WITH_VNNI
  if (HasVnni()) return OverTile(MomentsKernelVnni{sums, squares}, frames);
#endif
  OverTile(MomentsKernelU8{sums, squares}, frames);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(MomentsU8);

void AddMoments(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsU8)(frames, sums, squares);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
