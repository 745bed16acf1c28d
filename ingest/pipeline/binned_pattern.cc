#include "ingest/pipeline/binned_pattern.h"

#include <algorithm>
#include <cmath>

namespace penstock::ingest {

int64_t BinnedPattern::BinFor(SignalShape signal, int64_t longest_side) {
  return (std::max(signal.rows, signal.columns) + longest_side - 1) / longest_side;
}

BinnedPattern::BinnedPattern(SignalShape signal, int64_t longest_side)
    : signal_(signal),
      bin_(BinFor(signal, longest_side)),
      shape_{(signal.rows + bin_ - 1) / bin_, (signal.columns + bin_ - 1) / bin_},
      sums_(static_cast<size_t>(shape_.pixel_count())) {}

void BinnedPattern::Add(int64_t first_pixel, std::span<const double> values) {
  while (!values.empty()) {
    const int64_t row = first_pixel / signal_.columns;
    const int64_t column = first_pixel % signal_.columns;
    const auto count = static_cast<int64_t>(
        std::min(values.size(), static_cast<size_t>(signal_.columns - column)));
    double* sums = sums_.data() + row / bin_ * shape_.columns;
    for (int64_t i = 0; i < count; ++i) {
      const double value = values[static_cast<size_t>(i)];
      if (!std::isnan(value)) sums[(column + i) / bin_] += value;
    }
    first_pixel += count;
    values = values.subspan(static_cast<size_t>(count));
  }
}

std::vector<double> BinnedPattern::Mean(int64_t frames) const {
  std::vector<double> mean(sums_);
  size_t at = 0;
  for (int64_t row = 0; row < shape_.rows; ++row) {
    const int64_t height = std::min(bin_, signal_.rows - row * bin_);
    for (int64_t column = 0; column < shape_.columns; ++column) {
      const int64_t width = std::min(bin_, signal_.columns - column * bin_);
      mean[at++] /= static_cast<double>(frames * height * width);
    }
  }
  return mean;
}

}  // namespace penstock::ingest
