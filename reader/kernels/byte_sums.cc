// Sums over frames of 8-bit pixels, as in frame_sums.cc. Of eight frames the sums fit 16 bits, and
// where all pixels are below 64, as counts mostly are, those of the squares do, too: half of the
// work of 32 bits.

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/byte_sums.cc"
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
void MomentsU8(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  scalar::AddMoments(frames, sums, squares);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using Words = hn::ScalableTag<uint16_t>;
using WordVector = hn::Vec<Words>;
static_assert(kGroupFrames * 255 <= UINT16_MAX);
constexpr uint16_t kSmall = 64;
static_assert(kGroupFrames * (kSmall - 1) * (kSmall - 1) <= UINT16_MAX);

HWY_INLINE WordVector LoadWords(const uint8_t* from) {
  const Words d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, Words>(), from));
}

// to[i] += words[i]
HWY_INLINE void AddWords(WordVector words, uint32_t* to) {
  const hn::Repartition<uint32_t, Words> d;
  const hn::Half<Words> d_half;
  hn::StoreU(hn::Add(hn::LoadU(d, to), hn::PromoteTo(d, hn::LowerHalf(d_half, words))), d, to);
  to += hn::Lanes(d);
  hn::StoreU(hn::Add(hn::LoadU(d, to), hn::PromoteTo(d, hn::UpperHalf(d_half, words))), d, to);
}

// What two vectors of words have is a vector of bytes, which is all taken at once: frames of 2^n
// bytes meet in the same sets of the L1 cache, where half a line would not wait for its turn.
constexpr size_t kParts = 2;

struct SumKernelU8 {
  uint32_t* sums;

  template <size_t kFrames>
  HWY_INLINE void Group(const uint8_t* first, size_t stride, size_t pixels, size_t offset) const {
    const Words d;
    const size_t lanes = hn::Lanes(d);
    size_t p = 0;
    for (; p + kParts * lanes <= pixels; p += kParts * lanes) {
      WordVector sum[kParts] = {hn::Zero(d), hn::Zero(d)};
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        PENSTOCK_UNROLL
        for (size_t i = 0; i < kParts; ++i) {
          sum[i] = hn::Add(sum[i], LoadWords(first + f * stride + p + i * lanes));
        }
      }
      PENSTOCK_UNROLL
      for (size_t i = 0; i < kParts; ++i) AddWords(sum[i], sums + offset + p + i * lanes);
    }
    scalar::AddFrames(FramePixels<uint8_t>{first + p, stride, kFrames, pixels - p},
                      sums + offset + p);
  }
};

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

void SumU8(const FramePixels<uint8_t>& frames, uint32_t* sums) {
  OverTile(SumKernelU8{sums}, frames);
}
void MomentsU8(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  OverTile(MomentsKernelU8{sums, squares}, frames);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(SumU8);
HWY_EXPORT(MomentsU8);

void AddFrames(const FramePixels<uint8_t>& frames, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU8)(frames, sums);
}
void AddMoments(const FramePixels<uint8_t>& frames, uint32_t* sums, uint32_t* squares) {
  HWY_DYNAMIC_DISPATCH(MomentsU8)(frames, sums, squares);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
