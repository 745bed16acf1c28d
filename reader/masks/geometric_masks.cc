#include <cmath>

#include "penstock/reader/mask.h"

namespace penstock {

namespace {

template <typename Contains>
Mask MakeMask(SignalShape shape, Contains&& contains) {
  Mask mask;
  mask.shape = shape;
  mask.weights.resize(static_cast<size_t>(shape.pixel_count()));
  size_t at = 0;
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t column = 0; column < shape.columns; ++column) {
      mask.weights[at++] = contains(static_cast<double>(row), static_cast<double>(column)) ? 1 : 0;
    }
  }
  return mask;
}

// Degrees in [0, 360).
double Wrapped(double angle) {
  const double rest = std::fmod(angle, 360.0);
  return rest < 0 ? rest + 360.0 : rest;
}

bool InAnnulus(double along_rows, double along_columns, double inner, double outer) {
  const double squared = along_rows * along_rows + along_columns * along_columns;
  return squared <= outer * outer && (inner <= 0 || squared > inner * inner);
}

}  // namespace

Mask DiskMask(SignalShape shape, double row, double column, double radius) {
  return AnnulusMask(shape, row, column, 0, radius);
}

Mask AnnulusMask(SignalShape shape, double row, double column, double inner, double outer) {
  return MakeMask(shape,
                  [=](double r, double c) { return InAnnulus(r - row, c - column, inner, outer); });
}

Mask SegmentMask(SignalShape shape, double row, double column, double inner, double outer,
                 double first_angle, double last_angle) {
  constexpr double kDegreesPerRadian = 180.0 / 3.14159265358979323846;
  const double range = last_angle - first_angle;
  return MakeMask(shape, [=](double r, double c) {
    if (!InAnnulus(r - row, c - column, inner, outer)) return false;
    if (range >= 360.0) return true;
    const double angle = std::atan2(r - row, c - column) * kDegreesPerRadian;
    return Wrapped(angle - first_angle) < range;
  });
}

Mask RectangleMask(SignalShape shape, double first_row, double first_column, double last_row,
                   double last_column) {
  return MakeMask(shape, [=](double r, double c) {
    return r >= first_row && r < last_row && c >= first_column && c < last_column;
  });
}

Mask FullMask(SignalShape shape) {
  Mask mask = MakeMask(shape, [](double, double) { return true; });
  mask.name = "full";
  return mask;
}

}  // namespace penstock
