#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "penstock/dataset/stored_statistics.h"
#include "penstock/reader/region_statistics.h"
#include "reader/pass_target.h"

namespace penstock {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ToDouble(FrameStatistics::Number number, ElementType type) {
  if (!IsInteger(type)) return number.as_float;
  return IsSigned(type) ? static_cast<double>(number.as_int) : static_cast<double>(number.as_uint);
}

// Statistics of every frame, wherever they came from.
struct FrameTable {
  std::vector<FrameStatistics> frames;
  std::vector<uint8_t> used;
  ElementType type = ElementType::kUint8;
  int64_t pixels = 0;
};

void Total(const FrameTable& table, const ScanShape& scan, RegionStatistics& region) {
  const size_t count = table.frames.size();
  std::vector<double> minima(count, kNan), maxima(count, kNan), sums(count, kNan);
  region.minimum = region.maximum = kNan;
  int64_t whole = 0;
  bool fits = IsInteger(table.type);
  double real = 0;
  long double squares = 0;
  for (size_t f = 0; f < count; ++f) {
    if (table.used[f] == 0) continue;
    const FrameStatistics& frame = table.frames[f];
    ++region.frames;
    minima[f] = ToDouble(frame.minimum, table.type);
    maxima[f] = ToDouble(frame.maximum, table.type);
    sums[f] = ToDouble(frame.sum, table.type);
    // A comparison with NaN, which stands for nothing so far, is false.
    if (!(region.minimum <= minima[f]) && !std::isnan(minima[f])) region.minimum = minima[f];
    if (!(region.maximum >= maxima[f]) && !std::isnan(maxima[f])) region.maximum = maxima[f];
    const bool beyond = !IsSigned(table.type) && frame.sum.as_uint > INT64_MAX;
    fits = fits && !beyond && !__builtin_add_overflow(whole, frame.sum.as_int, &whole);
    real += sums[f];
    squares += frame.sum_of_squares;
    region.not_numbers += static_cast<int64_t>(frame.nan_count);
  }
  region.pixels = table.pixels;
  const auto numbers = static_cast<long double>(region.frames * region.pixels - region.not_numbers);
  region.sum.shape = {1};
  if (fits) {
    region.sum.values = std::vector<int64_t>{whole};
  } else {
    region.sum.values = std::vector<double>{real};
  }
  const long double mean = (fits ? static_cast<long double>(whole) : real) / numbers;
  region.mean = numbers > 0 ? static_cast<double>(mean) : kNan;
  const long double variance = squares / numbers - mean * mean;
  region.standard_deviation =
      numbers > 0 ? static_cast<double>(std::sqrt(std::max(variance, 0.0L))) : kNan;
  const std::vector<int64_t> shape = scan.is_series ? std::vector<int64_t>{scan.columns}
                                                    : std::vector<int64_t>{scan.rows, scan.columns};
  region.frame_minimum = {shape, std::move(minima)};
  region.frame_maximum = {shape, std::move(maxima)};
  region.frame_sum = {shape, std::move(sums)};
}

std::vector<uint8_t> UsedFrames(const Reader& reader, const std::vector<uint8_t>& selection) {
  std::vector<uint8_t> used(reader.image_key().size());
  for (size_t f = 0; f < used.size(); ++f) {
    used[f] = reader.image_key()[f] == 0 && (selection.empty() || selection[f] != 0);
  }
  return used;
}

// Adds the histograms of blocks that are wholly in the region; leaves in `selection` the frames
// whose pixels must be counted.
Status TakeBlockHistograms(const Reader& reader, const FrameTable& table,
                           std::vector<uint64_t>& histogram, std::vector<uint8_t>& selection,
                           RegionStatistics& region) {
  const Dataset& dataset = reader.dataset();
  PENSTOCK_ASSIGN_OR_RETURN(const auto stored, ReadBlockHistograms(dataset));
  selection = table.used;
  if (!stored) return Status::Ok();
  for (int64_t block = 0; block < dataset.grid().block_count(); ++block) {
    const BlockRegion where = RegionOfBlock(dataset.shape(), dataset.grid(), block);
    const auto first = static_cast<size_t>(where.first_frame);
    const auto last = first + static_cast<size_t>(where.frame_count());
    int64_t used = 0, valid = 0;
    uint64_t not_numbers = 0;
    for (size_t f = first; f < last; ++f) {
      used += table.used[f];
      valid += reader.image_key()[f] == 0;
      if (table.used[f] != 0) not_numbers += table.frames[f].nan_count;
    }
    const std::vector<uint64_t>& counts = (*stored)[static_cast<size_t>(block)];
    const uint64_t counted = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
    // What was counted must be what is asked for, frame by frame.
    if (used != valid || counted + not_numbers != static_cast<uint64_t>(valid * table.pixels)) {
      continue;
    }
    for (size_t b = 0; b < histogram.size(); ++b) histogram[b] += counts[b];
    region.histogram_frames_from_sidecar += valid;
    std::fill(selection.begin() + static_cast<ptrdiff_t>(first),
              selection.begin() + static_cast<ptrdiff_t>(last), uint8_t{0});
  }
  return Status::Ok();
}

// `reader`: where there is a sidecar that may be asked; else null.
Result<RegionStatistics> Summarize(const PassTarget& target, const Reader* reader,
                                   const PassOptions& pass,
                                   const RegionStatisticsOptions& options) {
  if (!pass.selection.empty() && pass.selection.size() != target.image_key.size()) {
    return Error::InvalidArgument("the selection of frames does not fit the scan").In(target.name);
  }
  const DatasetShape& shape = target.shape;
  RegionStatistics region;
  FrameTable table;
  std::vector<uint64_t> histogram;
  PassOptions rest = pass;
  bool needs_pixels = true;
  if (reader != nullptr) {
    PENSTOCK_ASSIGN_OR_RETURN(auto stored, ReadFrameStatistics(reader->dataset()));
    if (stored) {
      table = {*std::move(stored), UsedFrames(*reader, pass.selection), shape.element_type,
               shape.signal.pixel_count()};
      region.values_from_sidecar = true;
      needs_pixels = false;
    }
  }
  if (region.values_from_sidecar && options.histogram) {
    histogram.resize(HistogramEdges(table.type).size() - 1);
    PENSTOCK_RETURN_IF_ERROR(
        TakeBlockHistograms(*reader, table, histogram, rest.selection, region));
    needs_pixels = std::ranges::find(rest.selection, 1) != rest.selection.end();
  }
  if (needs_pixels) {
    FrameStatisticsReduction statistics;
    const std::array<Reduction*, 1> one = {&statistics};
    PENSTOCK_ASSIGN_OR_RETURN(region.summary, target.run(one, rest));
    if (!region.values_from_sidecar) {
      table = {statistics.frames(), statistics.seen(), statistics.element_type(),
               statistics.pixels()};
    }
    histogram.resize(statistics.histogram().size());
    for (size_t b = 0; b < histogram.size(); ++b) histogram[b] += statistics.histogram()[b];
  }
  Total(table, shape.scan, region);
  if (options.histogram) {
    std::vector<double> edges = HistogramEdges(table.type);
    region.histogram = {{static_cast<int64_t>(histogram.size())},
                        std::vector<int64_t>(histogram.begin(), histogram.end())};
    region.histogram_edges = {{static_cast<int64_t>(edges.size())}, std::move(edges)};
  }
  return region;
}

}  // namespace

Result<RegionStatistics> SummarizeRegion(const Reader& reader, const PassOptions& pass,
                                         const RegionStatisticsOptions& options) {
  const bool may_use_sidecar =
      options.use_sidecar && pass.view.is_plain() && !reader.leaves_out_pixels();
  return Summarize(PassTarget(reader), may_use_sidecar ? &reader : nullptr, pass, options);
}

Result<RegionStatistics> SummarizeRegion(const FrameProvider& provider, const PassOptions& pass,
                                         const RegionStatisticsOptions& options) {
  return Summarize(PassTarget(provider), nullptr, pass, options);
}

}  // namespace penstock
