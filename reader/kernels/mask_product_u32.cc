// Binary masks on 32-bit pixels: selected pixels are added as the even and the odd halves of 64-bit
// lanes.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_u32.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void SelectU32(const FramePixels<uint32_t>& frames, const MaskRun<uint32_t, int64_t>& run) {
  scalar::SelectProduct(frames, run);
}

#else

struct SelectKernelU32 : SelectKernel<uint32_t> {
  HWY_INLINE Narrow MultiplyAdd(MaskVector x, MaskVector mask, Narrow sum) const {
    const Narrow pairs = hn::BitCast(d_narrow, hn::And(x, mask));
    const Narrow even = hn::And(pairs, hn::Set(d_narrow, 0xffffffffu));
    return hn::Add(hn::Add(sum, even), hn::ShiftRight<32>(pairs));
  }
};

void SelectU32(const FramePixels<uint32_t>& frames, const MaskRun<uint32_t, int64_t>& run) {
  Product(SelectKernelU32{}, frames, run);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(SelectU32);

void MaskProduct(const FramePixels<uint32_t>& frames, const MaskRun<uint32_t, int64_t>& run) {
  HWY_DYNAMIC_DISPATCH(SelectU32)(frames, run);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
