// PackedFrames: the frames of a FrameProvider as it packs them, run by run.

#ifndef PENSTOCK_READER_IO_PACKED_FRAMES_H_
#define PENSTOCK_READER_IO_PACKED_FRAMES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/reader/frame_provider.h"
#include "reader/io/partition_reader.h"

namespace penstock {

class PackedFrames final : public PartitionReader {
 public:
  // That are taken together, so that what the masks have for some pixels is used so many times. A
  // worker holds all of them where they are not in the page cache: of 32, which are no quicker, K2
  // IS would be 183 MB.
  static constexpr int64_t kGroupFrames = 8;

  // The provider must outlive it. plan.packed_run is not 0.
  PackedFrames(const FrameProvider& provider, const PassPlan& plan);

  Locality LocalityOf(const Partition& /*partition*/) override { return Locality::kDisk; }
  Status Start(const Partition& partition, bool alone) override;
  Result<FrameRun> Next() override;
  void CountPartition(PassSummary& summary) const override { ++summary.partitions_decoded; }

 private:
  Status TakeGroup();
  bool GoOn();

  const FrameProvider& provider_;
  const int64_t frame_pixels_;
  const int64_t tile_frames_;
  const int64_t run_pixels_;
  const int64_t run_count_;
  const std::unique_ptr<FrameProvider::Cursor> cursor_;
  std::vector<uint8_t> valid_;
  std::vector<const std::byte*> packed_;

  FrameRange frames_;      // of the partition
  FrameRange group_;       // that is in hand
  FrameRange tile_;        // the frames of the last tile
  int64_t first_run_ = 0;  // of the last tile
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_PACKED_FRAMES_H_
