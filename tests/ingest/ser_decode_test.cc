// Pixels, shapes and facts of TIA series: real and synthetic samples against the hashes of the
// reference readers, generated series against the bytes that they were made from.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <thread>

#include "tests/ingest/ser_test_files.h"

namespace penstock::ingest {
namespace {

std::filesystem::path Samples() { return std::filesystem::path(PENSTOCK_SAMPLES) / "samples"; }

Json LoadList(const std::string& name) {
  std::ifstream stream(Samples() / name);
  return Json::parse(stream);
}

// The decoded array as raw bytes, in calls of `frames_per_call`.
Bytes Decoded(const FrameSource& source, TestReport& report, int64_t frames_per_call = 1 << 30) {
  auto bytes = DecodeAll(source, report, frames_per_call);
  EXPECT_TRUE(bytes.ok()) << bytes.error().ToString();
  return bytes.ok() ? *std::move(bytes) : Bytes{};
}

// Returns the number of series with images that were compared.
int CompareWithList(const Json& list) {
  int compared = 0;
  for (const Json& entry : list) {
    const auto file = entry.at("file").get<std::string>();
    if (!file.ends_with(".ser")) continue;
    SCOPED_TRACE(file);
    const Json& decoded = entry.at("decoded");
    const auto shape = decoded.at("shape").get<std::vector<int64_t>>();
    auto source = OpenSer(Samples() / file);
    if (shape.size() == 2) {  // spectra
      EXPECT_FALSE(source.ok());
      if (!source.ok()) {
        EXPECT_EQ(source.error().kind(), ErrorKind::kUnsupported);
      }
      continue;
    }
    EXPECT_TRUE(source.ok()) << source.error().ToString();
    if (!source.ok()) continue;
    const SourceDescription& description = (*source)->description();
    const int64_t frames =
        std::accumulate(shape.begin(), shape.end() - 2, int64_t{1}, std::multiplies<>());
    EXPECT_EQ(description.frame_count, frames);
    EXPECT_EQ(description.signal, (SignalShape{shape[shape.size() - 2], shape.back()}));
    EXPECT_EQ(NumpyTypeString(description.element_type), decoded.at("dtype").get<std::string>());
    EXPECT_EQ(description.scan_shapes.size(), 1U);
    if (!description.scan_shapes.empty()) {
      EXPECT_EQ(description.scan_shapes[0].shape, shape.size() == 4
                                                      ? (ScanShape{shape[0], shape[1], false})
                                                      : (ScanShape{1, shape[0], true}));
    }
    EXPECT_EQ(description.orientation.file_to_stored, (OrientationRecord::Matrix{-1, 0, 0, 1}));
    TestReport report;
    EXPECT_EQ(Sha256Hex(Decoded(**source, report)), decoded.at("sha256").get<std::string>());
    EXPECT_EQ(report.facts.size(), static_cast<size_t>(frames));
    EXPECT_TRUE(report.invalid.empty());
    ++compared;
  }
  return compared;
}

TEST(SerDecode, EveryRealSampleGivesTheReferenceArray) {
  if (!std::filesystem::exists(Samples())) GTEST_SKIP() << "no samples at " << Samples();
  EXPECT_EQ(CompareWithList(LoadList("groundtruth.json")), 6);
}

TEST(SerDecode, EverySyntheticSampleGivesTheReferenceArray) {
  if (!std::filesystem::exists(Samples())) GTEST_SKIP() << "no samples at " << Samples();
  EXPECT_EQ(CompareWithList(LoadList("synthetic.json").at("files")), 2);
}

TEST(SerDecode, StoppedSeriesKeepsItsWrittenFrames) {
  if (!std::filesystem::exists(Samples())) GTEST_SKIP() << "no samples at " << Samples();
  const auto source = OpenSer(Samples() / "ser/03_Scanning Preview_1.ser");
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ((*source)->description().frame_count, 5);
  EXPECT_TRUE(Has((*source)->description().anomalies, AnomalyKind::kOther, "5 of 200"));
}

std::filesystem::path HyperspyData() {
  const char* named = std::getenv("PENSTOCK_HYPERSPY_DATA");
  return named != nullptr ? std::filesystem::path(named)
                          : std::filesystem::path(PENSTOCK_SOURCE_DIR) / ".cache/hyperspy-data";
}

int32_t PixelAt(const Bytes& bytes, size_t index) {
  int32_t value;
  std::memcpy(&value, bytes.data() + index * 4, 4);
  return value;
}

// The array by NumPy, the calibration by HyperSpy's own test of this file (1.8739 nm, 0.174353 per
// nm), the values of the EMI as they stand in it.
TEST(SerDecode, DiffractionScanOfATalos) {
  const auto folder = HyperspyData() / "FEI_new";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "no files at " << folder << "; set PENSTOCK_HYPERSPY_DATA";
  }
  for (const char* name : {"16x16-diffraction_imagel_5x5x256x256_EDS_2.ser",
                           "16x16-diffraction_imagel_5x5x256x256_EDS.emi"}) {
    SCOPED_TRACE(name);
    const auto source = OpenSer(folder / name);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    const SourceDescription& description = (*source)->description();
    EXPECT_TRUE(description.anomalies.empty()) << Listed(description.anomalies);
    ASSERT_EQ(description.scan_shapes.size(), 1U);
    EXPECT_EQ(description.scan_shapes[0].shape, (ScanShape{5, 5, false}));
    EXPECT_EQ(description.signal, (SignalShape{256, 256}));
    EXPECT_EQ(description.element_type, ElementType::kInt32);
    EXPECT_EQ(description.files.size(), 2U);

    TestReport report;
    const Bytes bytes = Decoded(**source, report);
    ASSERT_EQ(bytes.size(), size_t{25} * 65536 * 4);
    EXPECT_EQ(PixelAt(bytes, ((3 * 5 + 1) * 256 + 200) * 256 + 17), -258);
    EXPECT_EQ(PixelAt(bytes, 0), 0);
    EXPECT_EQ(PixelAt(bytes, ((4 * 5 + 4) * 256 + 255) * 256 + 255), -73);
    EXPECT_EQ(PixelAt(bytes, ((1 * 5 + 3) * 256 + 207) * 256 + 167), 649);
    int64_t sum = 0;
    for (size_t i = 0; i < bytes.size() / 4; ++i) sum += PixelAt(bytes, i);
    EXPECT_EQ(sum, -74820010);
    EXPECT_EQ(report.facts.at(0).time_unix_ns, 1456168868'000'000'000);

    EXPECT_NEAR(description.axes.at("axis_k").step, 1.87390e-9, 1e-14);
    EXPECT_NEAR(description.axes.at("axis_m").step, -1.87390e-9, 1e-14);
    EXPECT_EQ(description.axes.at("axis_m").units, "m");
    EXPECT_NEAR(description.axes.at("axis_i").step, 0.174353e9, 1e3);
    EXPECT_EQ(description.axes.at("axis_i").units, "1/m");
    EXPECT_NE(description.axes.at("axis_i").evidence.find("Reciprocal Space"), std::string::npos);
    // The rows are reversed, and so is their axis.
    EXPECT_NEAR(description.axes.at("axis_j").step, -0.174353e9, 1e3);

    const std::string event = "measurement/event1/instrument/";
    EXPECT_EQ(FactValue(description, event + "ebeam_column/electron_source/voltage"), 200000.0);
    EXPECT_EQ(FactValue(description, event + "optics/camera_length"), 0.26);
    // Of the camera's block: the blocks before it describe an overview image and the spectra.
    EXPECT_EQ(FactValue(description, event + "detector1/count_time"), 0.05);
    EXPECT_EQ(FactValue(description, "measurement/instrument/detector1/name"), "BM-Ceta");
    EXPECT_EQ(FactValue(description, event + "optics/magnification"), nullptr);
    EXPECT_EQ(FactValue(description, "start_time"), "2016-02-22T19:21:08Z");
  }
}

TEST(SerDecode, EveryInstrumentFileOpensOrIsRefusedForItsSpectra) {
  int images = 0;
  int spectra = 0;
  for (const char* folder : {"FEI_new", "FEI_old"}) {
    if (!std::filesystem::exists(HyperspyData() / folder)) {
      GTEST_SKIP() << "no files at " << HyperspyData() << "; set PENSTOCK_HYPERSPY_DATA";
    }
    for (const auto& entry : std::filesystem::directory_iterator(HyperspyData() / folder)) {
      if (entry.path().extension() != ".ser") continue;
      SCOPED_TRACE(entry.path());
      const auto source = OpenSer(entry.path());
      if (!source.ok()) {
        EXPECT_EQ(source.error().kind(), ErrorKind::kUnsupported) << source.error().ToString();
        ++spectra;
        continue;
      }
      TestReport report;
      EXPECT_FALSE(Decoded(**source, report).empty());
      // Every one of these microscopes wrote an EMI that tells the space of its images.
      const AxisCalibration& axis = (*source)->description().axes.at("axis_i");
      EXPECT_EQ(axis.units, axis.step > 1 ? "1/m" : "m");
      ++images;
    }
  }
  EXPECT_EQ(images, 15);
  EXPECT_EQ(spectra, 13);
}

TEST(SerDecode, ImageScannedInDiffractionModeIsInMetres) {
  const auto path = HyperspyData() / "FEI_old/16x16_STEM_BF_DF_acquire_1.ser";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no file at " << path;
  const auto source = OpenSer(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(description.axes.at("axis_i").units, "m");
  EXPECT_NEAR(description.axes.at("axis_i").step, 2.1510044e-8, 1e-14);
  const std::string event = "measurement/event1/instrument/";
  EXPECT_EQ(FactValue(description, event + "ebeam_column/operation_mode"),
            "STEM nP SA Zoom Diffraction");
  EXPECT_EQ(FactValue(description, event + "ebeam_column/scan_controller/dwell_time"), 0.000048);
  EXPECT_EQ(FactValue(description, event + "optics/magnification"), 10000.0);
}

TEST(SerDecode, EmiOfSeveralImageSeriesAsksForOne) {
  const auto path = HyperspyData() / "FEI_old/16x16_STEM_BF_DF_acquire.emi";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no file at " << path;
  const auto source = OpenSer(path);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), ErrorKind::kInvalidArgument);
  EXPECT_NE(source.error().found().find("16x16_STEM_BF_DF_acquire_2.ser (1 images)"),
            std::string::npos)
      << source.error().ToString();
}

class SerType : public testing::TestWithParam<uint16_t> {};

TEST_P(SerType, RowsAreReversedAndPixelsKept) {
  const TestDirectory directory;
  TestSeries series;
  series.type = GetParam();
  const auto path = directory.Write("scan_1.ser", series.Build());
  const auto source = OpenSer(path);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  constexpr ElementType kTypes[] = {ElementType::kUint8,     ElementType::kUint16,
                                    ElementType::kUint32,    ElementType::kInt8,
                                    ElementType::kInt16,     ElementType::kInt32,
                                    ElementType::kFloat32,   ElementType::kFloat64,
                                    ElementType::kComplex64, ElementType::kComplex128};
  EXPECT_EQ((*source)->description().element_type, kTypes[GetParam() - 1]);
  for (const int64_t frames_per_call : {1, 4, 100}) {
    TestReport report;
    EXPECT_EQ(Decoded(**source, report, frames_per_call), series.Expected());
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, SerType, testing::Range<uint16_t>(1, 11));

TEST(SerDecode, GapsAndTagsElsewhere) {
  for (const uint64_t gap : {uint64_t{0}, uint64_t{100}, uint64_t{10000}}) {
    for (const bool tags_behind : {false, true}) {
      const TestDirectory directory;
      TestSeries series;
      series.gap_bytes = gap;
      series.tags_behind_all = tags_behind;
      const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
      ASSERT_TRUE(source.ok()) << source.error().ToString();
      EXPECT_TRUE((*source)->description().anomalies.empty());
      TestReport report;
      EXPECT_EQ(Decoded(**source, report), series.Expected());
      EXPECT_EQ(report.facts.at(5).time_unix_ns, 1456168708'000'000'000);
    }
  }
}

TEST(SerDecode, FramesLargerThanARead) {
  const TestDirectory directory;
  TestSeries series;
  series.dimensions = {{2}};
  series.width = 1031;
  series.height = 1033;  // odd: the middle row stays
  const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  EXPECT_EQ(Decoded(**source, report), series.Expected());
}

// What the observer is given covers the file behind the offset table, once.
TEST(SerDecode, ObserverSeesEveryByteOfTheElements) {
  struct Observer final : RawBytesObserver {
    void OnBytes(size_t /*file*/, uint64_t offset, std::span<const std::byte> bytes) override {
      for (size_t i = 0; i < bytes.size(); ++i)
        EXPECT_TRUE(seen.emplace(offset + i, bytes[i]).second);
    }
    std::map<uint64_t, std::byte> seen;
  } observer;
  const TestDirectory directory;
  const TestSeries series;
  const Bytes file = series.Build();
  const auto source = OpenSer(directory.Write("scan_1.ser", file));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  TestReport report;
  ASSERT_TRUE(DecodeAll(**source, report, 4, &observer).ok());
  EXPECT_EQ(observer.seen.size(), file.size() - series.ElementOffset(0));
  for (const auto& [offset, byte] : observer.seen) EXPECT_EQ(byte, file[offset]);
}

TEST(SerDecode, ThreadsDecodeAtOnce) {
  const TestDirectory directory;
  TestSeries series;
  series.dimensions = {{40, 0, 1e-9}, {10, 0, 2e-9}};
  const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      TestReport report;
      EXPECT_EQ(*DecodeAll(**source, report, t + 1), series.Expected());
    });
  }
}

TEST(SerDecode, AxesOfAGeneratedScan) {
  const TestDirectory directory;
  const TestSeries series;
  const auto source = OpenSer(directory.Write("scan_1.ser", series.Build()));
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const auto& axes = (*source)->description().axes;
  EXPECT_DOUBLE_EQ(axes.at("axis_k").step, 1e-9);
  EXPECT_DOUBLE_EQ(axes.at("axis_m").offset, 5e-9);
  EXPECT_DOUBLE_EQ(axes.at("axis_m").step, -2e-9);
  // Heads: x = -3e7 at column 1, y = 11e7 at file row 1, steps of 1e7; file row 3 is stored first.
  EXPECT_DOUBLE_EQ(axes.at("axis_i").offset, -4e7);
  EXPECT_DOUBLE_EQ(axes.at("axis_j").offset, 13e7);
  EXPECT_DOUBLE_EQ(axes.at("axis_j").step, -1e7);
  EXPECT_EQ(axes.at("axis_j").units, "");  // no EMI
}

}  // namespace
}  // namespace penstock::ingest
