// From a KernelCall to the kernel for its types. `launch` is called with the kernel; false where
// there is none for these types.

#ifndef PENSTOCK_READER_DEVICE_KERNELS_DISPATCH_H_
#define PENSTOCK_READER_DEVICE_KERNELS_DISPATCH_H_

#include <cstdint>
#include <type_traits>

#include "reader/device/kernel_call.h"
#include "reader/device/kernels/mask_product.h"
#include "reader/device/kernels/sums.h"

namespace penstock::device_kernels {

// visitor(Pixel{}) for the elements that there are kernels for.
template <typename Visitor>
bool VisitPixel(ElementType type, const Visitor& visitor) {
  switch (type) {
    case ElementType::kUint8:
      return visitor(uint8_t{});
    case ElementType::kInt8:
      return visitor(int8_t{});
    case ElementType::kUint16:
      return visitor(uint16_t{});
    case ElementType::kInt16:
      return visitor(int16_t{});
    case ElementType::kUint32:
      return visitor(uint32_t{});
    case ElementType::kInt32:
      return visitor(int32_t{});
    case ElementType::kFloat32:
      return visitor(float{});
    case ElementType::kFloat64:
      return visitor(double{});
    default:
      return false;
  }
}

// visitor(MaskLayout<Pixel, Weight>{}) where this pair is used.
template <typename Visitor>
bool VisitMaskLayout(ElementType type, WeightKind kind, const Visitor& visitor) {
  return VisitPixel(type, [&](auto pixel) {
    using Pixel = decltype(pixel);
    constexpr bool kInteger = std::is_integral_v<Pixel>;
    constexpr bool kFloats = std::is_same_v<Pixel, uint8_t> || std::is_same_v<Pixel, uint16_t> ||
                             std::is_same_v<Pixel, float>;
    switch (kind) {
      case WeightKind::kInt8:
        if constexpr (kInteger && sizeof(Pixel) < 4) return visitor(MaskLayout<Pixel, int8_t>{});
        break;
      case WeightKind::kFloat:
        if constexpr (kFloats) return visitor(MaskLayout<Pixel, float>{});
        break;
      case WeightKind::kInt64:
        if constexpr (kInteger) return visitor(MaskLayout<Pixel, int64_t>{});
        break;
      case WeightKind::kDouble:
        if constexpr (!kFloats) return visitor(MaskLayout<Pixel, double>{});
        break;
    }
    return false;
  });
}

template <typename Launch>
bool Dispatch(const MaskProductCall& call, const Launch& launch) {
  return VisitMaskLayout(call.frames.element_type, call.weight_kind, [&](auto layout) {
    launch(MaskProduct<decltype(layout)>{call});
    return true;
  });
}

template <typename Launch>
bool Dispatch(const PieceSumsCall& call, const Launch& launch) {
  return VisitPixel(call.frames.element_type, [&](auto pixel) {
    launch(PieceSums<decltype(pixel)>{call});
    return true;
  });
}

template <typename Launch>
bool Dispatch(const RunSumsCall& call, const Launch& launch) {
  if (call.integer) {
    launch(RunSums<int64_t>{call});
  } else {
    launch(RunSums<double>{call});
  }
  return true;
}

template <typename Launch>
bool Dispatch(const FrameSumsCall& call, const Launch& launch) {
  return VisitPixel(call.frames.element_type, [&](auto pixel) {
    launch(FrameSums<decltype(pixel)>{{}, call});
    return true;
  });
}

template <typename Launch>
bool Dispatch(const MomentsCall& call, const Launch& launch) {
  return VisitPixel(call.frames.element_type, [&](auto pixel) {
    using Pixel = decltype(pixel);
    if constexpr (std::is_unsigned_v<Pixel> && sizeof(Pixel) < 4) {
      launch(Moments<Pixel>{{}, call});
      return true;
    }
    return false;
  });
}

template <typename Launch>
bool Dispatch(const TakeShiftCall& call, const Launch& launch) {
  return VisitPixel(call.frames.element_type, [&](auto pixel) {
    launch(TakeShift<decltype(pixel)>{{}, call});
    return true;
  });
}

template <typename Launch>
bool Dispatch(const ShiftedMomentsCall& call, const Launch& launch) {
  return VisitPixel(call.frames.element_type, [&](auto pixel) {
    launch(ShiftedMoments<decltype(pixel)>{{}, call});
    return true;
  });
}

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_DEVICE_KERNELS_DISPATCH_H_
