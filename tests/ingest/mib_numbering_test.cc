// Breaks in the numbering of the frames: lost frames, repeated and senseless numbers.

#include <gtest/gtest.h>

#include "ingest/formats/mib/mib_format.h"
#include "tests/ingest/mib_open_helpers.h"

namespace penstock::ingest {
namespace {

using Kind = AnomalyKind;

TEST(MibFlags, BreaksInTheNumberingAreFoundWhenOpening) {
  const TestDirectory directory;
  Bytes bytes = Joined(Joined(Frames(1, 10), Frames(14, 20)), Joined(Frames(33, 7), Frames(1, 3)));
  auto source = OpenMib(directory.Write("gaps.mib", bytes));
  ASSERT_TRUE(source.ok());
  const SourceDescription& description = (*source)->description();
  ASSERT_EQ(description.anomalies.size(), 3U) << Listed(description.anomalies);
  EXPECT_EQ(description.anomalies[0].kind, Kind::kMissingFrame);
  EXPECT_EQ(description.anomalies[0].frame, 10);
  EXPECT_EQ(description.anomalies[0].byte_offset, 10 * kRecord);
  EXPECT_EQ(description.anomalies[1].kind, Kind::kDuplicateFrame);
  EXPECT_EQ(description.anomalies[1].frame, 30);
  EXPECT_EQ(description.anomalies[2].kind, Kind::kHeaderContradiction);
  EXPECT_EQ(description.anomalies[2].frame, 37);
  ASSERT_EQ(description.missing_frames.size(), 1U);
  EXPECT_EQ(description.missing_frames[0].before_frame, 10);
  EXPECT_EQ(description.missing_frames[0].count, 3);
  TestReport report;
  EXPECT_TRUE(DecodeAll(**source, report).ok());
  EXPECT_EQ(report.anomalies.size(), 0U) << "reported already\n" << Listed(report.anomalies);
}

TEST(MibFlags, ARepeatedNumberTakesThePlaceOfAFrame) {
  const TestDirectory directory;
  // 1 2 3 4 4 7 8 9 10: the second 4 is frame 5 with a wrong number, only frame 6 is lost.
  const Bytes bytes = Joined(Joined(Frames(1, 4), Frames(4, 1)), Frames(7, 4));
  const SourceDescription description = Opened(directory.Write("stuck.mib", bytes));
  ASSERT_EQ(description.missing_frames.size(), 1U) << Listed(description.anomalies);
  EXPECT_EQ(description.missing_frames[0].before_frame, 5);
  EXPECT_EQ(description.missing_frames[0].count, 1);
}

TEST(MibFlags, MoreBreaksThanAreFollowedAreAContradiction) {
  const TestDirectory directory;
  Bytes bytes;
  for (int64_t i = 0; i < 300; ++i) bytes = Joined(bytes, Frames(1 + 2 * i, 1));
  const SourceDescription description = Opened(directory.Write("torn.mib", bytes));
  EXPECT_TRUE(Has(description.anomalies, Kind::kHeaderContradiction, "more than 256 places"));
}

TEST(MibFlags, ScanShapesCountTheLostFrames) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  directory.Write("scan3.mib", Frames(7, 3));
  const SourceDescription description = Opened(path);
  ASSERT_EQ(description.scan_shapes.size(), 1U);
  EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{.rows = 3, .columns = 3}));
}

TEST(MibFlags, NumberingThatGoesWrongAndRightAgainIsFoundWhileDecoding) {
  const TestDirectory directory;
  // 1 2 3 4 4 6 7 8 ...: the ends do not show it.
  const Bytes bytes = Joined(Joined(Frames(1, 4), Frames(4, 1)), Frames(6, 5));
  auto source = OpenMib(directory.Write("swap.mib", bytes));
  ASSERT_TRUE(source.ok());
  EXPECT_TRUE((*source)->description().anomalies.empty());
  TestReport report;
  EXPECT_TRUE(DecodeAll(**source, report).ok());
  ASSERT_EQ(report.anomalies.size(), 1U);
  EXPECT_EQ(report.anomalies[0].kind, Kind::kDuplicateFrame);
  EXPECT_EQ(report.anomalies[0].frame, 4);
}

TEST(MibFlags, NumbersThatNeverRiseAreReportedWithoutEnd) {
  const TestDirectory directory;
  Bytes bytes;
  for (int i = 0; i < 600; ++i) bytes = Joined(bytes, Frames(1, 1));
  const SourceDescription description = Opened(directory.Write("ones.mib", bytes));
  EXPECT_EQ(description.frame_count, 600);
  EXPECT_LT(description.anomalies.size(), 300U);
  EXPECT_TRUE(Has(description.anomalies, Kind::kHeaderContradiction, "in more than 256 places"));
}

}  // namespace
}  // namespace penstock::ingest
