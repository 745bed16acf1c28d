// Integer masks on 16-bit pixels. The multiply-add of signed 16-bit values is exact and does two
// pixels per lane; unsigned pixels enter it as pixel - 32768, which is a flip of the top bit.

#include <cstdint>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_u16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void WeighU16(const FramePixels<uint16_t>& frames, const MaskRun<int16_t, int64_t>& run, int32_t) {
  scalar::MaskProduct(frames, run, int64_t{32768});
}

#else

struct WeighKernelU16 {
  using Pixel = uint16_t;
  using MaskValue = int16_t;
  using Total = int64_t;
  static constexpr hn::ScalableTag<int16_t> d_mask{};
  static constexpr hn::ScalableTag<uint16_t> d_pixel{};
  static constexpr hn::ScalableTag<int32_t> d_narrow{};
  static constexpr hn::ScalableTag<int64_t> d_wide{};
  using MaskVector = hn::Vec<decltype(d_mask)>;
  using Narrow = hn::Vec<decltype(d_narrow)>;
  using Wide = hn::Vec<decltype(d_wide)>;

  size_t maximum_steps;

  HWY_INLINE size_t Lanes() const { return hn::Lanes(d_mask); }
  HWY_INLINE size_t MaximumSteps() const { return maximum_steps; }
  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const { return hn::LoadU(d_mask, from); }
  HWY_INLINE MaskVector LoadPixels(const Pixel* from) const {
    return hn::BitCast(d_mask, hn::Xor(hn::LoadU(d_pixel, from), hn::Set(d_pixel, 0x8000)));
  }
  HWY_INLINE Narrow MultiplyAdd(MaskVector x, MaskVector mask, Narrow sum) const {
    Narrow other = hn::Zero(d_narrow);
    sum = hn::ReorderWidenMulAccumulate(d_narrow, x, mask, sum, other);
    return hn::Add(sum, other);  // `other` is zero, and gone, where the operation adds pairs
  }
  HWY_INLINE Wide AddWidened(Wide wide, Narrow narrow) const {
    return AddHalves(d_wide, wide, narrow);
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return (int32_t{x} - 32768) * mask; }
};

void WeighU16(const FramePixels<uint16_t>& frames, const MaskRun<int16_t, int64_t>& run,
              int32_t maximum_weight) {
  // Each step adds two products to a lane.
  const int64_t per_step = int64_t{2} * 32768 * std::max(maximum_weight, 1);
  Product(WeighKernelU16{static_cast<size_t>(std::numeric_limits<int32_t>::max() / per_step)},
          frames, run);
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
