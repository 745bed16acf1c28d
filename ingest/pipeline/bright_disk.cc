#include "ingest/pipeline/bright_disk.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

namespace penstock::ingest {

namespace {

constexpr int64_t kSmallestSide = 8;
constexpr double kSmallestRadius = 1.5;  // of the searched pattern's pixels
constexpr double kLargestShare = 0.5;    // of the frame
constexpr double kContrast = 4;          // over the background, in its standard deviations
// Of the pixels above the threshold, those in one region; of the region with its holes filled, what
// is above the threshold; of the same, what lies within a disk of its area and a little more.
constexpr double kOneRegion = 0.5;
constexpr double kSolid = 0.6;
constexpr double kRound = 0.95;
constexpr double kRoundMargin = 1.15;

using Flags = std::vector<uint8_t>;

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The median of each pixel's neighbourhood of 3 x 3: hot and dead pixels and lines go.
std::vector<double> WithoutSpikes(ImageShape shape, std::span<const double> pattern) {
  std::vector<double> smooth(pattern.size());
  std::array<double, 9> around;
  size_t at = 0;
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t column = 0; column < shape.columns; ++column) {
      size_t n = 0;
      for (int64_t y = row - 1; y <= row + 1; ++y) {
        const int64_t line = std::clamp<int64_t>(y, 0, shape.rows - 1) * shape.columns;
        for (int64_t x = column - 1; x <= column + 1; ++x) {
          around[n++] =
              pattern[static_cast<size_t>(line + std::clamp<int64_t>(x, 0, shape.columns - 1))];
        }
      }
      std::nth_element(around.begin(), around.begin() + 4, around.end());
      smooth[at++] = around[4];
    }
  }
  return smooth;
}

struct Levels {
  double threshold = 0;
  double above = 0;  // mean of the pixels above the threshold
};

// Half-way between the means of what is above and what is below, from half-way to the top on.
Levels FindThreshold(const std::vector<double>& values, double background, double top) {
  Levels levels{.threshold = (background + top) / 2, .above = top};
  for (int step = 0; step < 32; ++step) {
    double sum_above = 0;
    double sum_below = 0;
    size_t above = 0;
    for (const double value : values) {
      if (value > levels.threshold) {
        sum_above += value;
        ++above;
      } else {
        sum_below += value;
      }
    }
    if (above == 0 || above == values.size()) break;
    levels.above = sum_above / static_cast<double>(above);
    const double below = sum_below / static_cast<double>(values.size() - above);
    const double next = (levels.above + below) / 2;
    const bool settled = std::abs(next - levels.threshold) < 1e-6 * (top - background);
    levels.threshold = next;
    if (settled) break;
  }
  return levels;
}

// The standard deviation of the background, by the median distance from it.
double Spread(const std::vector<double>& values, double background) {
  std::vector<double> distance(values.size());
  std::transform(values.begin(), values.end(), distance.begin(),
                 [background](double value) { return std::abs(value - background); });
  return 1.4826 * Median(std::move(distance));
}

// The connected region of `value` around `start` becomes `mark`; its size.
size_t Fill(ImageShape shape, Flags& flags, size_t start, uint8_t value, uint8_t mark) {
  const auto columns = static_cast<size_t>(shape.columns);
  std::vector<size_t> open{start};
  size_t size = 0;
  flags[start] = mark;
  while (!open.empty()) {
    const size_t at = open.back();
    open.pop_back();
    ++size;
    const auto visit = [&](size_t next) {
      if (flags[next] != value) return;
      flags[next] = mark;
      open.push_back(next);
    };
    if (at % columns > 0) visit(at - 1);
    if (at % columns + 1 < columns) visit(at + 1);
    if (at >= columns) visit(at - columns);
    if (at + columns < flags.size()) visit(at + columns);
  }
  return size;
}

struct Region {
  Flags pixels;  // 1: inside, holes included
  size_t solid = 0;
  size_t filled = 0;
  bool touches_edge = false;
};

// What cannot be reached from the frame's edge is a hole.
void FillHoles(ImageShape shape, Region& region) {
  constexpr uint8_t kOutside = 2;
  const auto fill_from = [&](int64_t row, int64_t column) {
    const auto at = static_cast<size_t>(row * shape.columns + column);
    if (region.pixels[at] == 1) region.touches_edge = true;
    if (region.pixels[at] == 0) Fill(shape, region.pixels, at, 0, kOutside);
  };
  for (int64_t row = 0; row < shape.rows; ++row) {
    fill_from(row, 0);
    fill_from(row, shape.columns - 1);
  }
  for (int64_t column = 0; column < shape.columns; ++column) {
    fill_from(0, column);
    fill_from(shape.rows - 1, column);
  }
  for (uint8_t& pixel : region.pixels) pixel = pixel == kOutside ? 0 : 1;
  region.filled =
      static_cast<size_t>(std::count(region.pixels.begin(), region.pixels.end(), uint8_t{1}));
}

Region LargestRegion(ImageShape shape, const Flags& above) {
  constexpr uint8_t kSeen = 2;
  Flags flags = above;
  size_t best = 0;
  Region region;
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] != 1) continue;
    const size_t size = Fill(shape, flags, i, 1, kSeen);
    if (size > region.solid) {
      region.solid = size;
      best = i;
    }
  }
  region.pixels = above;
  Fill(shape, region.pixels, best, 1, kSeen);
  for (uint8_t& pixel : region.pixels) pixel = pixel == kSeen ? 1 : 0;
  FillHoles(shape, region);
  return region;
}

BrightDisk DiskOf(ImageShape shape, const Region& region) {
  double rows = 0;
  double columns = 0;
  for (size_t i = 0; i < region.pixels.size(); ++i) {
    if (region.pixels[i] == 0) continue;
    const size_t row = i / static_cast<size_t>(shape.columns);
    rows += static_cast<double>(row);
    columns += static_cast<double>(i - row * static_cast<size_t>(shape.columns));
  }
  const auto area = static_cast<double>(region.filled);
  return {
      .row = rows / area, .column = columns / area, .radius = std::sqrt(area / std::numbers::pi)};
}

bool IsRound(ImageShape shape, const Region& region, const BrightDisk& disk) {
  const double reach = disk.radius * kRoundMargin + 0.5;
  size_t inside = 0;
  for (size_t i = 0; i < region.pixels.size(); ++i) {
    if (region.pixels[i] == 0) continue;
    const size_t row = i / static_cast<size_t>(shape.columns);
    const double y = static_cast<double>(row) - disk.row;
    const double x =
        static_cast<double>(i - row * static_cast<size_t>(shape.columns)) - disk.column;
    if (y * y + x * x <= reach * reach) ++inside;
  }
  return static_cast<double>(inside) >= kRound * static_cast<double>(region.filled);
}

double Rounded(double value) { return std::round(value * 100) / 100; }

}  // namespace

DiskSearch FindBrightDisk(ImageShape shape, std::span<const double> pattern, int64_t bin) {
  const auto none = [](std::string reason) { return DiskSearch{{}, std::move(reason)}; };
  if (std::min(shape.rows, shape.columns) < kSmallestSide) return none("the frames are too small");
  if (!std::all_of(pattern.begin(), pattern.end(), [](double v) { return std::isfinite(v); })) {
    return none("the mean pattern is not finite");
  }
  const std::vector<double> smooth = WithoutSpikes(shape, pattern);
  const double background = Median(smooth);
  const double top = *std::max_element(smooth.begin(), smooth.end());
  if (top <= background) return none("nothing stands out of the mean pattern");
  const Levels levels = FindThreshold(smooth, background, top);
  if (levels.above - background < kContrast * Spread(smooth, background)) {
    return none("nothing stands out of the mean pattern");
  }
  Flags above(smooth.size());
  std::transform(smooth.begin(), smooth.end(), above.begin(), [&levels](double value) {
    return static_cast<uint8_t>(value > levels.threshold ? 1 : 0);
  });
  const auto bright = static_cast<size_t>(std::count(above.begin(), above.end(), uint8_t{1}));
  if (bright == 0) return none("nothing stands out of the mean pattern");
  const Region region = LargestRegion(shape, above);
  if (static_cast<double>(region.solid) < kOneRegion * static_cast<double>(bright)) {
    return none("the bright pixels of the mean pattern are not one region");
  }
  if (region.touches_edge) return none("the bright region reaches the edge of the frame");
  if (static_cast<double>(region.filled) > kLargestShare * static_cast<double>(above.size())) {
    return none("the bright region fills the frame");
  }
  const BrightDisk found = DiskOf(shape, region);
  if (found.radius < kSmallestRadius) return none("the bright region is too small");
  if (static_cast<double>(region.solid) < kSolid * static_cast<double>(region.filled) ||
      !IsRound(shape, region, found)) {
    return none("the bright region is not a compact disk");
  }
  const auto scale = static_cast<double>(bin);
  const double offset = (scale - 1) / 2;  // of a bin's centre from that of its first pixel
  return {BrightDisk{.row = Rounded(found.row * scale + offset),
                     .column = Rounded(found.column * scale + offset),
                     .radius = Rounded(found.radius * scale)},
          {}};
}

}  // namespace penstock::ingest
