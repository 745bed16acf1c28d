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

std::vector<FrameGap> Gaps(const std::vector<MissingFrames>& missing, int64_t source_frames) {
  auto gaps = NumberGaps(missing, source_frames);
  EXPECT_TRUE(gaps.ok()) << gaps.error().ToString();
  return gaps.ok() ? *gaps : std::vector<FrameGap>();
}

TEST(ScanMapping, LostFramesLeaveHolesAndLaterFramesStay) {
  // Numbers of the acquisition: 0 1 . . 2 3 . 4
  const auto gaps = Gaps({{2, 2, {}}, {4, 1, {}}}, 5);
  const ScanMapping exact{{2, 4, false}, 5, 0, 0, gaps};
  Check(exact, {0, 1, -1, -1, 2, 3, -1, 4}, 0, 0, 0);
  EXPECT_EQ(exact.NumberCount(), 8);
  EXPECT_EQ(exact.LostPositions(), 3);
  // A scan that is shorter or longer than the acquisition.
  Check({{1, 5, false}, 5, 0, 0, gaps}, {0, 1, -1, -1, 2}, 0, 0, 2);
  Check({{3, 3, false}, 5, 0, 0, gaps}, {0, 1, -1, -1, 2, 3, -1, 4, -1}, 0, 1, 0);
  // Ends inside a gap: nothing was recorded at its end.
  const ScanMapping inside{{2, 2, false}, 5, 0, 0, gaps};
  Check(inside, {0, 1, -1, -1}, 0, 2, 3);
  EXPECT_EQ(inside.LostPositions(), 2);
}

TEST(ScanMapping, LostFramesInFront) {
  const auto gaps = Gaps({{0, 3, {}}}, 4);
  Check({{2, 4, false}, 4, 0, 0, gaps}, {-1, -1, -1, 0, 1, 2, 3, -1}, 0, 1, 0);
  // A synchronisation offset counts them.
  const ScanMapping behind{{2, 2, false}, 4, 3, 0, gaps};
  Check(behind, {0, 1, 2, 3}, 0, 0, 0);
  EXPECT_EQ(behind.LostPositions(), 0);
  EXPECT_EQ(behind.UnusedInFront(), 0);
  const ScanMapping later{{1, 2, false}, 4, 5, 0, gaps};
  Check(later, {2, 3}, 0, 0, 0);
  EXPECT_EQ(later.UnusedInFront(), 2);
  Check({{2, 3, false}, 4, -1, 0, gaps}, {-1, -1, -1, -1, 0, 1}, 1, 0, 2);
}

TEST(ScanMapping, LostFramesAcrossFlyback) {
  // Rows of 2 with 1 fly-back frame: 0 1 f | 3 . . | 4 5 f; lost are a position and a fly-back.
  const auto gaps = Gaps({{4, 2, {}}}, 7);
  const ScanMapping mapping{{3, 2, false}, 7, 0, 1, gaps};
  Check(mapping, {0, 1, 3, -1, 4, 5}, 0, 0, 0);
  EXPECT_EQ(mapping.LostPositions(), 1);
  // A gap of fly-back alone touches no position.
  const ScanMapping harmless{{2, 2, false}, 4, 0, 1, Gaps({{2, 1, {}}}, 4)};
  Check(harmless, {0, 1, 2, 3}, 0, 0, 0);
  EXPECT_EQ(harmless.LostPositions(), 0);
}

TEST(ScanMapping, WhatCannotBeAGapIsRefused) {
  const std::vector<std::vector<MissingFrames>> wrong = {
      {{2, 0, {}}},
      {{2, -1, {}}},
      {{-1, 1, {}}},
      {{5, 1, {}}},
      {{2, 1, {}}, {2, 1, {}}},
      {{3, 1, {}}, {2, 1, {}}},
      {{2, INT64_MAX, {}}},
      {{2, int64_t{1} << 40, {}}, {3, 1, {}}},
  };
  for (const auto& missing : wrong) {
    const auto gaps = NumberGaps(missing, 5);
    ASSERT_FALSE(gaps.ok());
    EXPECT_EQ(gaps.error().kind(), ErrorKind::kContradiction);
  }
  // The largest that there may be, and nothing is allocated for it.
  const ScanMapping mapping{{1, 4, false}, 5, 0, 0, Gaps({{2, int64_t{1} << 40, {}}}, 5)};
  Check(mapping, {0, 1, -1, -1}, 0, 2, 3);
}

}  // namespace
}  // namespace penstock::ingest
