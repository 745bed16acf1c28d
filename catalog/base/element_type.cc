#include "penstock/base/element_type.h"

#include <array>
#include <string>

namespace penstock {

namespace {

struct Names {
  ElementType type;
  std::string_view zarr;
  std::string_view numpy;
  std::string_view by_bytes;  // numpy without byte order
  std::string_view by_bits;
};

constexpr std::array<Names, 12> kNames{{
    {ElementType::kUint8, "uint8", "|u1", "u1", "u8"},
    {ElementType::kInt8, "int8", "|i1", "i1", "i8"},
    {ElementType::kUint16, "uint16", "<u2", "u2", "u16"},
    {ElementType::kInt16, "int16", "<i2", "i2", "i16"},
    {ElementType::kUint32, "uint32", "<u4", "u4", "u32"},
    {ElementType::kInt32, "int32", "<i4", "i4", "i32"},
    {ElementType::kUint64, "uint64", "<u8", "", "u64"},
    {ElementType::kInt64, "int64", "<i8", "", "i64"},
    {ElementType::kFloat32, "float32", "<f4", "f4", "f32"},
    {ElementType::kFloat64, "float64", "<f8", "f8", "f64"},
    {ElementType::kComplex64, "complex64", "<c8", "c8", "c64"},
    {ElementType::kComplex128, "complex128", "<c16", "c16", "c128"},
}};

const Names& NamesOf(ElementType type) { return kNames[static_cast<size_t>(type)]; }

}  // namespace

size_t ElementSize(ElementType type) {
  return VisitElementType(type, [](auto element) { return sizeof(element); });
}

std::string_view ZarrDataType(ElementType type) { return NamesOf(type).zarr; }
std::string_view NumpyTypeString(ElementType type) { return NamesOf(type).numpy; }

bool IsInteger(ElementType type) { return type < ElementType::kFloat32; }

bool IsSigned(ElementType type) {
  switch (type) {
    case ElementType::kUint8:
    case ElementType::kUint16:
    case ElementType::kUint32:
    case ElementType::kUint64:
      return false;
    default:
      return true;
  }
}

bool IsComplex(ElementType type) { return type >= ElementType::kComplex64; }

Result<ElementType> ParseElementType(std::string_view text) {
  // "<u8" and "u8" would mean 8 bytes to NumPy and 8 bits to most people who type "u8": a byte
  // order mark selects NumPy's meaning, the bare name is bits ("u8" is uint8, "<u8" is uint64).
  for (const Names& names : kNames) {
    if (text == names.zarr || text == names.numpy || text == names.by_bits) return names.type;
  }
  for (const Names& names : kNames) {
    if (!names.by_bytes.empty() && text == names.by_bytes) return names.type;
  }
  if (!text.empty() && (text[0] == '=' || text[0] == '|' || text[0] == '<')) {
    const std::string little = "<" + std::string(text.substr(1));
    const std::string single = "|" + std::string(text.substr(1));
    for (const Names& names : kNames) {
      if (names.numpy == little || names.numpy == single) return names.type;
    }
  }
  return Error::InvalidArgument("unknown element type '" + std::string(text) + "'")
      .Expected(
          "one of uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64 "
          "complex64 complex128, or a NumPy type string such as <u2");
}

}  // namespace penstock
