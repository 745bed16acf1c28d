// Masks on 8-bit pixels. Binary masks: the selected bytes are added by the sum of absolute
// differences to zero (8 bytes into a 64-bit lane, which can't overflow). Integer masks: 16-bit
// multiply-add into int32.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_u8.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_kernels-inl.h"
#include "reader/kernels/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void SelectU8(const FramePixels<uint8_t>& frames, const MaskRun<uint8_t, int64_t>& run) {
  scalar::SelectProduct(frames, run);
}
void WeighU8(const FramePixels<uint8_t>& frames, const MaskRun<int16_t, int64_t>& run, int32_t) {
  scalar::MaskProduct(frames, run);
}

#else

struct SelectKernelU8 : SelectKernel<uint8_t> {
  HWY_INLINE Narrow MultiplyAdd(MaskVector x, MaskVector mask, Narrow sum) const {
    return hn::Add(sum, hn::SumsOf8(hn::And(x, mask)));
  }
};

template <bool kVnni>
struct WeighKernelU8 : WeighKernel<kVnni> {
  using Base = WeighKernel<kVnni>;
  using Base::d_mask;
  using typename Base::MaskValue;
  using typename Base::MaskVector;
  using typename Base::Total;
  using Pixel = uint8_t;
  static constexpr hn::Rebind<uint8_t, decltype(d_mask)> d_pixel{};

  HWY_INLINE MaskVector LoadPixels(const Pixel* from) const {
    return hn::PromoteTo(d_mask, hn::LoadU(d_pixel, from));
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return int32_t{x} * mask; }
};

void SelectU8(const FramePixels<uint8_t>& frames, const MaskRun<uint8_t, int64_t>& run) {
  Product(SelectKernelU8{}, frames, run);
}

void WeighU8(const FramePixels<uint8_t>& frames, const MaskRun<int16_t, int64_t>& run,
             int32_t maximum_weight) {
#if PENSTOCK_KERNELS_WITH_VNNI
  if (HasVnni()) {
    return Product(WeighKernelU8<true>{WeighKernel<true>::For(255, maximum_weight)}, frames, run);
  }
#endif
  Product(WeighKernelU8<false>{WeighKernel<false>::For(255, maximum_weight)}, frames, run);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(SelectU8);
HWY_EXPORT(WeighU8);

void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<uint8_t, int64_t>& run) {
  HWY_DYNAMIC_DISPATCH(SelectU8)(frames, run);
}

void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<int16_t, int64_t>& run,
                 int32_t maximum_weight) {
  HWY_DYNAMIC_DISPATCH(WeighU8)(frames, run, maximum_weight);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
