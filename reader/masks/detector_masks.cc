// Segmented detectors, gradients and harmonics: stacks of masks that belong together.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "penstock/reader/mask.h"

namespace penstock {

namespace {

double Angle(double along_rows, double along_columns) {  // radians
  return std::atan2(along_rows, along_columns);
}

// set(pixel, row - centre row, column - centre column) for every pixel.
template <typename Set>
void ForPixels(SignalShape shape, double row, double column, Set&& set) {
  size_t pixel = 0;
  for (int64_t r = 0; r < shape.rows; ++r) {
    for (int64_t c = 0; c < shape.columns; ++c) {
      set(pixel++, static_cast<double>(r) - row, static_cast<double>(c) - column);
    }
  }
}

std::vector<double> Zeros(SignalShape shape) {
  return std::vector<double>(static_cast<size_t>(shape.pixel_count()));
}

}  // namespace

std::vector<Mask> SectorMasks(SignalShape shape, double row, double column, double inner,
                              double outer, int64_t count, double first_angle) {
  const Mask ring = AnnulusMask(shape, row, column, inner, outer);
  std::vector<Mask> masks;
  for (int64_t k = 0; k < count; ++k) {
    masks.push_back({fmt::format("sector[{}]", k), shape, Zeros(shape)});
  }
  ForPixels(shape, row, column, [&](size_t pixel, double dy, double dx) {
    if (ring.weights[pixel] == 0) return;
    double turn = (Angle(dy, dx) * 180.0 / std::numbers::pi - first_angle) / 360.0;
    turn -= std::floor(turn);
    const auto sector = static_cast<int64_t>(turn * static_cast<double>(count));
    masks[static_cast<size_t>(std::min(sector, count - 1))].weights[pixel] = 1;
  });
  return masks;
}

std::vector<Mask> GradientMasks(SignalShape shape, double row, double column, double radius) {
  Mask rows{"gradient[rows]", shape, Zeros(shape)};
  Mask columns{"gradient[columns]", shape, Zeros(shape)};
  ForPixels(shape, row, column, [&](size_t pixel, double dy, double dx) {
    if (dy * dy + dx * dx > radius * radius) return;
    rows.weights[pixel] = dy;
    columns.weights[pixel] = dx;
  });
  return {std::move(rows), std::move(columns)};
}

Mask HarmonicMask(SignalShape shape, double row, double column, double inner, double outer,
                  int64_t order) {
  const Mask ring = AnnulusMask(shape, row, column, inner, outer);
  Mask mask{fmt::format("harmonic[{}]", order), shape, Zeros(shape), Zeros(shape)};
  ForPixels(shape, row, column, [&](size_t pixel, double dy, double dx) {
    if (ring.weights[pixel] == 0) return;
    const double phase = static_cast<double>(order) * Angle(dy, dx);
    mask.weights[pixel] = std::cos(phase);
    mask.imaginary[pixel] = -std::sin(phase);
  });
  return mask;
}

}  // namespace penstock
