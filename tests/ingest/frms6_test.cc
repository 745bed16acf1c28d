// FRMS6: unfolding, un-binning, several files, corrections, headers that contradict the files.

#include <gmock/gmock.h>

#include <cmath>

#include "penstock/base/npy.h"
#include "penstock/ingest/registry.h"
#include "tests/ingest/record_test_files.h"
#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

constexpr int kColumns = 8;  // as stored
constexpr int kRows = 3;

uint16_t Signal(int n, int row, int column) {
  return static_cast<uint16_t>((1000 * n + 37 * row + 11 * column) % 65536);
}
uint16_t Dark(int n, int row, int column) {
  return static_cast<uint16_t>(100 + 3 * n + row + 2 * column);
}

Bytes File(int first, int count, uint16_t (*pixel)(int, int, int), bool with_count = true) {
  Bytes b(1024);
  Put(b, 0, uint16_t{1024});
  Put(b, 2, uint16_t{64});
  Put(b, 7, uint8_t{6});
  Put(b, 88, uint16_t{kColumns});
  Put(b, 90, uint16_t{kRows});
  if (with_count) Put(b, 1020, static_cast<uint32_t>(count));
  for (int n = first; n < first + count; ++n) {
    b.resize(b.size() + 64);
    for (int row = 0; row < kRows; ++row) {
      for (int column = 0; column < kColumns; ++column) Add(b, pixel(n, row, column));
    }
  }
  return b;
}

std::string Header(int binning, int signal, const std::string& scan) {
  return "[other]\nbin = 7\n[measurementInfo]\r\ndarkFrames = 3\r\nSignalFrames = " +
         std::to_string(signal) + "\ndwellTimeMicroseconds = 500\ngain = 1\nreadoutMode = \"bin: " +
         std::to_string(binning) + ", windowing: 3 x 8\"\nstemImageSize = " + scan + "\n";
}

// Image pixel (y, x), from the description of the format.
std::pair<int, int> Stored(int y, int x, int binning) {
  const int row = y / binning;
  if (row < kRows) return {row, x};
  return {2 * kRows - 1 - row, kColumns - 1 - x};
}

struct TestSet {
  TestDirectory directory;
  explicit TestSet(int binning = 1, int signal = 6, const std::string& scan = "2x3") {
    directory.Write("a.hdr", Header(binning, signal, scan));
    directory.Write("a_000.frms6", File(0, 3, Dark));
    directory.Write("a_001.frms6", File(0, 4, Signal));
    directory.Write("a_002.frms6", File(4, 2, Signal, false));
  }
};

TEST(Frms6, WorkedExampleOfTheDescription) {
  // Stored rows 1 2 3 4 / 5 6 7 8 make 1 2 / 5 6 / 8 7 / 4 3.
  Bytes b(1024 + 64);
  Put(b, 0, uint16_t{1024});
  Put(b, 2, uint16_t{64});
  Put(b, 7, uint8_t{6});
  Put(b, 88, uint16_t{4});
  Put(b, 90, uint16_t{2});
  for (uint16_t i = 1; i <= 8; ++i) Add(b, i);
  const TestDirectory directory;
  directory.Write("a.hdr", std::string("[measurementInfo]\nreadoutMode = \"bin: 2, windowing: 2 x "
                                       "4\"\n"));
  const auto source = OpenAny(directory.Write("a_001.frms6", b));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  const Bytes frames = DecodedFrames(**source, report);
  const std::vector<uint16_t> expected = {1, 2, 1, 2, 5, 6, 5, 6, 8, 7, 8, 7, 4, 3, 4, 3};
  ASSERT_EQ(frames.size(), expected.size() * 2);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(At<uint16_t>(frames, i), expected[i]);
}

TEST(Frms6, RawFramesOfEveryBinning) {
  for (const int binning : {1, 2, 4}) {
    const TestSet set(binning);
    for (const char* name : {"a.hdr", "a_000.frms6", "a_002.frms6"}) {
      const auto source = OpenAny(set.directory / name);
      ASSERT_TRUE(source.ok()) << source.error().ToString();
      const SourceDescription& description = (*source)->description();
      EXPECT_EQ(description.element_type, ElementType::kUint16);
      EXPECT_EQ(description.signal, (SignalShape{2 * kRows * binning, kColumns / 2}));
      EXPECT_EQ(description.scan_shapes.at(0).shape, (ScanShape{2, 3, false}));
      EXPECT_TRUE(description.corrections.empty());
      ASSERT_EQ(description.files.size(), 4U);
      EXPECT_EQ(description.files[3].role, "dark");
      EXPECT_EQ(FactValue(description,
                          "measurement/event1/instrument/ebeam_column/scan_controller/dwell_time"),
                0.0005);
      TestReport report;
      SeenBytes seen;
      const auto frames = DecodeAll(**source, report, 3, &seen);
      ASSERT_TRUE(frames.ok());
      const int side = 2 * kRows * binning;
      for (int n = 0; n < 6; ++n) {
        for (int y = 0; y < side; ++y) {
          for (int x = 0; x < kColumns / 2; ++x) {
            const auto [row, column] = Stored(y, x, binning);
            ASSERT_EQ(At<uint16_t>(*frames, static_cast<size_t>((n * side + y) * 4 + x)),
                      Signal(n, row, column));
          }
        }
      }
      EXPECT_EQ(seen.Count(0), size_t{4} * (64 + kRows * kColumns * 2));
      EXPECT_EQ(seen.Count(1), size_t{2} * (64 + kRows * kColumns * 2));
    }
  }
}

TEST(Frms6, CorrectionsAsTheReferenceAppliesThem) {
  const TestSet set(2);
  std::vector<double> gain;
  Bytes gain_bytes;
  for (int i = 0; i < 12 * 4; ++i) gain.push_back(0.5 + i * 0.0629921);
  for (const double value : gain) Add(gain_bytes, value);
  const std::vector<int64_t> shape = {12, 4};
  ASSERT_TRUE(WriteNpy(set.directory / "gain.npy", ElementType::kFloat64, shape, gain_bytes).ok());
  for (const bool dark : {false, true}) {
    for (const bool multiply : {false, true}) {
      if (!dark && !multiply) continue;
      OpenOptions options;
      options.subtract_dark = dark;
      if (multiply) options.gain_file = (set.directory / "gain.npy").string();
      const auto source = OpenAny(set.directory / "a.hdr", options);
      ASSERT_TRUE(source.ok()) << source.error().ToString();
      EXPECT_EQ((*source)->description().element_type, ElementType::kFloat32);
      EXPECT_EQ((*source)->description().corrections.size(), size_t{dark} + size_t{multiply});
      TestReport report;
      const Bytes frames = DecodedFrames(**source, report);
      for (int n = 0; n < 6; ++n) {
        for (int y = 0; y < 12; ++y) {
          for (int x = 0; x < 4; ++x) {
            const auto [row, column] = Stored(y, x, 2);
            const float mean = static_cast<float>(Dark(0, row, column) + Dark(1, row, column) +
                                                  Dark(2, row, column)) /
                               3.0F;
            double expected = Signal(n, row, column);
            if (dark) expected -= static_cast<double>(mean);
            if (multiply) expected *= gain[static_cast<size_t>(y * 4 + x)];
            ASSERT_EQ(At<float>(frames, static_cast<size_t>((n * 12 + y) * 4 + x)),
                      static_cast<float>(expected));
          }
        }
      }
    }
  }
}

TEST(Frms6, GainReferencesThatDoNotFit) {
  const TestSet set;
  const auto refused = [&set](const std::string& name, const std::string& text) {
    OpenOptions options;
    options.gain_file = set.directory.Write(name, text).string();
    const auto source = OpenAny(set.directory / "a.hdr", options);
    EXPECT_FALSE(source.ok());
    return source.ok() ? "" : source.error().ToString();
  };
  const std::string line = "1;1;1;1;1;1;\n";  // a column of the frame
  EXPECT_THAT(refused("g.csv", line + line), HasSubstr("2 lines"));
  EXPECT_THAT(refused("g.csv", line + "1;2\n"), HasSubstr("2 values in line 2"));
  EXPECT_THAT(refused("g.csv", line + line + line + "1;1;x;1;1;1"), HasSubstr("found x"));
  EXPECT_THAT(refused("g.csv", line + line + line + "1;1;-1;1;1;1"), HasSubstr("row 2, column 3"));
  EXPECT_THAT(refused("g.mat", line), HasSubstr("numpy.save"));
  EXPECT_THAT(refused("g.npy", line), HasSubstr("g.npy"));
  OpenOptions options;
  options.subtract_dark = true;
  std::filesystem::remove(set.directory / "a_000.frms6");
  const auto source = OpenAny(set.directory / "a.hdr", options);
  ASSERT_FALSE(source.ok());
  EXPECT_THAT(source.error().ToString(), HasSubstr("no dark frames"));
}

TEST(Frms6, CorrectionsAreRefusedWhereThereIsNothingToCorrect) {
  const TestDirectory directory;
  OpenOptions options;
  options.signal_shape = SignalShape{2, 2};
  options.element_type = ElementType::kUint8;
  options.subtract_dark = true;
  const auto source = OpenSource(directory.Write("a.raw", std::string(16, 'x')), "raw", options);
  ASSERT_FALSE(source.ok());
  EXPECT_THAT(source.error().ToString(), HasSubstr("nothing to correct"));
}

TEST(Frms6, FilesInTheOrderOfTheirNumbers) {
  const TestDirectory directory;
  directory.Write("a.hdr", Header(1, 4, "2x2"));
  directory.Write("a_1000.frms6", File(3, 1, Signal));
  directory.Write("a_999.frms6", File(2, 1, Signal));
  directory.Write("a_998.frms6", File(0, 2, Signal));
  directory.Write("ab_001.frms6", File(9, 1, Signal));
  const auto source = OpenAny(directory / "a.hdr");
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  const Bytes frames = DecodedFrames(**source, report);
  for (size_t n = 0; n < 4; ++n) {
    EXPECT_EQ(At<uint16_t>(frames, n * 6 * 4), Signal(static_cast<int>(n), 0, 0));
  }
  // 1 to 997 are missing, and the header says that no frame is.
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kHeaderContradiction,
                  "files are missing"));
}

TEST(Frms6, AMissingFileLosesItsFrames) {
  const TestSet set(1, 9, "3x3");
  std::filesystem::rename(set.directory / "a_002.frms6", set.directory / "a_003.frms6");
  const auto source = OpenAny(set.directory / "a.hdr");
  ASSERT_TRUE(source.ok());
  const auto& missing = (*source)->description().missing_frames;
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_EQ(missing[0].before_frame, 4);
  EXPECT_EQ(missing[0].count, 3);
}

TEST(Frms6, CountsThatContradictTheFiles) {
  const auto anomalies = [](const TestSet& set) {
    const auto source = OpenAny(set.directory / "a.hdr");
    EXPECT_TRUE(source.ok()) << source.error().ToString();
    return source.ok() ? (*source)->description().anomalies : std::vector<Anomaly>();
  };
  EXPECT_TRUE(Has(anomalies(TestSet(1, 6, "2x4")), AnomalyKind::kHeaderContradiction, "2x4"));
  EXPECT_TRUE(Has(anomalies(TestSet(1, 8, "2x4")), AnomalyKind::kMissingFrame, "hold 6"));
  EXPECT_TRUE(Has(anomalies(TestSet(1, 4, "2x2")), AnomalyKind::kExtraFrames, "hold 6"));
  EXPECT_TRUE(Has(anomalies(TestSet()), AnomalyKind::kOther, "rows x columns"));
  const TestSet cut;
  Bytes file = File(0, 4, Signal);
  file.resize(file.size() - 20);
  cut.directory.Write("a_001.frms6", file);
  EXPECT_TRUE(Has(anomalies(cut), AnomalyKind::kTruncated, "found 3 whole ones"));
  const TestSet inside;
  inside.directory.Write("a_001.frms6", file);
  const auto source = OpenAny(inside.directory / "a.hdr");
  ASSERT_TRUE(source.ok());
  ASSERT_EQ((*source)->description().missing_frames.size(), 1U);
  EXPECT_EQ((*source)->description().missing_frames[0].before_frame, 3);
  EXPECT_EQ((*source)->description().missing_frames[0].count, 1);
  Put(file, 1020, uint32_t{0});  // and nothing says how many there were
  inside.directory.Write("a_001.frms6", file);
  EXPECT_TRUE(Has(anomalies(inside), AnomalyKind::kHeaderContradiction, "no certain place"));
  const TestSet tail;
  file = File(0, 4, Signal);
  file.resize(file.size() + 20);
  tail.directory.Write("a_001.frms6", file);
  EXPECT_TRUE(Has(anomalies(tail), AnomalyKind::kOther, "20 bytes"));
}

TEST(Frms6, Refusals) {
  const auto refused = [](const TestSet& set) {
    const auto source = OpenAny(set.directory / "a_001.frms6");
    EXPECT_FALSE(source.ok());
    return source.ok() ? "" : source.error().ToString();
  };
  const TestSet none;
  std::filesystem::remove(none.directory / "a.hdr");
  EXPECT_THAT(refused(none), HasSubstr("a.hdr"));
  for (const char* mode : {"\"bin: 3, windowing: 3 x 8\"", "\"bin: x, windowing: 3 x 8\"", "none",
                           "\"bin: 2\"", "\"bin: 2, windowing: 0 x 8\""}) {
    const TestSet set;
    set.directory.Write("a.hdr", std::string("[measurementInfo]\nreadoutMode = ") + mode);
    EXPECT_THAT(refused(set), HasSubstr("rows were binned"));
  }
  const TestSet section;
  section.directory.Write("a.hdr", std::string("[info]\nreadoutMode = 1\n"));
  EXPECT_THAT(refused(section), HasSubstr("[measurementInfo]"));
  const TestSet odd;
  Bytes file = File(0, 4, Signal);
  Put(file, 88, uint16_t{7});
  odd.directory.Write("a_001.frms6", file);
  EXPECT_THAT(refused(odd), HasSubstr("even number"));
  Put(file, 88, uint16_t{6});
  odd.directory.Write("a_001.frms6", file);
  EXPECT_THAT(refused(odd), HasSubstr("different size"));
  const TestSet empty;
  empty.directory.Write("a_001.frms6", File(0, 0, Signal));
  empty.directory.Write("a_002.frms6", File(0, 0, Signal));
  EXPECT_THAT(refused(empty), HasSubstr("no complete frame"));
}

TEST(Frms6, DamagedAtRandom) {
  const TestSet set;
  OpenOptions options;
  options.subtract_dark = true;
  DamageAtRandom(set.directory, "a_001.frms6", File(0, 4, Signal), 1024, 300, "frms6", options);
  for (const size_t at : {0, 2, 7, 88, 90, 1020}) {
    Bytes head = File(0, 4, Signal);
    Put(head, at, uint16_t{0xffff});
    set.directory.Write("a_001.frms6", head);
    const auto source = OpenAny(set.directory / "a.hdr");
    if (source.ok()) {
      TestReport report;
      DecodedFrames(**source, report);
    }
  }
  set.directory.Write("a_001.frms6", File(0, 4, Signal));
  Bytes text;
  PutText(text, 0, Header(1, 6, "2x3"));
  DamageAtRandom(set.directory, "a.hdr", text, text.size(), 500, "frms6", options);
}

}  // namespace
}  // namespace penstock::ingest
