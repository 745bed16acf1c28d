// PartitionReader: where a worker of a pass gets its frames from.

#ifndef PENSTOCK_READER_IO_PARTITION_READER_H_
#define PENSTOCK_READER_IO_PARTITION_READER_H_

#include <cstddef>
#include <cstdint>

#include "penstock/base/result.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "reader/partition_order.h"

namespace penstock {

// Frames, or the same pixels of each of some frames, in memory.
struct FrameRun {
  int64_t first_frame = 0;  // dataset-wide
  int64_t frame_count = 0;  // 0: the partition is done
  const std::byte* pixels = nullptr;
  // Whole frames without gaps, unless pixel_count says otherwise.
  int64_t first_pixel = 0;
  int64_t pixel_count = 0;  // 0: whole frames
  size_t frame_stride = 0;  // bytes; where pixel_count is not 0
  // Not null: the pixels are packed, and `pixels` is null; as PackedTile has them.
  const std::byte* const* packed = nullptr;
  int64_t first_run = 0;
  int64_t run_count = 0;
  // One per frame: 0 where it was found not to be usable; null: nothing new.
  const uint8_t* valid = nullptr;
};

// One per worker, not thread-safe.
class PartitionReader {
 public:
  virtual ~PartitionReader() = default;

  // Where the frames of the partition are.
  virtual Locality LocalityOf(const Partition& partition) = 0;
  // `alone`: the partition is not one of a pass over all frames, in order.
  virtual Status Start(const Partition& partition, bool alone) = 0;
  // The next frames, valid until the next call of anything here.
  virtual Result<FrameRun> Next() = 0;
  // True where all reads of what was started are done or under way, and not by this thread: another
  // reader may begin, so that the disk goes on.
  virtual bool HasAskedForAll() const { return false; }
  // Counts the partition that was read last in its way.
  virtual void CountPartition(PassSummary& summary) const = 0;
  virtual int64_t extents_verified() const { return 0; }  // since construction
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_PARTITION_READER_H_
