// What the pixels of some frames are like: smallest, largest, sum, mean, deviation, histogram; from
// the statistics in the sidecar where those are exact, from the pixels where not.

#ifndef PENSTOCK_READER_REGION_STATISTICS_H_
#define PENSTOCK_READER_REGION_STATISTICS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/statistics.h"
#include "penstock/reader/frame_provider.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "penstock/reader/result_array.h"

namespace penstock {

// statistics.h for every frame and one histogram over all of them, from the pixels that are good.
class FrameStatisticsReduction final : public Reduction {
 public:
  FrameStatisticsReduction();
  ~FrameStatisticsReduction() override;

  // One per frame of the scan; of those that were not seen, not valid or not done they mean
  // nothing.
  const std::vector<FrameStatistics>& frames() const;
  const std::vector<uint8_t>& seen() const;
  ElementType element_type() const;  // which says what a FrameStatistics::Number is
  int64_t pixels() const;            // good ones of a frame
  // Between HistogramEdges(element_type()).
  const std::vector<uint64_t>& histogram() const;

  bool IsOrderFree() const override { return true; }
  // Where sums are rounded they are those that ingest has stored, to the last digit.
  bool WantsWholeFrames(const PassPlan& plan) const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct RegionStatistics {
  int64_t frames = 0;  // valid ones of the region
  int64_t pixels = 0;  // of a frame that count
  int64_t not_numbers = 0;
  // Of all pixels together; NaN without frames. Sums of integers are exact.
  double minimum = 0;
  double maximum = 0;
  ResultArray sum;  // one value: int64 for integer data, float64 for others and beyond int64
  double mean = 0;
  // Divided by n, from sums of squares: to about 1e-8 of the largest magnitude.
  double standard_deviation = 0;
  // Per frame, of the scan's shape, float64; NaN outside of the region.
  ResultArray frame_minimum;
  ResultArray frame_maximum;
  ResultArray frame_sum;
  ResultArray histogram;        // (bins), int64
  ResultArray histogram_edges;  // (bins + 1): 0, 1, ... 256, 512, 1024, ...
  // Where the answer came from. Values come as a whole from the one or the other; the histogram
  // from the sidecar for blocks of which the region has every valid frame, from the pixels for the
  // rest.
  bool values_from_sidecar = false;
  int64_t histogram_frames_from_sidecar = 0;
  PassSummary summary;  // of the pixels that were read; nothing but zeros where none were
};

struct RegionStatisticsOptions {
  bool use_sidecar = true;
  bool histogram = true;
};

// pass.selection is the region. The sidecar's statistics are of whole stored frames: they are used
// where there is no view, and no pixel_mask that leaves pixels out. kCorrupt where they contradict
// their checksum; errors of Reader::Run.
Result<RegionStatistics> SummarizeRegion(const Reader& reader, const PassOptions& pass,
                                         const RegionStatisticsOptions& options = {});
// The same of frames that have no sidecar.
Result<RegionStatistics> SummarizeRegion(const FrameProvider& provider, const PassOptions& pass,
                                         const RegionStatisticsOptions& options = {});

}  // namespace penstock

#endif  // PENSTOCK_READER_REGION_STATISTICS_H_
