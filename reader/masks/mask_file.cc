#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <type_traits>

#include "penstock/base/npy.h"
#include "penstock/reader/mask.h"

namespace penstock {

namespace {

constexpr uint64_t kMaximumMaskFileBytes = uint64_t{16} << 30;

std::string ShapeText(const std::vector<int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

}  // namespace

Result<std::vector<Mask>> LoadMasks(const std::filesystem::path& npy_file, SignalShape shape) {
  PENSTOCK_ASSIGN_OR_RETURN(const NpyArray array, ReadNpy(npy_file, kMaximumMaskFileBytes));
  const auto& axes = array.shape;
  const bool fits = (axes.size() == 2 || axes.size() == 3) && axes[axes.size() - 2] == shape.rows &&
                    axes.back() == shape.columns;
  if (!fits || (axes.size() == 3 && axes[0] == 0)) {
    return Error::Unsupported("the array does not fit the frames as a mask")
        .In(npy_file.string())
        .Expected(fmt::format("shape ({0}, {1}) or (masks, {0}, {1})", shape.rows, shape.columns))
        .Found(ShapeText(axes));
  }
  const auto pixels = static_cast<size_t>(shape.pixel_count());
  const size_t count = axes.size() == 3 ? static_cast<size_t>(axes[0]) : 1;
  const std::string name = npy_file.filename().string();
  std::vector<Mask> masks(count);
  bool finite = true;
  VisitElementType(array.element_type, [&](auto zero) {
    using T = decltype(zero);
    constexpr bool kReal = std::is_arithmetic_v<T>;
    for (size_t k = 0; k < count; ++k) {
      Mask& mask = masks[k];
      mask.name = axes.size() == 3 ? fmt::format("{}[{}]", name, k) : name;
      mask.shape = shape;
      mask.weights.resize(pixels);
      if constexpr (!kReal) mask.imaginary.resize(pixels);
      for (size_t p = 0; p < pixels; ++p) {
        T value{};
        std::memcpy(&value, array.bytes.data() + (k * pixels + p) * sizeof(T), sizeof(T));
        if constexpr (kReal) {
          mask.weights[p] = static_cast<double>(value);
        } else {
          mask.weights[p] = static_cast<double>(value.real());
          mask.imaginary[p] = static_cast<double>(value.imag());
          finite = finite && std::isfinite(mask.imaginary[p]);
        }
        finite = finite && std::isfinite(mask.weights[p]);
      }
    }
  });
  if (!finite) {
    return Error::Unsupported("the mask holds values that are not finite")
        .In(npy_file.string())
        .Advice("replace NaN and infinity by the weight that is meant, usually 0");
  }
  return masks;
}

}  // namespace penstock
