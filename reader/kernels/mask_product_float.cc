// Float masks: fused multiply-add in float32, widened to float64 after at most 4096 pixels. Integer
// pixels are converted in registers, once per group of masks.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_float.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <typename Pixel>
void MultiplyFloat(const FramePixels<Pixel>& frames, const MaskRun<float, double>& run) {
  scalar::MaskProduct(frames, run);
}

#else

inline constexpr size_t kFloatBlockPixels = 4096;

template <typename PixelType>
struct FloatKernel {
  using Pixel = PixelType;
  using MaskValue = float;
  using Total = double;
  static constexpr bool kConverts = !hwy::IsSame<Pixel, float>();
  static constexpr hn::ScalableTag<float> d_narrow{};
  static constexpr hn::ScalableTag<double> d_wide{};
  using MaskVector = hn::Vec<decltype(d_narrow)>;
  using Narrow = hn::Vec<decltype(d_narrow)>;
  using Wide = hn::Vec<decltype(d_wide)>;

  HWY_INLINE size_t Lanes() const { return hn::Lanes(d_narrow); }
  HWY_INLINE size_t MaximumSteps() const { return kFloatBlockPixels / hn::Lanes(d_narrow); }
  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const { return hn::LoadU(d_narrow, from); }
  HWY_INLINE Narrow LoadPixels(const Pixel* from) const {
    if constexpr (hwy::IsSame<Pixel, float>()) {
      return hn::LoadU(d_narrow, from);
    } else {
      const hn::RebindToSigned<decltype(d_narrow)> d_int;
      const hn::Rebind<Pixel, decltype(d_int)> d_pixel;
      return hn::ConvertTo(d_narrow, hn::PromoteTo(d_int, hn::LoadU(d_pixel, from)));
    }
  }
  HWY_INLINE Narrow MultiplyAdd(Narrow x, MaskVector mask, Narrow sum) const {
    return hn::MulAdd(x, mask, sum);
  }
  HWY_INLINE Wide AddWidened(Wide wide, Narrow narrow) const {
    return AddHalves(d_wide, wide, narrow);
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const {
    return static_cast<double>(x) * static_cast<double>(mask);
  }
};

template <typename Pixel>
void MultiplyFloat(const FramePixels<Pixel>& frames, const MaskRun<float, double>& run) {
  Product(FloatKernel<Pixel>{}, frames, run);
}

#endif  // HWY_TARGET == HWY_SCALAR

void FloatMaskF32(const FramePixels<float>& frames, const MaskRun<float, double>& run) {
  MultiplyFloat(frames, run);
}
void FloatMaskU8(const FramePixels<uint8_t>& frames, const MaskRun<float, double>& run) {
  MultiplyFloat(frames, run);
}
void FloatMaskU16(const FramePixels<uint16_t>& frames, const MaskRun<float, double>& run) {
  MultiplyFloat(frames, run);
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(FloatMaskF32);
HWY_EXPORT(FloatMaskU8);
HWY_EXPORT(FloatMaskU16);

void MaskProduct(const FramePixels<float>& frames, const MaskRun<float, double>& run) {
  HWY_DYNAMIC_DISPATCH(FloatMaskF32)(frames, run);
}
void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<float, double>& run) {
  HWY_DYNAMIC_DISPATCH(FloatMaskU8)(frames, run);
}
void MaskProduct(const FramePixels<uint16_t>& frames, const MaskRun<float, double>& run) {
  HWY_DYNAMIC_DISPATCH(FloatMaskU16)(frames, run);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
