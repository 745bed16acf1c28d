// Definition of VisitElementType; include element_type.h instead.

#ifndef PENSTOCK_BASE_ELEMENT_TYPE_VISIT_H_
#define PENSTOCK_BASE_ELEMENT_TYPE_VISIT_H_

#include <complex>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "penstock/base/element_type.h"

namespace penstock {

template <typename Visitor>
decltype(auto) VisitElementType(ElementType type, Visitor&& visitor) {
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
    case ElementType::kUint64:
      return visitor(uint64_t{});
    case ElementType::kInt64:
      return visitor(int64_t{});
    case ElementType::kFloat32:
      return visitor(float{});
    case ElementType::kFloat64:
      return visitor(double{});
    case ElementType::kComplex64:
      return visitor(std::complex<float>{});
    case ElementType::kComplex128:
      return visitor(std::complex<double>{});
  }
  std::abort();  // a value outside the enumeration is a programmer error
}

}  // namespace penstock

#endif  // PENSTOCK_BASE_ELEMENT_TYPE_VISIT_H_
