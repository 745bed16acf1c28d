// 8-bit pixels in 16-bit lanes, for sums over a few frames; included once per instruction set.

#if defined(PENSTOCK_READER_KERNELS_BYTE_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_BYTE_WORDS_INL_H_
#undef PENSTOCK_READER_KERNELS_BYTE_WORDS_INL_H_
#else
#define PENSTOCK_READER_KERNELS_BYTE_WORDS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "reader/kernels/over_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

using Words = hn::ScalableTag<uint16_t>;
using WordVector = hn::Vec<Words>;
static_assert(kGroupFrames * 255 <= UINT16_MAX);

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

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
