// Integer masks of 8 bits on 8-bit pixels. With VNNI four products go to a 32-bit sum in one
// instruction; elsewhere both are widened to 16 bits on the way.

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_bytes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_kernels-inl.h"
#include "reader/kernels/vnni-inl.h"
#include "reader/kernels/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void WeighBytes(const FramePixels<uint8_t>& frames, const MaskRun<int8_t, int64_t>& run, int32_t) {
  scalar::MaskProduct(frames, run);
}

#else

struct WidenedBytesKernel : WeighKernel<false> {
  using Pixel = uint8_t;
  using MaskValue = int8_t;
  static constexpr hn::Rebind<uint8_t, decltype(d_mask)> d_pixel{};
  static constexpr hn::Rebind<int8_t, decltype(d_mask)> d_weight{};

  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const {
    return hn::PromoteTo(d_mask, hn::LoadU(d_weight, from));
  }
  HWY_INLINE MaskVector LoadPixels(const Pixel* from) const {
    return hn::PromoteTo(d_mask, hn::LoadU(d_pixel, from));
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return int32_t{x} * mask; }
};

#if PENSTOCK_KERNELS_WITH_VNNI
struct VnniBytesKernel : WeighKernel<true> {
  using Pixel = uint8_t;
  using MaskValue = int8_t;
  static constexpr hn::ScalableTag<uint8_t> d_pixel{};
  static constexpr hn::ScalableTag<int8_t> d_mask{};
  using PixelVector = hn::Vec<decltype(d_pixel)>;
  using MaskVector = hn::Vec<decltype(d_mask)>;

  // Each step adds four products to a lane.
  static VnniBytesKernel For(int32_t maximum_weight) {
    return {WeighKernel<true>::For(2 * 255, maximum_weight)};
  }

  HWY_INLINE size_t Lanes() const { return hn::Lanes(d_mask); }
  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const { return hn::LoadU(d_mask, from); }
  HWY_INLINE PixelVector LoadPixels(const Pixel* from) const { return hn::LoadU(d_pixel, from); }
  HWY_INLINE Narrow MultiplyAdd(PixelVector x, MaskVector mask, Narrow sum) const {
    AddProductsOfBytes(x.raw, mask.raw, sum.raw);
    return sum;
  }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return int32_t{x} * mask; }
};
#endif

void WeighBytes(const FramePixels<uint8_t>& frames, const MaskRun<int8_t, int64_t>& run,
                int32_t maximum_weight) {
#if PENSTOCK_KERNELS_WITH_VNNI
  if (HasVnni()) return Product(VnniBytesKernel::For(maximum_weight), frames, run);
#endif
  Product(WidenedBytesKernel{WidenedBytesKernel::For(255, maximum_weight)}, frames, run);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(WeighBytes);

void MaskProduct(const FramePixels<uint8_t>& frames, const MaskRun<int8_t, int64_t>& run,
                 int32_t maximum_weight) {
  HWY_DYNAMIC_DISPATCH(WeighBytes)(frames, run, maximum_weight);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
