#include "penstock/base/display.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace penstock {

namespace {

constexpr size_t kQuantileSamples = size_t{1} << 20;

// Maps a value to [0, 1].
class Normaliser {
 public:
  Normaliser(DisplayRange range, DisplayScale scale)
      : range_(range), logarithmic_(scale == DisplayScale::kLogarithmic) {
    const double width = range.high - range.low;
    width_ = logarithmic_ ? std::log1p(width) : width;
    if (!(width_ > 0)) width_ = 1;
  }

  double operator()(double value) const {
    if (!std::isfinite(value)) return 0;
    const double clipped = std::clamp(value, range_.low, std::max(range_.low, range_.high));
    const double above = clipped - range_.low;
    return (logarithmic_ ? std::log1p(above) : above) / width_;
  }

 private:
  DisplayRange range_;
  bool logarithmic_;
  double width_;
};

template <typename Level>
std::vector<Level> ToGrey(std::span<const double> values, DisplayRange range, DisplayScale scale,
                          double white) {
  const Normaliser normalise(range, scale);
  std::vector<Level> levels(values.size());
  std::transform(values.begin(), values.end(), levels.begin(), [&](double value) {
    return static_cast<Level>(std::lround(normalise(value) * white));
  });
  return levels;
}

uint8_t ToByte(double level) {
  return static_cast<uint8_t>(std::lround(std::clamp(level, 0.0, 1.0) * 255));
}

// D. A. Green, "A colour scheme for the display of astronomical intensity images" (2011), with its
// default start 0.5, rotations -1.5, hue 1, gamma 1.
std::array<uint8_t, 3> Cubehelix(double level) {
  const double angle = 2 * std::numbers::pi * (0.5 / 3 + 1 - 1.5 * level);
  const double amplitude = level * (1 - level) / 2;
  const double cosine = std::cos(angle) * amplitude;
  const double sine = std::sin(angle) * amplitude;
  return {ToByte(level - 0.14861 * cosine + 1.78277 * sine),
          ToByte(level - 0.29227 * cosine - 0.90649 * sine), ToByte(level + 1.97294 * cosine)};
}

}  // namespace

DisplayRange RobustRange(std::span<const double> values, double fraction) {
  const size_t step = std::max<size_t>(1, values.size() / kQuantileSamples);
  std::vector<double> sample;
  DisplayRange full{.low = INFINITY, .high = -INFINITY};
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    full.low = std::min(full.low, values[i]);
    full.high = std::max(full.high, values[i]);
    if (i % step == 0) sample.push_back(values[i]);
  }
  if (full.low > full.high) return {};
  if (full.low == full.high) return {.low = full.low, .high = full.low + 1};
  if (sample.empty() || fraction <= 0) return full;
  const auto quantile = [&](double part) {
    const auto place =
        sample.begin() +
        static_cast<ptrdiff_t>(std::lround(part * static_cast<double>(sample.size() - 1)));
    std::nth_element(sample.begin(), place, sample.end());
    return *place;
  };
  const double part = std::min(fraction, 0.5);
  const DisplayRange robust{.low = quantile(part), .high = quantile(1 - part)};
  return robust.low < robust.high ? robust : full;
}

std::vector<uint8_t> ToGrey8(std::span<const double> values, DisplayRange range,
                             DisplayScale scale) {
  return ToGrey<uint8_t>(values, range, scale, 255);
}

std::vector<uint16_t> ToGrey16(std::span<const double> values, DisplayRange range,
                               DisplayScale scale) {
  return ToGrey<uint16_t>(values, range, scale, 65535);
}

std::vector<uint8_t> ToRgb(std::span<const double> values, DisplayRange range, ColourMap map,
                           DisplayScale scale) {
  const Normaliser normalise(range, scale);
  std::vector<uint8_t> pixels;
  pixels.reserve(values.size() * 3);
  for (const double value : values) {
    const double level = normalise(value);
    const uint8_t grey = ToByte(level);
    const std::array<uint8_t, 3> colour =
        map == ColourMap::kCubehelix ? Cubehelix(level) : std::array<uint8_t, 3>{grey, grey, grey};
    pixels.insert(pixels.end(), colour.begin(), colour.end());
  }
  return pixels;
}

std::vector<uint8_t> DirectionToRgb(std::span<const double> along_rows,
                                    std::span<const double> along_columns, double longest) {
  if (longest <= 0) {
    for (size_t i = 0; i < along_rows.size(); ++i) {
      const double length = std::hypot(along_rows[i], along_columns[i]);
      if (std::isfinite(length)) longest = std::max(longest, length);
    }
  }
  std::vector<uint8_t> pixels;
  pixels.reserve(along_rows.size() * 3);
  for (size_t i = 0; i < along_rows.size(); ++i) {
    const double length = std::hypot(along_rows[i], along_columns[i]);
    const double brightness =
        std::isfinite(length) && longest > 0 ? std::min(length / longest, 1.0) : 0;
    const double angle = brightness > 0 ? std::atan2(along_rows[i], along_columns[i]) : 0;
    for (const int channel : {0, 1, 2}) {  // three cosines, a third of the circle apart
      const double phase = angle - channel * 2 * std::numbers::pi / 3;
      pixels.push_back(ToByte(brightness * (1 + std::cos(phase)) / 2));
    }
  }
  return pixels;
}

}  // namespace penstock
