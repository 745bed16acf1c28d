// From measured values to the pixels of a picture: ranges, grey levels, colour maps.
//
// Values that are not finite are left out of the ranges and shown as black. Pure functions,
// thread-safe.

#ifndef PENSTOCK_BASE_DISPLAY_H_
#define PENSTOCK_BASE_DISPLAY_H_

#include <cstdint>
#include <span>
#include <vector>

namespace penstock {

enum class DisplayScale : uint8_t {
  kLinear,
  kLogarithmic,  // log(1 + (value - low)): for diffraction patterns, whose counts span decades
};

enum class ColourMap : uint8_t {
  kGrey,
  kCubehelix,  // lightness rises steadily, so that it survives printing in grey (Green 2011)
};

// What is shown as black (`low`) and as white (`high`).
struct DisplayRange {
  double low = 0;
  double high = 1;
};

// The quantiles `fraction` and 1 - `fraction` of the finite values, so that single hot pixels do
// not decide; minimum and maximum with fraction 0. Falls back to the full range where the quantiles
// coincide (a picture that is dark but for few pixels). {0, 1} without finite values; high > low
// always. Large inputs are sampled evenly for the quantiles, never for the full range.
DisplayRange RobustRange(std::span<const double> values, double fraction = 0.001);

// One level per value; values outside the range are clipped.
std::vector<uint8_t> ToGrey8(std::span<const double> values, DisplayRange range,
                             DisplayScale scale = DisplayScale::kLinear);
std::vector<uint16_t> ToGrey16(std::span<const double> values, DisplayRange range,
                               DisplayScale scale = DisplayScale::kLinear);
// Three bytes per value.
std::vector<uint8_t> ToRgb(std::span<const double> values, DisplayRange range, ColourMap map,
                           DisplayScale scale = DisplayScale::kLinear);

// A field of vectors: hue for the direction, brightness for the length up to `longest` (all lengths
// if 0). Three bytes per vector. Precondition: both have the same size.
std::vector<uint8_t> DirectionToRgb(std::span<const double> along_rows,
                                    std::span<const double> along_columns, double longest = 0);

}  // namespace penstock

#endif  // PENSTOCK_BASE_DISPLAY_H_
