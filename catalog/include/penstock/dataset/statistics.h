// Statistics taken while ingesting: per frame (minimum, maximum, sum, sum of squares) and per block
// (histogram, sum pattern).
//
// Exactness: sums of integer data are exact in 64 bits; sums of squares are exact for 8- and 16-bit
// data and float64 for everything else. NaN pixels of float data are counted, not summed.

#ifndef PENSTOCK_DATASET_STATISTICS_H_
#define PENSTOCK_DATASET_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "penstock/dataset/geometry.h"

namespace penstock {

// One frame. The member that counts depends on the element type: signed integers use the *_int
// members, unsigned ones *_uint, floating ones *_float.
struct FrameStatistics {
  union Number {
    int64_t as_int;
    uint64_t as_uint;
    double as_float;
  };
  Number minimum{};
  Number maximum{};
  Number sum{};
  uint64_t sum_of_squares_exact = 0;  // u8, i8, u16, i16
  double sum_of_squares = 0;          // every type
  uint64_t nan_count = 0;
};

// Histogram bins over counts: [0,1) ... [255,256), then powers of two up to 2^32 (the last bin
// holds everything above); values below 0 fall into the first bin. 256 + 24 = 280 bins at most; the
// edges are written beside the histogram.
std::vector<double> HistogramEdges(ElementType type);

// Collects one block, frame after frame, on the decoded tile while it is hot in the cache.
// Complex types give no statistics. Not thread-safe, const methods included (they collect when they
// are asked): one accumulator per worker.
class BlockStatistics {
 public:
  explicit BlockStatistics(const DatasetShape& shape, const BlockRegion& region);
  // What one holds for blocks of so many frames, without sum_pattern's copy.
  static uint64_t MemoryBytes(const DatasetShape& shape, int64_t block_frames);
  ~BlockStatistics();
  BlockStatistics(BlockStatistics&&) noexcept;
  BlockStatistics& operator=(BlockStatistics&&) noexcept;

  // Frame `index` of the block (0-based), C-order pixels, aligned for the element type. Frames that
  // are never added are missing.
  void AddFrame(int64_t index, std::span<const std::byte> pixels);

  const std::vector<FrameStatistics>& frames() const;
  const std::vector<bool>& frame_present() const;
  const std::vector<uint64_t>& histogram() const;
  // Sum over the present frames, one value per pixel; exact below 2^53.
  const std::vector<double>& sum_pattern() const;
  // The same a part at a time, in order, without a copy of the whole: frames may be so large that
  // there is no room for one. No part for complex types.
  using PatternVisitor = std::function<void(int64_t first_pixel, std::span<const double> sums)>;
  void VisitSumPattern(const PatternVisitor& visit) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_STATISTICS_H_
