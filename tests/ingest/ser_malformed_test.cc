// Damaged, contradictory and hostile TIA series.

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <limits>
#include <string>

#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

struct RefusedCase {
  const char* name;
  std::function<void(TestSeries&)> series;                // how the file is made
  std::function<void(const TestSeries&, Bytes&)> damage;  // what is then done to it
  ErrorKind kind;
  const char* message;  // part of the error
};

void PrintTo(const RefusedCase& refused, std::ostream* stream) { *stream << refused.name; }

class SerRefused : public testing::TestWithParam<RefusedCase> {};

TEST_P(SerRefused, WithAClearError) {
  const RefusedCase& refused = GetParam();
  const TestDirectory directory;
  TestSeries series;
  if (refused.series) refused.series(series);
  Bytes bytes = series.Build();
  if (refused.damage) refused.damage(series, bytes);
  const auto path = directory.Write("scan_1.ser", bytes);
  const auto source = OpenSer(path);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), refused.kind) << source.error().ToString();
  EXPECT_NE(source.error().what().find(refused.message), std::string::npos)
      << source.error().ToString();
  EXPECT_EQ(source.error().file(), path.string());
}

constexpr uint32_t kHuge = 0xfffffff0;

INSTANTIATE_TEST_SUITE_P(
    AllCases, SerRefused,
    testing::Values(
        RefusedCase{"BigEndian",
                    {},
                    [](const TestSeries&, Bytes& b) { Poke(b, 0, uint32_t{0x97014d4d}); },
                    ErrorKind::kUnsupported,
                    "big-endian"},
        RefusedCase{"Version",
                    [](TestSeries& s) { s.version = 0x0230; },
                    {},
                    ErrorKind::kUnsupported,
                    "unknown version"},
        RefusedCase{"ElementKind",
                    [](TestSeries& s) { s.element_kind = 0x4124; },
                    {},
                    ErrorKind::kCorrupt,
                    "kind of elements"},
        RefusedCase{"Spectra",
                    [](TestSeries& s) { s.element_kind = 0x4120; },
                    {},
                    ErrorKind::kUnsupported,
                    "spectra"},
        RefusedCase{"TagKind",
                    [](TestSeries& s) { s.tag_kind = 0x4143; },
                    {},
                    ErrorKind::kCorrupt,
                    "kind of tags"},
        RefusedCase{"NoValidElement",
                    {},
                    [](const TestSeries&, Bytes& b) { Poke(b, 18, uint32_t{0}); },
                    ErrorKind::kCorrupt,
                    "no written element"},
        RefusedCase{"MoreValidThanTotal",
                    {},
                    [](const TestSeries&, Bytes& b) { Poke(b, 18, uint32_t{7}); },
                    ErrorKind::kCorrupt,
                    "more elements written"},
        RefusedCase{"NoDimension",
                    [](TestSeries& s) {
                      s.dimensions.clear();
                      s.total = 1;
                    },
                    {},
                    ErrorKind::kCorrupt,
                    "number of dimensions"},
        RefusedCase{"NineDimensions",
                    [](TestSeries& s) { s.dimensions.assign(9, {1}); },
                    {},
                    ErrorKind::kCorrupt,
                    "number of dimensions"},
        RefusedCase{"DimensionOfSizeZero",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.DimensionCountOffset() + 4, uint32_t{0});
                    },
                    ErrorKind::kCorrupt,
                    "size 0"},
        RefusedCase{
            "EndlessText",
            {},
            [](const TestSeries& s, Bytes& b) { Poke(b, s.DimensionCountOffset() + 28, kHuge); },
            ErrorKind::kCorrupt,
            "text of a dimension"},
        RefusedCase{"TableBeyondTheEnd",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.TableFieldOffset(), std::numeric_limits<uint64_t>::max() - 8);
                    },
                    ErrorKind::kCorrupt,
                    "offset table lies outside"},
        RefusedCase{
            "TableInTheHeader",
            {},
            [](const TestSeries& s, Bytes& b) { Poke(b, s.TableFieldOffset(), uint64_t{10}); },
            ErrorKind::kCorrupt,
            "overlaps the header"},
        RefusedCase{"EndlessTable",
                    {},
                    [](const TestSeries&, Bytes& b) {
                      Poke(b, 14, kHuge);
                      Poke(b, 18, kHuge);
                    },
                    ErrorKind::kCorrupt,
                    "offset table lies outside"},
        RefusedCase{"FirstOffsetZero",
                    {},
                    [](const TestSeries& s, Bytes& b) { Poke(b, s.EntryOffset(0), uint64_t{0}); },
                    ErrorKind::kCorrupt,
                    "first element"},
        RefusedCase{"FirstOffsetInTheTable",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.EntryOffset(0), uint64_t{s.EntryOffset(3)});
                    },
                    ErrorKind::kCorrupt,
                    "first element"},
        RefusedCase{"FirstOffsetOverflows",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.EntryOffset(0), std::numeric_limits<uint64_t>::max() - 10);
                    },
                    ErrorKind::kCorrupt,
                    "first element"},
        RefusedCase{"LaterOffsetZero",
                    {},
                    [](const TestSeries& s, Bytes& b) { Poke(b, s.EntryOffset(3), uint64_t{0}); },
                    ErrorKind::kCorrupt,
                    "overlap"},
        RefusedCase{"ElementsOverlap",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.EntryOffset(2), uint64_t{s.ElementOffset(1) + 60});
                    },
                    ErrorKind::kCorrupt,
                    "overlap"},
        RefusedCase{"OffsetsFall",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.EntryOffset(2), uint64_t{s.ElementOffset(0)});
                    },
                    ErrorKind::kCorrupt,
                    "overlap"},
        RefusedCase{
            "PixelType", [](TestSeries& s) { s.type = 11; }, {}, ErrorKind::kCorrupt, "pixel type"},
        RefusedCase{
            "NoPixels",
            {},
            [](const TestSeries& s, Bytes& b) { Poke(b, s.ElementOffset(0) + 42, uint32_t{0}); },
            ErrorKind::kCorrupt,
            "this size"},
        RefusedCase{"FrameSizeOverflows",
                    {},
                    [](const TestSeries& s, Bytes& b) {
                      Poke(b, s.ElementOffset(0) + 42, kHuge);
                      Poke(b, s.ElementOffset(0) + 46, kHuge);
                    },
                    ErrorKind::kCorrupt,
                    "this size"},
        RefusedCase{
            "OtherTypeLater",
            {},
            [](const TestSeries& s, Bytes& b) { Poke(b, s.ElementOffset(4) + 40, uint16_t{5}); },
            ErrorKind::kCorrupt,
            "differs from the first"},
        RefusedCase{
            "OtherWidthLater",
            {},
            [](const TestSeries& s, Bytes& b) { Poke(b, s.ElementOffset(5) + 42, uint32_t{4}); },
            ErrorKind::kCorrupt,
            "differs from the first"},
        RefusedCase{"EndsInTheFirstElement",
                    {},
                    [](const TestSeries& s, Bytes& b) { b.resize(s.ElementOffset(0) + 60); },
                    ErrorKind::kCorrupt,
                    "inside its first element"},
        RefusedCase{"EndsInTheTable",
                    {},
                    [](const TestSeries& s, Bytes& b) { b.resize(s.EntryOffset(7)); },
                    ErrorKind::kCorrupt,
                    "offset table lies outside"},
        RefusedCase{"EndsInTheHeader",
                    {},
                    [](const TestSeries&, Bytes& b) { b.resize(20); },
                    ErrorKind::kCorrupt,
                    "inside the series header"}),
    [](const auto& info) { return info.param.name; });

// No cut of a file crashes, and none gives a frame that is not complete.
TEST(SerMalformed, EveryTruncationIsRefusedOrKeepsTheEarlierFrames) {
  const TestDirectory directory;
  const TestSeries series;
  const Bytes whole = series.Build();
  const Bytes expected = series.Expected();
  for (size_t length = 5; length < whole.size(); ++length) {
    const auto path = directory.Write("scan_1.ser", Bytes(whole.begin(), whole.begin() + length));
    const auto source = OpenSer(path);
    if (!source.ok()) {
      EXPECT_LT(length, series.ElementOffset(1)) << source.error().ToString();
      continue;
    }
    const SourceDescription& description = (*source)->description();
    ASSERT_GE(description.frame_count, 1);
    if (description.frame_count < 6) {
      EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kTruncated, "truncated"));
    }
    EXPECT_GE(length, series.TagOffset(description.frame_count - 1));
    TestReport report;
    const auto frames = DecodeAll(**source, report);
    ASSERT_TRUE(frames.ok()) << frames.error().ToString();
    EXPECT_TRUE(std::equal(frames->begin(), frames->end(), expected.begin()));
  }
}

TEST(SerMalformed, VersionWithShortOffsetsReadsTheSame) {
  const TestDirectory directory;
  TestSeries series;
  series.version = 0x0210;
  const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  EXPECT_EQ(*DecodeAll(**source, report), series.Expected());
}

TEST(SerMalformed, StoppedScanKeepsItsShapeAndReports) {
  const TestDirectory directory;
  TestSeries series;
  series.valid = 4;
  const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(description.frame_count, 4);
  EXPECT_EQ(description.scan_shapes.at(0).shape, (ScanShape{2, 3, false}));
  EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kMissingFrame, "4 of 6"));
  TestReport report;
  EXPECT_EQ(*DecodeAll(**source, report), series.Expected());
  EXPECT_EQ(report.facts.at(3).time_unix_ns, 1456168706'000'000'000);
}

TEST(SerMalformed, DimensionsThatDoNotMakeTheElementsAreAContradiction) {
  const TestDirectory directory;
  TestSeries series;
  series.total = 5;
  const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_TRUE(description.scan_shapes.empty());
  EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kHeaderContradiction, "5 elements"));
}

TEST(SerMalformed, ExchangedAxesAreAContradictionOtherStepsARemark) {
  const TestDirectory directory;
  TestSeries series;
  series.tag_fast_step = 2e-9;
  series.tag_slow_step = 1e-9;
  auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_TRUE(
      Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction, "exchanged"));
  series.tag_fast_step = 7e-9;
  source = OpenSer(directory.Write("scan_2.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "tag positions"));
}

TEST(SerMalformed, BadTagsAreDroppedAndPixelsKept) {
  for (const bool outside : {false, true}) {
    const TestDirectory directory;
    const TestSeries series;
    Bytes bytes = series.Build();
    if (outside) {
      Poke(bytes, series.TagEntryOffset(2), uint64_t{1} << 60);
    } else {
      Poke(bytes, series.TagOffset(2), uint16_t{0x4152});
    }
    const auto source = OpenSer(directory.Write("scan_1.ser", bytes));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "tag of element 2"));
    EXPECT_EQ(FactValue((*source)->description(), "start_time"), nullptr);
    TestReport report;
    EXPECT_EQ(*DecodeAll(**source, report), series.Expected());
    EXPECT_TRUE(report.facts.empty());
  }
}

// Decoding checks every head, also those that opening did not look at.
TEST(SerMalformed, HeadDamagedAfterOpeningIsAnError) {
  const TestDirectory directory;
  const TestSeries series;
  const auto path = directory.Write("scan_1.ser", series.Build());
  const auto source = OpenSer(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const uint32_t height = 9;
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(series.ElementOffset(3)) + 46)
      .write(reinterpret_cast<const char*>(&height), sizeof(height));
  TestReport report;
  const auto frames = DecodeAll(**source, report);
  ASSERT_FALSE(frames.ok());
  EXPECT_EQ(frames.error().kind(), ErrorKind::kCorrupt);
  EXPECT_NE(frames.error().ToString().find("frame 3"), std::string::npos);
}

std::string EmiText(const std::string& space, const std::string& ser, const std::string& xml) {
  const auto record = [](char code, const std::string& text) {
    const auto length = static_cast<uint32_t>(text.size());
    std::string bytes{'\x60', '\0', code, '\x04'};
    return bytes.append(reinterpret_cast<const char*>(&length), 4) + text;
  };
  return "JK" + std::string(500, '\0') + record('\0', space) + record('\x40', ser) + "\x32" + xml;
}

std::string EmiXml(const std::string& volts) {
  return "<ObjectInfo><Uuid>0</Uuid><ExperimentalConditions><MicroscopeConditions>"
         "<AcceleratingVoltage>" +
         volts +
         "</AcceleratingVoltage></MicroscopeConditions></ExperimentalConditions>"
         "<ExperimentalDescription><Root><Data><Label>High tension</Label><Value>300</Value>"
         "<Unit>kV</Unit></Data></Root></ExperimentalDescription></ObjectInfo>";
}

constexpr const char* kVoltage =
    "measurement/event1/instrument/ebeam_column/electron_source/voltage";

TEST(SerMalformed, EmiTellsUnitsAndVoltage) {
  const TestDirectory directory;
  directory.Write("scan.emi", EmiText("Reciprocal Space", "C:\\a\\x_1.ser", EmiXml("300000")));
  const auto source = OpenSer(directory.Write("scan_1.ser", TestSeries().Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ(FactValue((*source)->description(), kVoltage), 300000.0);
  EXPECT_EQ((*source)->description().axes.at("axis_i").units, "1/m");
  EXPECT_TRUE((*source)->description().anomalies.empty());
}

TEST(SerMalformed, EmiThatCannotBeRightGivesNoUnitAndNoVoltage) {
  const TestDirectory directory;
  directory.Write("scan.emi", EmiText("Real Space", "C:\\a\\x_1.ser", EmiXml("200000")));
  const auto source = OpenSer(directory.Write("scan_1.ser", TestSeries().Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(FactValue(description, kVoltage), nullptr);
  EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kOther, "High tension is 300 kV"));
  EXPECT_EQ(description.axes.at("axis_i").units, "");  // steps of 1e7 are no metres
  EXPECT_TRUE(Has(description.anomalies, AnomalyKind::kOther, "cannot be in m"));
}

TEST(SerMalformed, BrokenEmiIsLeftOut) {
  for (const std::string& xml : {std::string("<ObjectInfo>") + std::string(300, 'x'),
                                 "<ObjectInfo><a><b></a>" + std::string(300, ' ') + "</ObjectInfo>",
                                 std::string("nothing")}) {
    const TestDirectory directory;
    directory.Write("scan.emi", EmiText("Real Space", "C:\\a\\x_1.ser", xml));
    const TestSeries series;
    const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "EMI is left out"));
    TestReport report;
    EXPECT_EQ(*DecodeAll(**source, report), series.Expected());
  }
}

TEST(SerMalformed, EmiWithoutItsSeriesIsRefused) {
  const TestDirectory directory;
  const auto source = OpenSer(
      directory.Write("scan.emi", EmiText("Real Space", "C:\\a\\scan_1.ser", EmiXml("300000"))));
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), ErrorKind::kNotFound);
}

}  // namespace
}  // namespace penstock::ingest
