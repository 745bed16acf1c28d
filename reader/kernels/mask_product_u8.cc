// Masks on 8-bit pixels. Binary masks: the selected bytes are added by the sum of absolute
// differences to zero (8 bytes into a 64-bit lane, which can't overflow). Integer masks: 16-bit
// multiply-add into int32.

#include <cstdint>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_u8.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_product-inl.h"

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

struct SelectKernelU8 {
  using Pixel = uint8_t;
  using MaskValue = uint8_t;
  using Total = int64_t;
  static constexpr hn::ScalableTag<uint8_t> d_pixel{};
  static constexpr hn::ScalableTag<uint64_t> d_narrow{};
  static constexpr hn::ScalableTag<uint64_t> d_wide{};
  using MaskVector = hn::Vec<decltype(d_pixel)>;
  using Narrow = hn::Vec<decltype(d_narrow)>;

  HWY_INLINE size_t Lanes() const { return hn::Lanes(d_pixel); }
  HWY_INLINE size_t MaximumSteps() const { return std::numeric_limits<size_t>::max(); }
  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const { return hn::LoadU(d_pixel, from); }
  HWY_INLINE MaskVector LoadPixels(const Pixel* from) const { return hn::LoadU(d_pixel, from); }
  HWY_INLINE Narrow MultiplyAdd(MaskVector x, MaskVector mask, Narrow sum) const {
    return hn::Add(sum, hn::SumsOf8(hn::And(x, mask)));
  }
  HWY_INLINE Narrow AddWidened(Narrow wide, Narrow narrow) const { return hn::Add(wide, narrow); }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return x & mask; }
};

struct WeighKernelU8 {
  using Pixel = uint8_t;
  using MaskValue = int16_t;
  using Total = int64_t;
  static constexpr hn::ScalableTag<int16_t> d_mask{};
  static constexpr hn::Rebind<uint8_t, hn::ScalableTag<int16_t> > d_pixel{};
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
    return hn::PromoteTo(d_mask, hn::LoadU(d_pixel, from));
  }
  HWY_INLINE Narrow MultiplyAdd(MaskVector x, MaskVector mask, Narrow sum) const {
    Narrow other = hn::Zero(d_narrow);
    sum = hn::ReorderWidenMulAccumulate(d_narrow, x, mask, sum, other);
    return hn::Add(sum, other);  // `other` is zero, and gone, where the operation adds pairs
  }
  HWY_INLINE Wide AddWidened(Wide wide, Narrow narrow) const {
    return AddHalves(d_wide, wide, narrow);
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return int32_t{x} * mask; }
};

void SelectU8(const FramePixels<uint8_t>& frames, const MaskRun<uint8_t, int64_t>& run) {
  Product(SelectKernelU8{}, frames, run);
}

void WeighU8(const FramePixels<uint8_t>& frames, const MaskRun<int16_t, int64_t>& run,
             int32_t maximum_weight) {
  // Each step adds two products to a lane.
  const int64_t per_step = int64_t{2} * 255 * std::max(maximum_weight, 1);
  Product(WeighKernelU8{static_cast<size_t>(std::numeric_limits<int32_t>::max() / per_step)},
          frames, run);
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
