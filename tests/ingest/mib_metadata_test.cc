// What the files say about the detector, and by what they are recognised.

#include <gtest/gtest.h>

#include "ingest/formats/mib/mib_format.h"
#include "ingest/formats/mib/mib_frame_header.h"
#include "penstock/ingest/registry.h"
#include "tests/ingest/mib_open_helpers.h"

namespace penstock::ingest {
namespace {

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

}  // namespace
}  // namespace penstock::ingest
