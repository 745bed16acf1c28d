#include "penstock/reader/sparse_mask.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace penstock {

namespace {

Error Contradiction(const std::string& name, std::string_view what) {
  return Error::InvalidArgument(fmt::format("mask '{}': {}", name, what));
}

bool AllFinite(const std::vector<double>& values) {
  return std::ranges::all_of(values, [](double value) { return std::isfinite(value); });
}

template <typename AMask>
Status ValidateWeights(const AMask& mask, size_t count) {
  if (mask.weights.size() != count || (mask.is_complex() && mask.imaginary.size() != count)) {
    return Contradiction(mask.name, "wrong number of weights")
        .Expected(fmt::format("{}", count))
        .Found(fmt::format("{} and {} imaginary ones", mask.weights.size(), mask.imaginary.size()));
  }
  if (!AllFinite(mask.weights) || !AllFinite(mask.imaginary)) {
    return Contradiction(mask.name, "it holds weights that are not finite");
  }
  return Status::Ok();
}

Status ValidateOne(const Mask& mask) {
  return ValidateWeights(mask, static_cast<size_t>(std::max<int64_t>(mask.shape.pixel_count(), 0)));
}

Status ValidateOne(const SparseMask& mask) {
  PENSTOCK_RETURN_IF_ERROR(ValidateWeights(mask, mask.pixels.size()));
  for (const int64_t pixel : mask.pixels) {
    if (pixel < 0 || pixel >= mask.shape.pixel_count()) {
      return Contradiction(mask.name, "it has a pixel outside of the frame")
          .Expected(fmt::format("0 to {}", mask.shape.pixel_count() - 1))
          .Found(fmt::format("{}", pixel));
    }
  }
  return Status::Ok();
}

}  // namespace

const std::string& NameOf(const AnyMask& mask) {
  return std::visit([](const auto& one) -> const std::string& { return one.name; }, mask);
}

SignalShape ShapeOf(const AnyMask& mask) {
  return std::visit([](const auto& one) { return one.shape; }, mask);
}

Status Validate(const AnyMask& mask) {
  return std::visit([](const auto& one) { return ValidateOne(one); }, mask);
}

Mask Dense(const SparseMask& mask) {
  const auto pixels = static_cast<size_t>(mask.shape.pixel_count());
  Mask dense{mask.name, mask.shape, std::vector<double>(pixels)};
  if (mask.is_complex()) dense.imaginary.resize(pixels);
  for (size_t e = 0; e < mask.pixels.size(); ++e) {
    const auto pixel = static_cast<size_t>(mask.pixels[e]);
    dense.weights[pixel] += mask.weights[e];
    if (mask.is_complex()) dense.imaginary[pixel] += mask.imaginary[e];
  }
  return dense;
}

SparseMask Sparse(const Mask& mask) {
  SparseMask sparse{mask.name, mask.shape, {}, {}};
  for (size_t p = 0; p < mask.weights.size(); ++p) {
    const double imaginary = mask.is_complex() ? mask.imaginary[p] : 0;
    if (mask.weights[p] == 0 && imaginary == 0) continue;
    sparse.pixels.push_back(static_cast<int64_t>(p));
    sparse.weights.push_back(mask.weights[p]);
    if (mask.is_complex()) sparse.imaginary.push_back(imaginary);
  }
  return sparse;
}

Result<std::vector<SparseMask>> MasksOfRows(const CsrMatrix& matrix, SignalShape shape,
                                            const std::string& name) {
  const auto refuse = [&](std::string_view what) {
    return Error::InvalidArgument(fmt::format("the sparse matrix {} {}", name, what));
  };
  if (matrix.columns != shape.pixel_count()) {
    return refuse("does not fit the frames as a stack of masks")
        .Expected(fmt::format("{} columns, one per pixel of {} x {}", shape.pixel_count(),
                              shape.rows, shape.columns))
        .Found(fmt::format("{}", matrix.columns));
  }
  const size_t entries = matrix.entry_columns.size();
  const bool complex = !matrix.imaginary.empty();
  if (matrix.rows < 1 || matrix.row_starts.size() != static_cast<size_t>(matrix.rows) + 1 ||
      matrix.row_starts.front() != 0 || matrix.row_starts.back() != static_cast<int64_t>(entries) ||
      !std::ranges::is_sorted(matrix.row_starts)) {
    return refuse("has row starts that are none")
        .Expected(fmt::format("rising from 0 to {}, {} of them", entries, matrix.rows + 1));
  }
  if (matrix.values.size() != entries || (complex && matrix.imaginary.size() != entries)) {
    return refuse("has not one value per entry")
        .Expected(fmt::format("{}", entries))
        .Found(fmt::format("{}", matrix.values.size()));
  }
  std::vector<SparseMask> masks(static_cast<size_t>(matrix.rows));
  for (size_t k = 0; k < masks.size(); ++k) {
    const auto part = [&](const auto& all) {
      return std::decay_t<decltype(all)>(all.begin() + matrix.row_starts[k],
                                         all.begin() + matrix.row_starts[k + 1]);
    };
    masks[k] = {fmt::format("{}[{}]", name, k), shape, part(matrix.entry_columns),
                part(matrix.values)};
    if (complex) masks[k].imaginary = part(matrix.imaginary);
    PENSTOCK_RETURN_IF_ERROR(Validate(masks[k]));
  }
  return masks;
}

Result<std::vector<SparseMask>> LatticeMasks(SignalShape shape, const LatticeDisks& lattice) {
  constexpr int64_t kMostPoints = int64_t{1} << 20;
  const int64_t side = lattice.last - lattice.first + 1;
  const double area = lattice.a_row * lattice.b_column - lattice.a_column * lattice.b_row;
  const double scale =
      std::hypot(lattice.a_row, lattice.a_column) * std::hypot(lattice.b_row, lattice.b_column);
  if (!std::isfinite(scale) || !std::isfinite(lattice.row + lattice.column + lattice.radius) ||
      std::abs(area) <= 1e-9 * scale || lattice.radius < 0) {
    return Error::InvalidArgument("these are no disks on a lattice")
        .Expected("two vectors that do not lie along one line, and a radius, in pixels");
  }
  if (side < 1 || side > 1024 || side * side > kMostPoints) {
    return Error::InvalidArgument("wrong range of lattice points")
        .Expected("FIRST at most LAST, at most 1024 steps along each vector")
        .Found(fmt::format("{} to {}", lattice.first, lattice.last));
  }
  std::vector<SparseMask> masks;
  for (int64_t h = lattice.first; h <= lattice.last; ++h) {
    for (int64_t k = lattice.first; k <= lattice.last; ++k) {
      const auto u = static_cast<double>(h);
      const auto v = static_cast<double>(k);
      const double row = lattice.row + u * lattice.a_row + v * lattice.b_row;
      const double column = lattice.column + u * lattice.a_column + v * lattice.b_column;
      SparseMask mask{fmt::format("lattice[{},{}]", h, k), shape, {}, {}};
      // Clamped while they are doubles: the point may be as far away as it likes.
      const auto bound = [](double at, int64_t length) {
        return static_cast<int64_t>(std::clamp(at, 0.0, static_cast<double>(length)));
      };
      const int64_t last_row = bound(std::floor(row + lattice.radius) + 1, shape.rows);
      const int64_t last_column = bound(std::floor(column + lattice.radius) + 1, shape.columns);
      for (int64_t r = bound(std::ceil(row - lattice.radius), shape.rows); r < last_row; ++r) {
        for (int64_t c = bound(std::ceil(column - lattice.radius), shape.columns); c < last_column;
             ++c) {
          const double dy = static_cast<double>(r) - row;
          const double dx = static_cast<double>(c) - column;
          if (dy * dy + dx * dx > lattice.radius * lattice.radius) continue;
          mask.pixels.push_back(r * shape.columns + c);
          mask.weights.push_back(1);
        }
      }
      if (!mask.pixels.empty()) masks.push_back(std::move(mask));
    }
  }
  if (masks.empty()) {
    return Error::InvalidArgument("no disk of the lattice has a pixel in the frame")
        .Expected(fmt::format("points within {} x {} pixels", shape.rows, shape.columns));
  }
  return masks;
}

}  // namespace penstock
