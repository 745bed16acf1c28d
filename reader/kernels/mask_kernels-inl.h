// What the integer kernels of the mask product have in common, whatever their pixels; see
// mask_product-inl.h for what a kernel is. Included once per instruction set.

#if defined(PENSTOCK_READER_KERNELS_MASK_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_MASK_KERNELS_INL_H_
#undef PENSTOCK_READER_KERNELS_MASK_KERNELS_INL_H_
#else
#define PENSTOCK_READER_KERNELS_MASK_KERNELS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "reader/kernels/mask_product-inl.h"
#include "reader/kernels/vnni-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

// Binary masks, all bits of the pixel's type or none; sums in 64 bits that can't overflow. The
// kernel itself adds MultiplyAdd.
template <typename T>
struct SelectKernel {
  using Pixel = T;
  using MaskValue = T;
  using Total = int64_t;
  static constexpr bool kConverts = false;
  static constexpr hn::ScalableTag<T> d_pixel{};
  static constexpr hn::ScalableTag<uint64_t> d_narrow{};
  static constexpr hn::ScalableTag<uint64_t> d_wide{};
  using MaskVector = hn::Vec<decltype(d_pixel)>;
  using Narrow = hn::Vec<decltype(d_narrow)>;

  HWY_INLINE size_t Lanes() const { return hn::Lanes(d_pixel); }
  HWY_INLINE size_t MaximumSteps() const { return std::numeric_limits<size_t>::max(); }
  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const { return hn::LoadU(d_pixel, from); }
  HWY_INLINE MaskVector LoadPixels(const Pixel* from) const { return hn::LoadU(d_pixel, from); }
  HWY_INLINE Narrow AddWidened(Narrow wide, Narrow narrow) const { return hn::Add(wide, narrow); }
  HWY_INLINE Total Scalar(Pixel x, MaskValue mask) const { return x & mask; }
};

// 16-bit integer masks on pixels that fit int16: multiply-add into int32, widened in time; with
// VNNI in one instruction. The kernel itself adds Pixel, LoadPixels and Scalar.
template <bool kVnni>
struct WeighKernel {
  using MaskValue = int16_t;
  using Total = int64_t;
  static constexpr bool kConverts = false;
  static constexpr hn::ScalableTag<int16_t> d_mask{};
  static constexpr hn::ScalableTag<int32_t> d_narrow{};
  static constexpr hn::ScalableTag<int64_t> d_wide{};
  using MaskVector = hn::Vec<decltype(d_mask)>;
  using Narrow = hn::Vec<decltype(d_narrow)>;
  using Wide = hn::Vec<decltype(d_wide)>;

  size_t maximum_steps;

  // For pixels of at most `maximum_pixel`: each step adds two products to a lane.
  static WeighKernel For(int32_t maximum_pixel, int32_t maximum_weight) {
    const int64_t per_step = int64_t{2} * maximum_pixel * std::max(maximum_weight, 1);
    return {static_cast<size_t>(std::numeric_limits<int32_t>::max() / per_step)};
  }

  HWY_INLINE size_t Lanes() const { return hn::Lanes(d_mask); }
  HWY_INLINE size_t MaximumSteps() const { return maximum_steps; }
  HWY_INLINE MaskVector LoadMask(const MaskValue* from) const { return hn::LoadU(d_mask, from); }
  HWY_INLINE Narrow MultiplyAdd(MaskVector x, MaskVector mask, Narrow sum) const {
#if PENSTOCK_KERNELS_WITH_VNNI
    if constexpr (kVnni) {
      AddProductsOfWords(x.raw, mask.raw, sum.raw);
      return sum;
    }
#endif
    Narrow other = hn::Zero(d_narrow);
    sum = hn::ReorderWidenMulAccumulate(d_narrow, x, mask, sum, other);
    return hn::Add(sum, other);  // `other` is zero, and gone, where the operation adds pairs
  }
  HWY_INLINE Wide AddWidened(Wide wide, Narrow narrow) const {
    return AddHalves(d_wide, wide, narrow);
  }
};

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
