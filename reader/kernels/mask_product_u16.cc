// Integer masks on 16-bit pixels. The multiply-add of signed 16-bit values is exact and does two
// pixels per lane; unsigned pixels enter it as pixel - 32768, which is a flip of the top bit.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_u16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_kernels-inl.h"
#include "reader/kernels/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void WeighU16(const FramePixels<uint16_t>& frames, const MaskRun<int16_t, int64_t>& run, int32_t) {
  scalar::MaskProduct(frames, run, int64_t{32768});
}

#else

template <bool kVnni>
struct WeighKernelU16 : WeighKernel<kVnni> {
  using Base = WeighKernel<kVnni>;
  using Base::d_mask;
  using typename Base::MaskValue;
  using typename Base::MaskVector;
  using typename Base::Total;
  using Pixel = uint16_t;
  static constexpr hn::ScalableTag<uint16_t> d_pixel{};

  HWY_INLINE MaskVector LoadPixels(const Pixel* from) const {
    return hn::BitCast(d_mask, hn::Xor(hn::LoadU(d_pixel, from), hn::Set(d_pixel, 0x8000)));
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return (int32_t{x} - 32768) * mask; }
};

void WeighU16(const FramePixels<uint16_t>& frames, const MaskRun<int16_t, int64_t>& run,
              int32_t maximum_weight) {
#if PENSTOCK_KERNELS_WITH_VNNI
  if (HasVnni()) {
    return Product(WeighKernelU16<true>{WeighKernel<true>::For(32768, maximum_weight)}, frames,
                   run);
  }
#endif
  Product(WeighKernelU16<false>{WeighKernel<false>::For(32768, maximum_weight)}, frames, run);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(WeighU16);

void BiasedMaskProduct(const FramePixels<uint16_t>& frames, const MaskRun<int16_t, int64_t>& run,
                       int32_t maximum_weight) {
  HWY_DYNAMIC_DISPATCH(WeighU16)(frames, run, maximum_weight);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
