// BinnedPattern: a sum of detector frames, binned where the detector is larger than a picture has
// to be.

#ifndef PENSTOCK_INGEST_PIPELINE_BINNED_PATTERN_H_
#define PENSTOCK_INGEST_PIPELINE_BINNED_PATTERN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "penstock/base/png.h"
#include "penstock/dataset/geometry.h"

namespace penstock::ingest {

// Not thread-safe.
class BinnedPattern {
 public:
  // Square bins, the smallest with which no side is longer than `longest_side`; those at the end of
  // an axis may be cut.
  BinnedPattern(SignalShape signal, int64_t longest_side);

  static int64_t BinFor(SignalShape signal, int64_t longest_side);

  // Adds values to the pixels from `first_pixel` on, row-major. NaN counts as zero.
  void Add(int64_t first_pixel, std::span<const double> values);

  int64_t bin() const { return bin_; }
  ImageShape shape() const { return shape_; }
  // Per pixel of the detector, averaged over each bin, of a sum over `frames` frames.
  std::vector<double> Mean(int64_t frames) const;

 private:
  SignalShape signal_;
  int64_t bin_;
  ImageShape shape_;
  std::vector<double> sums_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_BINNED_PATTERN_H_
