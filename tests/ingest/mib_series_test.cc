// Which files belong together to a series, and in which order.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "ingest/formats/mib/mib_format.h"
#include "tests/ingest/mib_open_helpers.h"

namespace penstock::ingest {
namespace {

using Kind = AnomalyKind;

TEST(MibSeries, OrderIsBySequenceNumberNotByName) {
  const TestDirectory directory;
  directory.Write("run10.mib", Frames(1, 2));
  const auto path = directory.Write("run2.mib", Frames(3, 3));
  directory.Write("run1.mib", Frames(6, 1));
  directory.Write("other1.mib", Frames(7, 1));
  const SourceDescription description = Opened(path);
  EXPECT_EQ(FrameFiles(description), (Names{"run10.mib", "run2.mib", "run1.mib"}));
  EXPECT_EQ(description.frame_count, 6);
  EXPECT_EQ(description.suggested_name, "run");
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
}

TEST(MibSeries, ThisFileOnlyTakesTheFileAlone) {
  const TestDirectory directory;
  directory.Write("run1.mib", Frames(1, 2));
  const auto path = directory.Write("run2.mib", Frames(3, 3));
  const SourceDescription description = Opened(path, true);
  EXPECT_EQ(FrameFiles(description), (Names{"run2.mib"}));
  EXPECT_EQ(description.suggested_name, "run2");
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
}

TEST(MibSeries, CharactersOfPatternsAreOrdinaryInNames) {
  const TestDirectory directory;
  directory.Write("a[12]*?1.mib", Frames(1, 2));
  const auto path = directory.Write("a[12]*?2.mib", Frames(3, 1));
  directory.Write("a11.mib", Frames(4, 1));
  directory.Write("a1x1.mib", Frames(4, 1));
  EXPECT_EQ(FrameFiles(Opened(path)), (Names{"a[12]*?1.mib", "a[12]*?2.mib"}));
}

TEST(MibSeries, TheSidecarPathOpensTheSeries) {
  const TestDirectory directory;
  directory.Write("run1.mib", Frames(1, 2));
  directory.Write("run2.mib", Frames(3, 2));
  const auto sidecar = directory.Write("run.hdr", TestSidecar(4, 2));
  const SourceDescription description = Opened(sidecar);
  EXPECT_EQ(FrameFiles(description), (Names{"run1.mib", "run2.mib"}));
  ASSERT_EQ(description.files.size(), 3U);
  EXPECT_EQ(description.files[2].role, "header");
  EXPECT_EQ(description.files[2].path, sidecar);
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
  ASSERT_FALSE(description.scan_shapes.empty());
  EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{2, 2}));
}

TEST(MibSeries, SidecarWithoutFramesIsAnError) {
  const TestDirectory directory;
  const auto sidecar = directory.Write("run.hdr", TestSidecar(4, 2));
  directory.Write("walk.mib", Frames(1, 1));
  EXPECT_EQ(OpenError(sidecar).kind(), ErrorKind::kNotFound);
}

TEST(MibSeries, FilesWithTheirOwnSidecarAreOtherAcquisitions) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  directory.Write("scan1.hdr", TestSidecar(4, 2));
  directory.Write("scan2.mib", Frames(1, 4));
  directory.Write("scan2.hdr", TestSidecar(4, 2));
  const SourceDescription description = Opened(path);
  EXPECT_EQ(FrameFiles(description), (Names{"scan1.mib"}));
  EXPECT_EQ(description.suggested_name, "scan1");
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
}

TEST(MibSeries, TwoRunsOfOneNameAreRefused) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  directory.Write("scan2.mib", Frames(1, 3));
  const Error error = OpenError(path);
  EXPECT_EQ(error.kind(), ErrorKind::kContradiction);
  EXPECT_NE(error.advice().find("--this-file-only"), std::string::npos);
  EXPECT_EQ(Opened(path, true).frame_count, 4);
}

TEST(MibSeries, ANameThatOnlyBeginsAlikeNeedsNumbersThatContinue) {
  const TestDirectory directory;
  const auto path = directory.Write("test.mib", Frames(1, 2));
  directory.Write("test_multi.mib", Frames(1, 5));
  directory.Write("test_part2.mib", Frames(3, 2));
  const SourceDescription description = Opened(path);
  EXPECT_EQ(FrameFiles(description), (Names{"test.mib", "test_part2.mib"}));
  EXPECT_TRUE(Has(description.anomalies, Kind::kOther, "another acquisition"));
}

TEST(MibSeries, OverlapIsAContradiction) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  directory.Write("scan2.mib", Frames(3, 4));
  const SourceDescription description = Opened(path);
  EXPECT_TRUE(Has(description.anomalies, Kind::kHeaderContradiction,
                  "begins with sequence number 3, but scan1.mib holds frames up to 4"))
      << Listed(description.anomalies);
}

TEST(MibSeries, MissingFileIsReportedWithItsPlaceAndSize) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  directory.Write("scan3.mib", Frames(8, 4));
  const SourceDescription description = Opened(path);
  EXPECT_EQ(description.frame_count, 8);
  EXPECT_TRUE(Has(description.anomalies, Kind::kMissingFrame,
                  "sequence number 8 where 5 was expected: 3 frames are missing"))
      << Listed(description.anomalies);
  ASSERT_EQ(description.missing_frames.size(), 1U);
  EXPECT_EQ(description.missing_frames[0].before_frame, 4);
  EXPECT_EQ(description.missing_frames[0].count, 3);
}

TEST(MibSeries, MissingFirstFileIsReported) {
  const TestDirectory directory;
  const SourceDescription description = Opened(directory.Write("scan2.mib", Frames(5, 4)));
  EXPECT_TRUE(Has(description.anomalies, Kind::kMissingFrame, "sequence number 5, not 1"))
      << Listed(description.anomalies);
  ASSERT_EQ(description.missing_frames.size(), 1U);
  EXPECT_EQ(description.missing_frames[0].before_frame, 0);
  EXPECT_EQ(description.missing_frames[0].count, 4);
}

TEST(MibSeries, EmptyMemberIsReportedAndDamagedMemberRefused) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  directory.Write("scan2.mib", Bytes());
  EXPECT_TRUE(Has(Opened(path).anomalies, Kind::kTruncated, "empty"));
  directory.Write("scan2.mib", Bytes(5000));
  const Error error = OpenError(path);
  EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(error.file(), (directory / "scan2.mib").string());
}

TEST(MibSeries, MemberOfAnotherLayoutIsRefusedOrLeftOut) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  TestHeader other;
  other.rows = 5;
  other.sequence = 5;
  directory.Write("scan2.mib", ProcessedFrames(other, 2));
  EXPECT_EQ(OpenError(path).kind(), ErrorKind::kContradiction);
  other.sequence = 1;  // a run of its own
  directory.Write("scan2.mib", ProcessedFrames(other, 2));
  const SourceDescription description = Opened(path);
  EXPECT_EQ(FrameFiles(description), (Names{"scan1.mib"}));
  EXPECT_TRUE(Has(description.anomalies, Kind::kOther, "left out of the series"));
}

TEST(MibSeries, PipesAreNotOpened) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  ASSERT_EQ(mkfifo((directory / "scan2.mib").c_str(), 0600), 0);
  EXPECT_EQ(Opened(path).frame_count, 4);
  EXPECT_EQ(OpenError(directory / "scan2.mib").kind(), ErrorKind::kUnsupported);
}

TEST(MibSeries, RefreshSeesNewFramesAndNewFiles) {
  const TestDirectory directory;
  const auto path = directory.Write("scan1.mib", Frames(1, 4));
  auto source = OpenMib(path);
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(*(*source)->Refresh(), 4);
  directory.Write("scan1.mib", Frames(1, 6));
  EXPECT_EQ(*(*source)->Refresh(), 6);
  directory.Write("scan2.mib", Frames(7, 1));
  EXPECT_EQ(*(*source)->Refresh(), 7);
  TestReport report;
  EXPECT_TRUE(DecodeAll(**source, report).ok());
  EXPECT_EQ(report.facts.at(6).sequence_number, 7);
  directory.Write("scan1.mib", Frames(1, 2));
  EXPECT_FALSE((*source)->Refresh().ok());
}

}  // namespace
}  // namespace penstock::ingest
