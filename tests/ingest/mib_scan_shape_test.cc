// What the files say about the scan shape, ranked by evidence.

#include "ingest/formats/mib/mib_scan_shape.h"

#include <gtest/gtest.h>

#include "tests/ingest/mib_open_helpers.h"

namespace penstock::ingest {
namespace {

using Kind = AnomalyKind;

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

}  // namespace
}  // namespace penstock::ingest
