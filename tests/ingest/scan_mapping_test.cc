#include <gtest/gtest.h>

#include "penstock/ingest/ingest.h"

namespace penstock::ingest {
namespace {

std::vector<int64_t> SourceFrames(const ScanMapping& mapping) {
  std::vector<int64_t> frames;
  for (int64_t p = 0; p < mapping.scan.frame_count(); ++p) frames.push_back(mapping.SourceFrame(p));
  return frames;
}

// The runs, laid out again, must be the frames themselves.
std::vector<int64_t> FramesOfRuns(const ScanMapping& mapping, int64_t limit) {
  std::vector<int64_t> frames;
  for (int64_t p = 0; p < mapping.scan.frame_count();) {
    const ScanMapping::Run run = mapping.RunAt(p, limit);
    EXPECT_GE(run.count, 1);
    EXPECT_LE(run.count, limit);
    for (int64_t i = 0; i < run.count; ++i) frames.push_back(run.source < 0 ? -1 : run.source + i);
    p += run.count;
  }
  return frames;
}

void Check(const ScanMapping& mapping, const std::vector<int64_t>& frames, int64_t missing_in_front,
           int64_t missing_at_end, int64_t unused_at_end) {
  EXPECT_EQ(SourceFrames(mapping), frames);
  EXPECT_EQ(FramesOfRuns(mapping, 100), frames);
  EXPECT_EQ(FramesOfRuns(mapping, 2), frames);
  EXPECT_EQ(mapping.MissingInFront(), missing_in_front);
  EXPECT_EQ(mapping.MissingAtEnd(), missing_at_end);
  EXPECT_EQ(mapping.UnusedAtEnd(), unused_at_end);
}

TEST(ScanMapping, Exact) { Check({{2, 2, false}, 4, 0, 0}, {0, 1, 2, 3}, 0, 0, 0); }

TEST(ScanMapping, PositiveOffsetSkipsFrames) {
  Check({{2, 2, false}, 5, 1, 0}, {1, 2, 3, 4}, 0, 0, 0);
  Check({{2, 2, false}, 4, 1, 0}, {1, 2, 3, -1}, 0, 1, 0);
}

TEST(ScanMapping, NegativeOffsetPutsMissingFramesInFront) {
  Check({{2, 2, false}, 4, -1, 0}, {-1, 0, 1, 2}, 1, 0, 1);
  Check({{2, 2, false}, 1, -9, 0}, {-1, -1, -1, -1}, 4, 0, 1);
}

TEST(ScanMapping, FlybackFramesFollowEachRow) {
  Check({{2, 2, false}, 6, 0, 1}, {0, 1, 3, 4}, 0, 0, 0);
  // Without the fly-back after the last row.
  Check({{2, 2, false}, 5, 0, 1}, {0, 1, 3, 4}, 0, 0, 0);
  Check({{2, 2, false}, 8, 1, 1}, {1, 2, 4, 5}, 0, 0, 1);
  Check({{3, 2, false}, 5, 0, 1}, {0, 1, 3, 4, -1, -1}, 0, 2, 0);
}

TEST(ScanMapping, FewerFramesThanPositions) {
  Check({{2, 3, false}, 4, 0, 0}, {0, 1, 2, 3, -1, -1}, 0, 2, 0);
}

}  // namespace
}  // namespace penstock::ingest
