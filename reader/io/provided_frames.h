// ProvidedFrames: the frames of a FrameProvider, tile by tile in a buffer that stays in the cache.

#ifndef PENSTOCK_READER_IO_PROVIDED_FRAMES_H_
#define PENSTOCK_READER_IO_PROVIDED_FRAMES_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/reader/frame_provider.h"
#include "reader/io/partition_reader.h"

namespace penstock {

class ProvidedFrames final : public PartitionReader {
 public:
  // The provider must outlive it. `whole`: frames are wanted as a whole, not strip by strip.
  ProvidedFrames(const FrameProvider& provider, const PassPlan& plan, bool whole);

  Locality LocalityOf(const Partition& /*partition*/) override { return Locality::kDisk; }
  Status Start(const Partition& partition, bool alone) override;
  Result<FrameRun> Next() override;
  void CountPartition(PassSummary& summary) const override { ++summary.partitions_decoded; }

 private:
  const FrameProvider& provider_;
  const std::vector<int32_t>& image_key_;
  const size_t element_bytes_;
  const int64_t frame_pixels_;
  const bool in_pixel_order_;
  int64_t group_frames_ = 1;  // frames that are read side by side
  int64_t run_pixels_ = 0;    // of each of them
  std::unique_ptr<FrameProvider::Cursor> cursor_;
  AlignedBuffer pixels_;
  std::vector<uint8_t> valid_;

  FrameRange frames_;       // of the partition
  int64_t next_frame_ = 0;  // of the group that is being read
  int64_t next_pixel_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_PROVIDED_FRAMES_H_
