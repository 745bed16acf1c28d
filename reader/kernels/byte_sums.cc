// Sums over frames of 8-bit pixels, as in frame_sums.cc: those of eight frames in 16 bits, half of
// the work of 32.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/byte_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/byte_words-inl.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/over_tile-inl.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void SumU8(const FramePixels<uint8_t>& frames, uint32_t* sums) { scalar::AddFrames(frames, sums); }

#else

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

void SumU8(const FramePixels<uint8_t>& frames, uint32_t* sums) {
  OverTile(SumKernelU8{sums}, frames);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(SumU8);

void AddFrames(const FramePixels<uint8_t>& frames, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(SumU8)(frames, sums);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
