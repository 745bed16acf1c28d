// EMPAD: which file belongs to which, ranked evidence, pixels without footers, damaged
// descriptions.

#include <gmock/gmock.h>

#include <algorithm>

#include "penstock/ingest/registry.h"
#include "tests/ingest/record_test_files.h"
#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

constexpr size_t kRecord = size_t{130} * 128;  // floats

// Value i at place i.
Bytes Raw(size_t frames) {
  Bytes bytes(frames * kRecord * 4);
  for (size_t i = 0; i < frames * kRecord; ++i) Put(bytes, i * 4, static_cast<float>(i));
  return bytes;
}

std::string Scan(const std::string& mode, int rows, int columns) {
  return "<scan_parameters mode=\"" + mode + "\"><scan_resolution_x>" + std::to_string(columns) +
         "</scan_resolution_x><scan_resolution_y>" + std::to_string(rows) +
         "</scan_resolution_y></scan_parameters>";
}

std::string Xml(const std::string& body, const std::string& raw = "s.raw") {
  return "<root name=\"1\"><raw_file filename=\"" + raw + "\"/>" + body + "</root>";
}

TEST(Empad, ImagesWithoutTheirFooters) {
  const TestDirectory directory;
  const Bytes raw = Raw(130);  // several reads
  directory.Write("s.raw", raw);
  const auto source = OpenAny(directory.Write("s.xml", Xml(Scan("acquire", 13, 10))));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(description.format, "empad");
  EXPECT_EQ(description.element_type, ElementType::kFloat32);
  EXPECT_EQ(description.signal, (SignalShape{128, 128}));
  ASSERT_EQ(description.scan_shapes.size(), 1U);
  EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{13, 10, false}));
  EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
  for (const int64_t frames_per_call : {1, 7, 1000}) {
    TestReport report;
    SeenBytes seen;
    const auto frames = DecodeAll(**source, report, frames_per_call, &seen);
    ASSERT_TRUE(frames.ok());
    for (const size_t frame : {size_t{0}, size_t{1}, size_t{63}, size_t{129}}) {
      for (const size_t pixel : {size_t{0}, size_t{128}, size_t{16383}}) {
        EXPECT_EQ(At<float>(*frames, frame * 16384 + pixel),
                  static_cast<float>(frame * kRecord + pixel));
      }
    }
    EXPECT_EQ(seen.Count(0), raw.size());
  }
}

TEST(Empad, EvidenceIsRankedAndTheSizeDecides) {
  struct Case {
    std::string body;
    std::string raw;
    ScanShape expected;
    size_t fitting;
    size_t anomalies;
  };
  const std::vector<Case> cases = {
      {Scan("search", 6, 2) + Scan("acquire", 4, 3), "s.raw", {4, 3, false}, 2, 0},
      {Scan("search", 4, 3) + Scan("acquire", 64, 64), "s.raw", {4, 3, false}, 1, 1},
      {"<pix_x>6</pix_x><pix_y>2</pix_y>" + Scan("acquire", 8, 8), "s.raw", {2, 6, false}, 1, 1},
      {"<type>series</type><count>12</count>" + Scan("acquire", 3, 4),
       "s.raw",
       {1, 12, true},
       2,
       0},
      {"<scan_parameters><series_count>12</series_count></scan_parameters>",
       "s.raw",
       {1, 12, true},
       1,
       0},
      {Scan("acquire", 9, 9), "scan_x2_y6.raw", {6, 2, false}, 1, 1},
      {"", "series_x12.raw", {1, 12, true}, 1, 0},
      {Scan("acquire", 9, 9), "s.raw", {9, 9, false}, 1, 1},  // a contradiction
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.body + " " + test.raw);
    const TestDirectory directory;
    directory.Write(test.raw, Raw(12));
    const auto source =
        OpenAny(directory.Write("a.xml", Xml("<camserver_parameters/>" + test.body, test.raw)));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    const SourceDescription& description = (*source)->description();
    ASSERT_EQ(description.scan_shapes.size(), test.fitting);
    EXPECT_EQ(description.scan_shapes[0].shape, test.expected);
    EXPECT_EQ(description.anomalies.size(), test.anomalies) << Listed(description.anomalies);
    const bool contradiction = test.expected.rows == 9;
    EXPECT_EQ(Has(description.anomalies, AnomalyKind::kHeaderContradiction, "12 frames"),
              contradiction);
  }
}

TEST(Empad, RawFileFindsItsDescription) {
  const TestDirectory directory;
  const auto raw = directory.Write("b.raw", Raw(4));
  directory.Write("a.xml", Xml(Scan("acquire", 1, 4), "other.raw"));
  directory.Write("broken.xml", std::string("<root"));
  EXPECT_FALSE(OpenAny(raw).ok());  // nothing says that it is one
  directory.Write("c.xml", Xml(Scan("acquire", 2, 2), "/home/empad/b.raw"));
  const auto source = OpenAny(raw);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().scan_shapes.at(0).shape, (ScanShape{2, 2, false}));
  EXPECT_EQ((*source)->description().files.size(), 2U);
  OpenOptions alone;
  alone.this_file_only = true;
  const auto without = OpenSource(raw, "empad", alone);
  ASSERT_TRUE(without.ok());
  EXPECT_TRUE((*without)->description().scan_shapes.empty());
}

TEST(Empad, DescriptionBehindALongListIsRecognised) {
  const TestDirectory directory;
  directory.Write("s.raw", Raw(4));
  std::string list;
  for (int i = 0; i < 200; ++i) list += "<reconstruction absolute_filename=\"/home/x/y/z.tif\"/>";
  const auto source = OpenAny(directory.Write("s.xml", "<root name=\"1\">" + list +
                                                           "<raw_file filename=\"s.raw\"/>" +
                                                           Scan("acquire", 2, 2) + "</root>"));
  EXPECT_TRUE(source.ok());
}

TEST(Empad, TooManyTagsAreRefused) {
  const TestDirectory directory;
  directory.Write("s.raw", Raw(1));
  std::string deep;
  for (int i = 0; i < 210'000; ++i) deep += "<a>";
  const auto source = OpenAny(directory.Write("s.xml", Xml("<scan_parameters/>" + deep)));
  ASSERT_FALSE(source.ok());
  EXPECT_THAT(source.error().ToString(), HasSubstr("XML tags"));
}

TEST(Empad, DamagedDescriptionsAreRefusedOrRead) {
  const TestDirectory directory;
  directory.Write("s.raw", Raw(2));
  const std::string text =
      Xml("<exposure_time>1</exposure_time><timestamp timestamp=\"1774471672.58\"/>" +
          Scan("acquire", 1, 2) +
          "<iom_measurements><optics.get_full_scan_field_of_view>[4.5e-06, 4.5e-06]"
          "</optics.get_full_scan_field_of_view></iom_measurements>");
  Bytes bytes;
  PutText(bytes, 0, text);
  DamageAtRandom(directory, "s.xml", bytes, bytes.size(), 400, "empad");
}

}  // namespace
}  // namespace penstock::ingest
