// Opening: which files belong together, what they say about the scan and the detector, and what is
// wrong with them.

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "ingest/formats/mib/mib_format.h"
#include "ingest/formats/mib/mib_frame_header.h"
#include "ingest/formats/mib/mib_scan_shape.h"
#include "penstock/ingest/registry.h"
#include "tests/ingest/mib_test_files.h"

namespace penstock::ingest {
namespace {

using Kind = AnomalyKind;

constexpr size_t kRecord = 384 + 16 * 4 * 2;

Bytes Frames(int64_t first, int64_t count) {
  TestHeader header;
  header.sequence = first;
  return ProcessedFrames(header, count);
}

Bytes Joined(const Bytes& a, const Bytes& b) {
  Bytes all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

std::vector<std::string> FrameFiles(const SourceDescription& description) {
  std::vector<std::string> names;
  for (const SourceFile& file : description.files) {
    if (file.role == "frames") names.push_back(file.path.filename());
  }
  return names;
}

using Names = std::vector<std::string>;

SourceDescription Opened(const std::filesystem::path& path, bool this_file_only = false) {
  auto source = OpenMib(path, this_file_only);
  EXPECT_TRUE(source.ok()) << source.error().ToString();
  return source.ok() ? (*source)->description() : SourceDescription();
}

Error OpenError(const std::filesystem::path& path) {
  auto source = OpenMib(path);
  EXPECT_FALSE(source.ok()) << Listed((*source)->description().anomalies);
  return source.ok() ? Error::Internal("opened") : source.error();
}

const MetadataFact* Fact(const SourceDescription& description, std::string_view path) {
  const auto found = std::ranges::find(description.facts, path, &MetadataFact::path);
  return found == description.facts.end() ? nullptr : &*found;
}

// --- series ---

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

// --- scan shape ---

struct ShapeCase {
  const char* name;
  int64_t frames;
  std::string sidecar;
  std::vector<ScanShape> shapes;
  int64_t extra_per_row = 0;
  std::vector<std::pair<Kind, std::string>> anomalies;
};

class MibScanShape : public testing::TestWithParam<ShapeCase> {};

TEST_P(MibScanShape, IsRankedByEvidence) {
  const ShapeCase& test = GetParam();
  const TestDirectory directory;
  const auto path = directory.Write("scan.mib", Frames(1, test.frames));
  if (!test.sidecar.empty()) directory.Write("scan.hdr", test.sidecar);
  const SourceDescription description = Opened(path);
  std::vector<ScanShape> shapes;
  for (const ScanShapeEvidence& evidence : description.scan_shapes) {
    shapes.push_back(evidence.shape);
    EXPECT_FALSE(evidence.evidence.empty());
  }
  EXPECT_EQ(shapes, test.shapes);
  if (!shapes.empty()) {
    EXPECT_EQ(description.scan_shapes[0].extra_frames_per_row, test.extra_per_row);
  }
  for (const auto& [kind, text] : test.anomalies) {
    EXPECT_TRUE(Has(description.anomalies, kind, text)) << text << "\nin\n"
                                                        << Listed(description.anomalies);
  }
  EXPECT_EQ(description.anomalies.size(), test.anomalies.size()) << Listed(description.anomalies);
}

const ScanShape kTwoByFour{2, 4};

INSTANTIATE_TEST_SUITE_P(
    All, MibScanShape,
    testing::Values(
        ShapeCase{"NothingKnown", 8, "", {}, 0, {}},
        ShapeCase{"SquareWithoutSidecar", 9, "", {{3, 3}}, 0, {}},
        ShapeCase{"ScanSize",
                  8,
                  TestSidecar(8, 4, {{"ScanX", "4"}, {"ScanY", "2"}}),
                  {kTwoByFour, kTwoByFour},
                  0,
                  {}},
        ShapeCase{"FramesPerTrigger", 8, TestSidecar(8, 4), {kTwoByFour}, 0, {}},
        ShapeCase{"OneTriggerForAll", 9, TestSidecar(9, 9), {{1, 9, true}, {3, 3}}, 0, {}},
        ShapeCase{"Continuous", 9, TestSidecar(0, 1), {{1, 9, true}}, 0, {}},
        ShapeCase{"PixelTriggerWithEvenTimes", 8, TestSidecar(8, 1), {}, 0, {}},
        ShapeCase{"Disagreement",
                  8,
                  TestSidecar(8, 2, {{"ScanX", "4"}, {"ScanY", "2"}}),
                  {kTwoByFour, {4, 2}},
                  0,
                  {{Kind::kOther, "two statements about the scan shape"}}},
        ShapeCase{"Interrupted",
                  5,
                  TestSidecar(8, 4),
                  {kTwoByFour},
                  0,
                  {{Kind::kMissingFrame, "hold 5 complete frames: 3 are missing"}}},
        ShapeCase{"MoreThanRequested",
                  9,
                  TestSidecar(8, 4),
                  {kTwoByFour},
                  0,
                  {{Kind::kExtraFrames, "hold 9 complete frames: 1 more"}}},
        ShapeCase{"TwoExtraTriggers",
                  14,
                  TestSidecar(14, 1, {{"ScanX", "4"}, {"ScanY", "3"}}),
                  {{3, 4}},
                  0,
                  {{Kind::kExtraFrames, "2 more than ScanX"}}},
        ShapeCase{"LineSkip",
                  15,
                  TestSidecar(15, 5, {{"ScanX", "4"}, {"ScanY", "3"}}),
                  {{3, 4}, {3, 5}},
                  1,
                  {{Kind::kExtraFrames, "taken as 1 at the end of each line"}}},
        ShapeCase{"RequestSmallerThanScan",
                  8,
                  TestSidecar(8, 1, {{"ScanX", "4"}, {"ScanY", "4"}}),
                  {{4, 4}},
                  0,
                  {{Kind::kHeaderContradiction, "ScanX = 4 times ScanY = 4 is 16"}}},
        ShapeCase{"ScanSizeThatIsNone",
                  8,
                  TestSidecar(8, 4, {{"ScanX", "-4"}, {"ScanY", "999999999999999999999"}}),
                  {kTwoByFour},
                  0,
                  {{Kind::kOther, "are not a scan size"}}},
        ShapeCase{"MorePerTriggerThanFrames",
                  8,
                  TestSidecar(8, 16),
                  {},
                  0,
                  {{Kind::kHeaderContradiction, "Frames per Trigger = 16"}}},
        ShapeCase{"CountsThatAreNoNumbers",
                  8,
                  TestSidecar(8, 4,
                              {{"Frames in Acquisition (Number)", "many"},
                               {"Frames per Trigger (Number)", ""}}),
                  {},
                  0,
                  {{Kind::kOther, "'many', which is not a number"},
                   {Kind::kOther, "no value for 'Frames per Trigger (Number)'"}}},
        ShapeCase{"CountBeyondBelief",
                  4,
                  TestSidecar(9'000'000'000'000'000'000, 4),
                  {{2, 2}},
                  0,
                  {{Kind::kOther, "is not credible"}}},
        ShapeCase{
            "SidecarOfAnotherRun",
            8,
            TestSidecar(8, 4,
                        {{"Counter Depth (number)", "6"}, {"Assembly Size (NX1, 2X2)", "   2x2"}}),
            {kTwoByFour},
            0,
            {{Kind::kHeaderContradiction, "counter depth 6, but 12"},
             {Kind::kHeaderContradiction, "assembly 2x2, but layout 1x1"}}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(LineLengthFromTimes, NeedsFlyBackAfterEveryLine) {
  const auto scan = [](int64_t lines, int64_t line, int64_t fly_back, int64_t jitter) {
    std::vector<int64_t> times;
    int64_t now = 1'000'000'000'000;
    for (int64_t i = 0; i < lines * line; ++i) {
      times.push_back(now);
      now += 1'000'000 + (i % 3) * jitter + (i % line == line - 1 ? fly_back : 0);
    }
    return times;
  };
  EXPECT_EQ(LineLengthFromTimes(scan(3, 5, 200'000, 10)), 5);
  EXPECT_EQ(LineLengthFromTimes(scan(2, 4, 20'820, 10)), 4);
  EXPECT_EQ(LineLengthFromTimes(scan(3, 5, 0, 0)), std::nullopt);
  EXPECT_EQ(LineLengthFromTimes(scan(3, 5, 0, 10)), std::nullopt);
  EXPECT_EQ(LineLengthFromTimes(scan(3, 5, 500, 10)), std::nullopt) << "below the clocks' steps";
  EXPECT_EQ(LineLengthFromTimes(scan(3, 5, 200'000, 150'000)), std::nullopt) << "jitter";
  std::vector<int64_t> once = scan(3, 5, 0, 0);
  for (size_t i = 5; i < once.size(); ++i) once[i] += 300'000;  // one interruption, not a scan
  EXPECT_EQ(LineLengthFromTimes(once), std::nullopt);
  std::vector<int64_t> back = scan(3, 5, 200'000, 0);
  back[7] = 0;
  EXPECT_EQ(LineLengthFromTimes(back), std::nullopt);
  EXPECT_EQ(LineLengthFromTimes({}), std::nullopt);
}

TEST(MibScanShapeSamples, RealScansGiveTheirShapes) {
  const auto mib = std::filesystem::path(PENSTOCK_SAMPLES) / "samples/mib";
  if (!std::filesystem::exists(mib)) GTEST_SKIP() << "no samples at " << mib;
  const SourceDescription pixel_trigger = Opened(mib / "001_4x2_6bit.mib");
  ASSERT_EQ(pixel_trigger.scan_shapes.size(), 1U);
  EXPECT_EQ(pixel_trigger.scan_shapes[0].shape, kTwoByFour);
  EXPECT_TRUE(pixel_trigger.scan_shapes[0].evidence.starts_with("weaker: time stamps"));
  EXPECT_TRUE(pixel_trigger.anomalies.empty()) << Listed(pixel_trigger.anomalies);

  const SourceDescription scan =
      Opened(mib / "003_merlin_test_roi_sig256x64_nav4x2_hot_pixel_52x_39y.mib");
  ASSERT_GE(scan.scan_shapes.size(), 1U);
  EXPECT_EQ(scan.scan_shapes[0].shape, kTwoByFour);
  EXPECT_NE(scan.scan_shapes[0].evidence.find("ScanX = 4, ScanY = 2"), std::string::npos);
  EXPECT_TRUE(scan.anomalies.empty()) << Listed(scan.anomalies);

  const SourceDescription duplicate = Opened(mib / "odd/example.mib");
  EXPECT_TRUE(Has(duplicate.anomalies, Kind::kDuplicateFrame, "sequence number 1 again"));
  EXPECT_TRUE(Has(duplicate.anomalies, Kind::kOther, "taken as one chip"));
  EXPECT_EQ(duplicate.anomalies.size(), 2U) << Listed(duplicate.anomalies);
}

TEST(MibScanShapeSamples, OrdinarySamplesHaveNoAnomalies) {
  const auto mib = std::filesystem::path(PENSTOCK_SAMPLES) / "samples/mib";
  if (!std::filesystem::exists(mib)) GTEST_SKIP() << "no samples at " << mib;
  int opened = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mib)) {
    if (entry.path().extension() != ".mib" || entry.path().parent_path().filename() == "odd") {
      continue;
    }
    const SourceDescription description = Opened(entry.path());
    EXPECT_TRUE(description.anomalies.empty()) << entry.path() << "\n"
                                               << Listed(description.anomalies);
    EXPECT_EQ(FrameFiles(description).size(), 1U) << entry.path();
    ++opened;
  }
  EXPECT_GE(opened, 20);
}

// --- metadata ---

TEST(MibMetadata, FactsHaveUnitsAndEvidence) {
  const TestDirectory directory;
  const auto path = directory.Write("scan.mib", Frames(1, 4));
  directory.Write("scan.hdr", TestSidecar(4, 2,
                                          {{"Readout System", "Merlin Quad"},
                                           {"Chip ID", "W1_A1, - , - , - "},
                                           {"Chip Mode  (SPM, CSM, CM, CSCM)", "SPM"},
                                           {"Medipix Clock (MHz)", "120MHz"},
                                           {"Temperature (C)", "Board Temp 46.75 Deg C"},
                                           {"Flat Field File", "None"},
                                           {"Software Version", "1.5.0.197"},
                                           {"Note", "5 \xB5m"}}));
  const SourceDescription description = Opened(path);
  const auto expect = [&](std::string_view fact_path, const Json& value, std::string_view units) {
    const MetadataFact* fact = Fact(description, fact_path);
    ASSERT_NE(fact, nullptr) << fact_path;
    EXPECT_EQ(fact->value, value) << fact_path;
    EXPECT_EQ(fact->units, units) << fact_path;
    EXPECT_FALSE(fact->evidence.empty()) << fact_path;
  };
  const std::string event = "measurement/event1/instrument/detector1/";
  const std::string fixed = "measurement/instrument/detector1/";
  expect("start_time", "2024-01-01T00:00:01.000000000Z", "");
  expect("measurement/event1/end_time", "2024-01-01T00:00:01.003000000Z", "");
  expect(event + "count_time", 0.001, "s");
  expect(event + "threshold_energy", Json{2.0, 511.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}, "keV");
  expect(event + "sensor_bias", 120.0, "V");
  expect(event + "readout_clock", 120.0, "MHz");
  expect(event + "board_temperature", 46.75, "degC");
  expect(event + "gain_setting", "SLGM", "");
  expect(event + "operation_mode", "SPM", "");
  expect(event + "flatfield_applied", false, "");
  expect(fixed + "name", "Merlin Quad", "");
  expect(fixed + "bit_depth_readout", 12, "");
  expect(fixed + "serial_number", "W1_A1, - , - , -", "");
  for (const MetadataFact& fact : description.facts) {
    EXPECT_EQ(fact.path.find("voltage"), std::string::npos) << "not in the format";
    EXPECT_EQ(fact.path.find("pixel_size"), std::string::npos) << "not in the format";
  }
  ASSERT_EQ(description.vendor_headers.size(), 2U);
  EXPECT_EQ(description.vendor_headers[0].name, "scan.mib frame 0");
  EXPECT_TRUE(description.vendor_headers[0].text.starts_with("MQ1,000001,00384,01,0016,0004,U16,"));
  EXPECT_TRUE(description.vendor_headers[0].text.ends_with(",1000000ns,12"));
  EXPECT_NE(description.vendor_headers[1].text.find("5 \xC2\xB5m"), std::string::npos);
  EXPECT_EQ(description.orientation.file_to_stored, (OrientationRecord::Matrix{1, 0, 0, 1}));
  ASSERT_TRUE(description.orientation.stored_to_display.has_value());
  EXPECT_EQ(*description.orientation.stored_to_display, (OrientationRecord::Matrix{-1, 0, 0, 1}));
}

TEST(MibMetadata, ShortHeaderTakesThresholdsFromTheSidecar) {
  const TestDirectory directory;
  TestHeader header;
  header.short_form = true;
  const auto path = directory.Write("scan.mib", ProcessedFrames(header, 2));
  EXPECT_EQ(Fact(Opened(path), "measurement/event1/instrument/detector1/threshold_energy"),
            nullptr);
  directory.Write("scan.hdr", TestSidecar(2, 1, {{"Thresholds (keV)", "1.5E+1,5.0E+2"}}));
  const SourceDescription description = Opened(path);
  const MetadataFact* fact =
      Fact(description, "measurement/event1/instrument/detector1/threshold_energy");
  ASSERT_NE(fact, nullptr);
  EXPECT_EQ(fact->value, (Json{15.0, 500.0}));
  EXPECT_EQ(Fact(description, "measurement/event1/instrument/detector1/count_time")->value, 0.001);
}

TEST(MibTime, OnlyRealTimesAreRead) {
  EXPECT_EQ(ParseMibUtcTime("1970-01-01T00:00:01.000000005Z"), 1'000'000'005);
  EXPECT_EQ(ParseMibUtcTime("2021-04-15T13:43:00.835428351Z"), 1'618'494'180'835'428'351);
  EXPECT_EQ(ParseMibLocalTime("2021-04-15 14:43:00.835428"), 1'618'497'780'835'428'000);
  EXPECT_EQ(ParseMibLocalTime("15/04/2021 14:43:00.835428"), 1'618'497'780'835'428'000);
  for (const char* wrong :
       {"", "2021-04-15T13:43:00.835428351", "2021-02-30T00:00:00Z", "2021-04-15T24:00:00Z",
        "9999-01-01T00:00:00Z", "2021-04-15T13:43:00.Z", "2021-04-15T13:43:00.0000000001Z"}) {
    EXPECT_EQ(ParseMibUtcTime(wrong), std::nullopt) << wrong;
  }
}

// --- detection ---

TEST(MibDetect, ByContentNotByName) {
  const auto detect = [](std::string_view head) {
    return MibFormat().Detect("x", AsBytes(head)).confidence;
  };
  EXPECT_EQ(detect(TestHeader().Text()), Confidence::kYes);
  EXPECT_EQ(detect(TestSidecar(1, 1)), Confidence::kYes);
  EXPECT_EQ(detect("MPX,0000000385,MQ1,000001,00384,"), Confidence::kYes);
  EXPECT_EQ(detect("MQ1,what"), Confidence::kMaybe);
  EXPECT_EQ(detect("ENVI\ndescription"), Confidence::kNo);
  EXPECT_EQ(detect("[measurementInfo]"), Confidence::kNo);
  EXPECT_EQ(detect(""), Confidence::kNo);
}

TEST(MibDetect, TheRegistryOpensIt) {
  const TestDirectory directory;
  const auto path = directory.Write("no_extension", Frames(1, 2));
  auto source = OpenSource(path, "", {});
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().format, "mib");
}

// --- malformed input ---

struct Malformed {
  const char* name;
  Bytes contents;
  ErrorKind kind;
  std::string text;  // in the message
};

Bytes WithText(const std::string& from, const std::string& to) {
  Bytes bytes = Frames(1, 2);
  std::string text(reinterpret_cast<const char*>(bytes.data()), 384);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  text.resize(384);
  std::memcpy(bytes.data(), text.data(), 384);
  return bytes;
}

Bytes Cut(size_t bytes) {
  Bytes cut = Frames(1, 1);
  cut.resize(bytes);
  return cut;
}

Bytes RawWith(const std::function<void(TestHeader&)>& change) {
  TestHeader header;
  header.type = "R64";
  header.width = 256;
  header.rows = 32;
  header.depth = 6;
  change(header);
  Bytes bytes = header.Padded();
  bytes.resize(bytes.size() + 256 * 256 * 8);
  return bytes;
}

class MibMalformed : public testing::TestWithParam<Malformed> {};

TEST_P(MibMalformed, IsAClearError) {
  const TestDirectory directory;
  const auto path = directory.Write("bad.mib", GetParam().contents);
  const Error error = OpenError(path);
  EXPECT_EQ(error.kind(), GetParam().kind) << error.ToString();
  EXPECT_EQ(error.file(), path.string());
  EXPECT_NE(error.ToString().find(GetParam().text), std::string::npos) << error.ToString();
}

INSTANTIATE_TEST_SUITE_P(
    All, MibMalformed,
    testing::Values(
        Malformed{"Empty", {}, ErrorKind::kCorrupt, "the file is empty"},
        Malformed{"NotMerlin", Bytes(1000), ErrorKind::kCorrupt, "not a Merlin frame header"},
        Malformed{"FourBytes", Bytes(4), ErrorKind::kCorrupt, "not a Merlin frame header"},
        Malformed{"HeaderLengthNoNumber", WithText("00384", "00x84"), ErrorKind::kCorrupt,
                  "field 3"},
        Malformed{"HeaderLengthTooSmall", WithText("00384", "00063"), ErrorKind::kCorrupt,
                  "64 to 65536"},
        Malformed{"HeaderLengthTooLarge", WithText("00384", "99999"), ErrorKind::kCorrupt,
                  "64 to 65536"},
        Malformed{"HeaderBeyondFile", WithText("00384", "60000"), ErrorKind::kCorrupt,
                  "ends inside a Merlin frame header"},
        Malformed{"HeaderCut", Cut(200), ErrorKind::kCorrupt, "ends inside"},
        Malformed{"PayloadCut", Cut(400), ErrorKind::kCorrupt, "no complete frame"},
        Malformed{"ZeroColumns", WithText(",0016,", ",0000,"), ErrorKind::kCorrupt, "field 5"},
        Malformed{"ZeroRows", WithText(",0004,", ",0000,"), ErrorKind::kCorrupt, "field 6"},
        Malformed{"NegativeRows", WithText(",0004,", ",-004,"), ErrorKind::kCorrupt, "field 6"},
        Malformed{"HugeFrame", WithText(",0016,0004,", ",4000000000,4000000000,"),
                  ErrorKind::kUnsupported, "larger than any detector"},
        Malformed{"LargerThanFile", WithText(",0016,", ",9999,"), ErrorKind::kCorrupt,
                  "no complete frame"},
        Malformed{"UnknownType", WithText("U16", "F32"), ErrorKind::kCorrupt, "field 7"},
        Malformed{"U64", WithText("U16", "U64"), ErrorKind::kUnsupported, "pixel type U64"},
        Malformed{"U01", WithText("U16", "U01"), ErrorKind::kUnsupported, "pixel type U01"},
        Malformed{"SequenceNoNumber", WithText("000001", "00000x"), ErrorKind::kCorrupt, "field 2"},
        Malformed{"ChipSelectNoNumber", WithText(",01,2024", ",0z,2024"), ErrorKind::kCorrupt,
                  "field 9"},
        Malformed{"FewFields",
                  [] {
                    Bytes bytes = Frames(1, 2);
                    std::fill(bytes.begin() + 50, bytes.begin() + 384, std::byte{0});
                    return bytes;
                  }(),
                  ErrorKind::kCorrupt, "too short"},
        Malformed{"PaddingHoldsText", WithText(std::string(3, '\0'), std::string("\0x\0", 3)),
                  ErrorKind::kCorrupt, "padding"},
        Malformed{"Binary", WithText("3RX", "\x01\x02\x03"), ErrorKind::kCorrupt, "not text"},
        Malformed{"DepthNoNumber", WithText("ns,12", "ns,1x"), ErrorKind::kCorrupt,
                  "counter depth"},
        Malformed{"LiveDump",
                  Joined(
                      [] {
                        Bytes prefix(15);
                        std::memcpy(prefix.data(), "MPX,0000000513,", 15);
                        return prefix;
                      }(),
                      Frames(1, 1)),
                  ErrorKind::kUnsupported, "live stream"},
        Malformed{"RawWithoutDepth",
                  [] {
                    Bytes bytes = RawWith([](TestHeader&) {});
                    auto* text = reinterpret_cast<char*>(bytes.data());
                    std::memcpy(std::strstr(text, "MQ1A"), "XXXX", 4);
                    return bytes;
                  }(),
                  ErrorKind::kCorrupt, "does not state the counter depth"},
        Malformed{"RawOfDepth7", RawWith([](TestHeader& h) { h.depth = 7; }), ErrorKind::kCorrupt,
                  "unknown counter depth"},
        Malformed{"RawOfFourByOne", RawWith([](TestHeader& h) {
                    h.chips = 4;
                    h.header_bytes = 768;
                    h.layout = "   Nx1";
                    h.chip_select = "0F";
                    h.width = 1024;
                  }),
                  ErrorKind::kUnsupported, "chip arrangement"},
        Malformed{"RawFourChipsOneByOne", RawWith([](TestHeader& h) {
                    h.chips = 4;
                    h.header_bytes = 768;
                    h.chip_select = "0F";
                    h.width = 1024;
                  }),
                  ErrorKind::kUnsupported, "chip arrangement"},
        Malformed{"RawOfTwoChips", RawWith([](TestHeader& h) {
                    h.chips = 2;
                    h.layout = "   2x2";
                    h.chip_select = "03";
                    h.header_bytes = 768;
                  }),
                  ErrorKind::kUnsupported, "chip arrangement"},
        Malformed{"RawQuadOfWrongWidth", RawWith([](TestHeader& h) {
                    h.chips = 4;
                    h.header_bytes = 768;
                    h.layout = "   2x2";
                    h.chip_select = "0F";
                    h.width = 512;
                  }),
                  ErrorKind::kContradiction, "1024 columns"},
        Malformed{"Raw24OfWrongWidth", RawWith([](TestHeader& h) { h.depth = 24; }),
                  ErrorKind::kContradiction, "512 columns"},
        Malformed{"RawOfTooManyRows", RawWith([](TestHeader& h) { h.rows = 257; }),
                  ErrorKind::kContradiction, "at most 256 rows"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(MibFlags, TruncatedLastFrameIsLeftOutAndReported) {
  const TestDirectory directory;
  Bytes bytes = Frames(1, 3);
  bytes.resize(bytes.size() - 1);
  const SourceDescription description = Opened(directory.Write("cut.mib", bytes));
  EXPECT_EQ(description.frame_count, 2);
  ASSERT_EQ(description.anomalies.size(), 1U);
  EXPECT_EQ(description.anomalies[0].kind, Kind::kTruncated);
  EXPECT_EQ(description.anomalies[0].byte_offset, 2 * kRecord);
  EXPECT_EQ(description.anomalies[0].frame, 2);
}

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

// A frame in the middle, where opening does not look, is of another kind.
TEST(MibFlags, SplicedFrameIsAnErrorThatNamesItsPlace) {
  const TestDirectory directory;
  TestHeader other;
  other.sequence = 4;
  other.layout = "   2x2";
  Bytes bytes = Joined(Joined(Frames(1, 3), ProcessedFrame(other)), Frames(5, 5));
  directory.Write("spliced.hdr", TestSidecar(9, 3));  // so that no time stamps are read
  auto source = OpenMib(directory.Write("spliced.mib", bytes));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  auto decoded = DecodeAll(**source, report);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(decoded.error().place(), fmt::format("offset {}, frame 3", 3 * kRecord));
  EXPECT_NE(decoded.error().expected().find("1x1"), std::string::npos);
  EXPECT_NE(decoded.error().found().find("2x2"), std::string::npos);

  std::fill_n(bytes.begin() + 3 * kRecord, 384, std::byte{0});
  source = OpenMib(directory.Write("spliced.mib", bytes));
  ASSERT_TRUE(source.ok());
  decoded = DecodeAll(**source, report);
  ASSERT_FALSE(decoded.ok());
  EXPECT_NE(decoded.error().ToString().find("'MQ1,'"), std::string::npos);
}

TEST(MibFlags, WrongFrameSizeIsFoundAtTheLastFrame) {
  const TestDirectory directory;
  Bytes bytes = Frames(1, 3);
  bytes.insert(bytes.begin() + 500, std::byte{0});  // all later frames are shifted
  bytes.resize(3 * kRecord);
  EXPECT_EQ(OpenError(directory.Write("shifted.mib", bytes)).place(),
            fmt::format("offset {}, frame 2", 2 * kRecord));
}

TEST(MibFlags, FileThatShrinksAfterOpeningIsAnError) {
  const TestDirectory directory;
  const auto path = directory.Write("shrinks.mib", Frames(1, 3));
  auto source = OpenMib(path);
  ASSERT_TRUE(source.ok());
  std::filesystem::resize_file(path, 2 * kRecord + 10);
  TestReport report;
  EXPECT_FALSE(DecodeAll(**source, report).ok());
}

TEST(MibFlags, OddLayoutsOfProcessedDataAreReported) {
  const TestDirectory directory;
  TestHeader header;
  header.depth = 24;
  EXPECT_TRUE(Has(Opened(directory.Write("a.mib", ProcessedFrame(header))).anomalies, Kind::kOther,
                  "pixel type U16 with counter depth 24"));
  header = {};
  header.chips = 4;
  header.header_bytes = 768;
  header.chip_select = "0F";
  EXPECT_TRUE(Has(Opened(directory.Write("b.mib", ProcessedFrame(header))).anomalies,
                  Kind::kHeaderContradiction, "4 chips and layout 1x1"));
}

TEST(MibFlags, DamagedSidecarIsReportedAndTheFramesAreRead) {
  const TestDirectory directory;
  const auto path = directory.Write("scan.mib", Frames(1, 3));
  directory.Write("scan.hdr", std::string("not a sidecar"));
  EXPECT_TRUE(Has(Opened(path).anomalies, Kind::kOther, "not a Merlin .hdr file"));
  directory.Write("scan.hdr", std::string("HDR,\t\r\nFrames in Acquisition (Number):\t3\r\nodd"));
  const SourceDescription description = Opened(path);
  EXPECT_TRUE(Has(description.anomalies, Kind::kOther, "line 3 has no tab"));
  EXPECT_TRUE(Has(description.anomalies, Kind::kOther, "no 'End' line"));
  EXPECT_EQ(OpenError(directory.Write("lonely.hdr", std::string("HDR"))).kind(),
            ErrorKind::kNotFound);
}

// Every byte of a small file changed in turn: an error or a report, never a crash.
TEST(MibFlags, NoSingleByteOfAHeaderCanCrash) {
  const TestDirectory directory;
  const Bytes good = Frames(1, 2);
  int refused = 0;
  for (size_t at = 0; at < 384; ++at) {
    for (const std::byte value : {std::byte{0}, std::byte{','}, std::byte{'9'}, std::byte{0xFF}}) {
      Bytes bytes = good;
      bytes[at] = value;
      auto source = OpenMib(directory.Write("fuzz.mib", bytes));
      if (!source.ok()) {
        EXPECT_FALSE(source.error().what().empty());
        ++refused;
        continue;
      }
      const SourceDescription& description = (*source)->description();
      ASSERT_LE(description.frame_count * description.signal.pixel_count(), 4000);
      TestReport report;
      (void)DecodeAll(**source, report).ok();
    }
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace penstock::ingest
