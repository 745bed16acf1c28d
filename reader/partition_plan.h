// How a dataset is cut into the partitions of one pass.

#ifndef PENSTOCK_READER_PARTITION_PLAN_H_
#define PENSTOCK_READER_PARTITION_PLAN_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/dataset.h"
#include "penstock/reader/reduction.h"

namespace penstock {

// A partition and what of it is read. Without a selection that is all of it, in one run.
struct PlannedPartition {
  Partition partition;
  std::vector<FrameRange> runs;  // rising; frames between them are not read
  int64_t selected = 0;          // frames
};

// Where a partition ends, in frames since the beginning of its block, that would end after `frames`
// of them: there or before.
struct PartitionEnds {
  std::function<int64_t(int64_t frames)> end{};  // null: as it is
  int64_t most_before = 0;                       // no end is moved by more frames
};

// Partitions of about `partition_bytes` end where at most a frame of an extent is left over, since
// who verifies the extent reads it to its end. As they are where too much would have to be moved:
// of small partitions, with large frames, and of compressed blocks.
PartitionEnds EndWithExtents(const Dataset& dataset, uint64_t partition_bytes);

// Runs of `frames_each` frames of one of the blocks, which follow one another; where `ends` moves
// them, of at most ends.most_before more. `selection`: one per
// frame, 0: not wanted; empty: all are. Partitions without a wanted frame are left out. Runs that
// are at most `bridged` frames apart become one: reading a little more is quicker than another
// request.
std::vector<PlannedPartition> PlanPartitions(std::span<const FrameRange> blocks,
                                             int64_t frames_each, const PartitionEnds& ends,
                                             std::span<const uint8_t> selection, int64_t bridged);

}  // namespace penstock

#endif  // PENSTOCK_READER_PARTITION_PLAN_H_
