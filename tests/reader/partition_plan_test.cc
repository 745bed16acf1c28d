#include "reader/partition_plan.h"

#include <gtest/gtest.h>

#include <vector>

namespace penstock {
namespace {

std::vector<FrameRange> Ranges(const std::vector<PlannedPartition>& planned) {
  std::vector<FrameRange> ranges;
  for (const PlannedPartition& each : planned) ranges.push_back(each.partition.frames);
  return ranges;
}

const std::vector<FrameRange> kBlocks = {{.first = 0, .last = 25}, {.first = 25, .last = 40}};

TEST(PartitionPlan, NoPartitionReachesBeyondItsBlock) {
  const std::vector<FrameRange> expected = {{0, 10}, {10, 20}, {20, 25}, {25, 35}, {35, 40}};
  EXPECT_EQ(Ranges(PlanPartitions(kBlocks, 10, {}, {}, 0)), expected);
}

TEST(PartitionPlan, EndsAreMovedFromTheSameGrid) {
  const PartitionEnds ends{[](int64_t frames) { return frames - 1; }, 1};
  const std::vector<FrameRange> expected = {{0, 9}, {9, 19}, {19, 25}, {25, 34}, {34, 40}};
  EXPECT_EQ(Ranges(PlanPartitions(kBlocks, 10, ends, {}, 0)), expected);
}

TEST(PartitionPlan, NoPartitionIsEmptyOrTooLargeWhateverTheEnds) {
  const std::vector<FrameRange> blocks = {{.first = 0, .last = 4}};
  const std::vector<FrameRange> ones = {{0, 1}, {1, 2}, {2, 3}, {3, 4}};
  for (const int64_t end : {0, 100}) {
    const PartitionEnds ends{[end](int64_t) { return end; }, 5};
    EXPECT_EQ(Ranges(PlanPartitions(blocks, 1, ends, {}, 0)), ones);
  }
  const PartitionEnds far{[](int64_t) { return int64_t{0}; }, 3};
  const std::vector<FrameRange> expected = {{0, 7}, {7, 17}, {17, 25}, {25, 32}, {32, 40}};
  EXPECT_EQ(Ranges(PlanPartitions(kBlocks, 10, far, {}, 0)), expected);
}

}  // namespace
}  // namespace penstock
