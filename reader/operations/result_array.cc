#include "penstock/reader/result_array.h"

#include <algorithm>
#include <complex>
#include <span>
#include <type_traits>

#include "penstock/base/npy.h"

namespace penstock {

ElementType ResultArray::element_type() const {
  return is_integer()   ? ElementType::kInt64
         : is_complex() ? ElementType::kComplex128
                        : ElementType::kFloat64;
}

size_t ResultArray::size() const {
  return std::visit([](const auto& all) { return all.size(); }, values);
}

std::vector<double> ResultArray::AsDoubles(size_t first, size_t count) const {
  std::vector<double> result(count);
  std::visit(
      [&](const auto& all) {
        std::transform(all.begin() + static_cast<ptrdiff_t>(first),
                       all.begin() + static_cast<ptrdiff_t>(first + count), result.begin(),
                       [](auto value) {
                         if constexpr (std::is_arithmetic_v<decltype(value)>) {
                           return static_cast<double>(value);
                         } else {
                           return std::abs(value);
                         }
                       });
      },
      values);
  return result;
}

Status WriteResult(const std::filesystem::path& path, const ResultArray& array) {
  return std::visit(
      [&](const auto& all) {
        return WriteNpy(path, array.element_type(), array.shape, std::as_bytes(std::span(all)));
      },
      array.values);
}

}  // namespace penstock
