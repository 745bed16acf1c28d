#include "ingest/formats/zarr/fill_value.h"

#include <bit>
#include <charconv>
#include <complex>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "penstock/base/element_type_visit.h"

namespace penstock::ingest::zarr {

namespace {

template <typename T>
bool Set(const Json& value, T& number) {
  if constexpr (std::is_integral_v<T>) {
    if (value.is_boolean()) {
      number = value.get<bool>() ? 1 : 0;
      return true;
    }
    if (value.is_number_unsigned()) {
      const auto stated = value.get<uint64_t>();
      number = static_cast<T>(stated);
      return std::in_range<T>(stated);
    }
    if (value.is_number_integer()) {
      const auto stated = value.get<int64_t>();
      number = static_cast<T>(stated);
      return std::in_range<T>(stated);
    }
    if (value.is_number_float()) {
      const auto stated = value.get<double>();
      if (!(std::abs(stated) < 4503599627370496.0)) return false;
      const auto whole = static_cast<int64_t>(stated);
      number = static_cast<T>(whole);
      return static_cast<double>(whole) == stated && std::in_range<T>(whole);
    }
    return false;
  } else {
    if (value.is_number()) {
      number = static_cast<T>(value.get<double>());
      return true;
    }
    if (!value.is_string()) return false;
    const std::string& text = value.get_ref<const std::string&>();
    if (text == "NaN") number = std::numeric_limits<T>::quiet_NaN();
    if (text == "Infinity") number = std::numeric_limits<T>::infinity();
    if (text == "-Infinity") number = -std::numeric_limits<T>::infinity();
    if (text == "NaN" || text == "Infinity" || text == "-Infinity") return true;
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    if (!text.starts_with("0x") || text.size() != 2 + 2 * sizeof(T)) return false;
    Bits bits = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + 2, end, bits, 16);
    number = std::bit_cast<T>(bits);
    return parsed.ec == std::errc() && parsed.ptr == end;
  }
}

template <typename T>
bool Set(const Json& value, std::complex<T>& number) {
  T parts[2] = {0, 0};
  if (value.is_array()) {
    if (value.size() != 2 || !Set(value[0], parts[0]) || !Set(value[1], parts[1])) return false;
  } else if (!Set(value, parts[0])) {
    return false;
  }
  number = {parts[0], parts[1]};
  return true;
}

}  // namespace

std::optional<std::vector<std::byte>> FillBytes(const Json& value, ElementType type) {
  std::vector<std::byte> bytes(ElementSize(type), std::byte{0});
  if (value.is_null()) return bytes;
  const bool fits = VisitElementType(type, [&](auto number) {
    if (!Set(value, number)) return false;
    std::memcpy(bytes.data(), &number, sizeof(number));
    return true;
  });
  if (!fits) return std::nullopt;
  return bytes;
}

}  // namespace penstock::ingest::zarr
