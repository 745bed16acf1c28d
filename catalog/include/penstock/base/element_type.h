// ElementType: the types of a detector pixel as stored in a block, little-endian.

#ifndef PENSTOCK_BASE_ELEMENT_TYPE_H_
#define PENSTOCK_BASE_ELEMENT_TYPE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "penstock/base/result.h"

namespace penstock {

enum class ElementType : uint8_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kUint64,
  kInt64,
  kFloat32,
  kFloat64,
  kComplex64,
  kComplex128,
};

size_t ElementSize(ElementType type);                // bytes
std::string_view ZarrDataType(ElementType type);     // "uint16"
std::string_view NumpyTypeString(ElementType type);  // "<u2", "|u1"
bool IsInteger(ElementType type);
bool IsSigned(ElementType type);
bool IsComplex(ElementType type);

// Accepts "uint16", "u2", "<u2", "u16", "float32", "f4", "f32", ... (little-endian or native; the
// byte order mark, if any, must not be '>').
Result<ElementType> ParseElementType(std::string_view text);

// Calls visitor(T{}) with the C++ type of `type` (std::complex for the complex types).
template <typename Visitor>
decltype(auto) VisitElementType(ElementType type, Visitor&& visitor);

}  // namespace penstock

#include "penstock/base/element_type_visit.h"  // IWYU pragma: export

#endif  // PENSTOCK_BASE_ELEMENT_TYPE_H_
