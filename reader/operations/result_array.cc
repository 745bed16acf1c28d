#include "penstock/reader/result_array.h"

#include <algorithm>
#include <span>

#include "penstock/base/element_type.h"
#include "penstock/base/npy.h"

namespace penstock {

size_t ResultArray::size() const {
  return std::visit([](const auto& all) { return all.size(); }, values);
}

std::vector<double> ResultArray::AsDoubles(size_t first, size_t count) const {
  std::vector<double> result(count);
  std::visit(
      [&](const auto& all) {
        std::transform(all.begin() + static_cast<ptrdiff_t>(first),
                       all.begin() + static_cast<ptrdiff_t>(first + count), result.begin(),
                       [](auto value) { return static_cast<double>(value); });
      },
      values);
  return result;
}

Status WriteResult(const std::filesystem::path& path, const ResultArray& array) {
  return std::visit(
      [&](const auto& all) {
        return WriteNpy(path, array.is_integer() ? ElementType::kInt64 : ElementType::kFloat64,
                        array.shape, std::as_bytes(std::span(all)));
      },
      array.values);
}

}  // namespace penstock
