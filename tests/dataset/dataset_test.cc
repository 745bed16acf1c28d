#include "penstock/dataset/dataset.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using testing_support::SyntheticFrame;
using testing_support::SyntheticOptions;
using testing_support::WriteSyntheticDataset;

class DatasetTest : public testing::Test {
 protected:
  void SetUp() override {
    // Memory where there is some: every dataset syncs dozens of small files.
    const bool has_memory = access("/dev/shm", W_OK) == 0;
    directory_ = std::filesystem::path(has_memory ? "/dev/shm" : testing::TempDir()) /
                 ("penstock_dataset_" + std::to_string(getpid()));
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Json ReadNexus() {
    return Json::parse(*ReadWholeFile(directory_ / "nexus.json", uint64_t{1} << 20));
  }

  std::filesystem::path directory_;
};

void ExpectSameFrames(const Dataset& dataset, const SyntheticOptions& options) {
  for (const BlockInfo& block : dataset.blocks()) {
    const std::filesystem::path path = dataset.directory() / block.relative_path;
    const std::string bytes = *ReadWholeFile(path, uint64_t{1} << 30);
    ASSERT_EQ(bytes.size(), block.bytes);
    EXPECT_EQ(HashBytes(AsBytes(bytes)), block.checksum);
    for (int64_t index = 0; index < block.region.frame_count(); ++index) {
      const std::vector<std::byte> frame =
          SyntheticFrame(options, block.region.first_frame + index);
      ASSERT_EQ(
          std::memcmp(bytes.data() + kPayloadStart + static_cast<size_t>(index) * frame.size(),
                      frame.data(), frame.size()),
          0)
          << "frame " << block.region.first_frame + index;
    }
  }
}

TEST_F(DatasetTest, WhatIsWrittenIsOpened) {
  SyntheticOptions options;
  options.block_bytes = 5000;  // two rows: the last block is partial
  options.missing = {7, 8, 29};
  options.calibrated = true;
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  EXPECT_TRUE(LooksLikeDataset(directory_));
  const auto dataset = Dataset::Open(directory_);
  ASSERT_TRUE(dataset.ok()) << dataset.error().ToString();
  EXPECT_EQ(dataset->shape(), options.shape);
  EXPECT_EQ(dataset->grid(), *ChooseBlockGrid(options.shape, options.block_bytes));
  EXPECT_EQ(dataset->blocks().size(), 3U);
  EXPECT_EQ(dataset->frames_expected(), 30);
  EXPECT_EQ(dataset->frames_received(), 27);
  EXPECT_EQ(dataset->state(), "sealed");
  EXPECT_EQ(dataset->generation(), *HashFile(directory_ / "nexus.json"));
  ExpectSameFrames(*dataset, options);

  const auto image_key = dataset->ReadImageKey();
  ASSERT_TRUE(image_key.ok());
  for (int64_t n = 0; n < 30; ++n) {
    EXPECT_EQ((*image_key)[static_cast<size_t>(n)], options.missing.contains(n) ? 3 : 0) << n;
  }
  const auto checksums = dataset->ReadExtentChecksums();
  ASSERT_TRUE(checksums.ok());
  ASSERT_EQ(checksums->size(), 3U);
  const std::string bytes =
      *ReadWholeFile(directory_ / dataset->blocks()[2].relative_path, uint64_t{1} << 20);
  EXPECT_EQ((*checksums)[2], std::vector<uint64_t>{HashExtent(AsBytes(bytes))});
}

TEST_F(DatasetTest, SeriesAndPartsOfRows) {
  SyntheticOptions series;
  series.shape.scan = {.rows = 1, .columns = 23, .is_series = true};
  series.block_bytes = 4000;
  ASSERT_TRUE(WriteSyntheticDataset(directory_ / "series", series).ok());
  const auto opened = Dataset::Open(directory_ / "series");
  ASSERT_TRUE(opened.ok()) << opened.error().ToString();
  EXPECT_EQ(opened->shape(), series.shape);
  EXPECT_EQ(opened->blocks()[1].relative_path, "data.zarr/real/c/1/0/0");
  ExpectSameFrames(*opened, series);

  SyntheticOptions parts;
  parts.shape.scan = {.rows = 3, .columns = 8};
  parts.block_bytes = 3 * parts.shape.frame_bytes();
  parts.shape.element_type = ElementType::kFloat32;
  ASSERT_TRUE(WriteSyntheticDataset(directory_ / "parts", parts).ok());
  const auto dataset = Dataset::Open(directory_ / "parts");
  ASSERT_TRUE(dataset.ok()) << dataset.error().ToString();
  EXPECT_EQ(dataset->grid().block_rows, 1);
  ExpectSameFrames(*dataset, parts);
}

TEST_F(DatasetTest, EveryElementType) {
  for (int type = 0; type <= static_cast<int>(ElementType::kComplex128); ++type) {
    SyntheticOptions options;
    options.shape.element_type = static_cast<ElementType>(type);
    const std::filesystem::path directory = directory_ / std::to_string(type);
    ASSERT_TRUE(WriteSyntheticDataset(directory, options).ok());
    const auto dataset = Dataset::Open(directory);
    ASSERT_TRUE(dataset.ok()) << dataset.error().ToString();
    EXPECT_EQ(dataset->shape(), options.shape);
    ExpectSameFrames(*dataset, options);
  }
}

TEST_F(DatasetTest, TheSidecarHoldsTheWholeDescription) {
  SyntheticOptions options;
  options.missing = {4};
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  const Json nexus = ReadNexus();
  const Json& entry = nexus["entry1"];
  const Json& source =
      entry["measurement"]["event1"]["instrument"]["ebeam_column"]["electron_source"];
  EXPECT_EQ(source["@NX_class"], "NXsource");
  EXPECT_EQ(source["voltage"], 300000.0);
  EXPECT_EQ(source["voltage@units"], "V");
  const Json& penstock = entry["penstock"];
  EXPECT_EQ(penstock["evidence"]["measurement"]["event1"]["instrument"]["ebeam_column"]
                    ["electron_source"]["voltage"],
            "invented for the test");
  EXPECT_EQ(penstock["vendor_headers"]["header1"]["data"], "HDR,\nScanX:\t6\nEnd\t\n");
  EXPECT_EQ(penstock["anomalies"]["frame"], Json::array({4}));
  EXPECT_EQ(penstock["sources"]["path"], Json::array({"/data/in/scan.raw"}));
  EXPECT_EQ(penstock["history"]["entry1"]["parameters"], "{\"missing\":\"zero\"}");
  EXPECT_EQ(entry["note1"]["checksum"], "00112233445566778899aabbccddeeff");
  // Coordinates that nobody knows are not there.
  EXPECT_FALSE(entry["measurement"]["event1"]["image1"]["image_4d"].contains("axis_m"));
  EXPECT_EQ(entry["measurement"]["event1"]["image1"]["image_4d"]["@axes"],
            Json::array({".", ".", ".", "."}));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "data.zarr/axis_m"));
}

TEST_F(DatasetTest, NxemIsClaimedOnlyWhenComplete) {
  SyntheticOptions options;
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  Json entry = ReadNexus()["entry1"];
  EXPECT_FALSE(entry.contains("definition"));
  const Json absent = entry["penstock"]["absent_required"];
  for (const char* path : {"start_time", "sample/preparation_date", "sample/atom_types",
                           "sample/is_simulation", "measurement/event1/image1/image_4d/axis_k"}) {
    EXPECT_NE(std::find(absent.begin(), absent.end(), path), absent.end()) << path;
  }
  std::filesystem::remove_all(directory_);
  options.complete = true;
  options.calibrated = true;
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  entry = ReadNexus()["entry1"];
  EXPECT_EQ(entry["definition"], "NXem") << entry["penstock"]["absent_required"];
  EXPECT_EQ(entry["definition@version"], "v2026.01");
  EXPECT_FALSE(entry["penstock"].contains("absent_required"));
}

TEST_F(DatasetTest, NotADataset) {
  EXPECT_FALSE(LooksLikeDataset(directory_));
  EXPECT_EQ(Dataset::Open(directory_).error().kind(), ErrorKind::kNotFound);
}

// Every member of the sidecar that matters, damaged in turn.
TEST_F(DatasetTest, AContradictorySidecarIsRefused) {
  SyntheticOptions options;
  options.block_bytes = 5000;
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  const Json good = ReadNexus();
  ASSERT_TRUE(Dataset::FromNexusJson(directory_, good.dump()).ok());
  const auto open_with = [&](const char* member, Json value) {
    Json bad = good;
    if (value.is_null()) {
      bad["entry1"]["penstock"].erase(member);
    } else {
      bad["entry1"]["penstock"][member] = std::move(value);
    }
    return Dataset::FromNexusJson(directory_, bad.dump());
  };
  const int64_t huge = int64_t{1} << 62;
  const Json wrong = Json::array(
      {{"scan_shape", {5, 7}},
       {"scan_shape", {huge, huge}},
       {"scan_shape", {0, 6}},
       {"scan_shape", {-5, -6}},
       {"scan_shape", {5.0, 6.0}},
       {"scan_shape", {1, 2, 3}},
       {"scan_shape", "30"},
       {"scan_shape", nullptr},
       {"signal_shape", {16}},
       {"signal_shape", {16, 13}},
       {"signal_shape", {uint64_t{1} << 63, 1}},
       {"element_type", "uint8"},
       {"element_type", "u2"},
       {"element_type", 2},
       {"block_rows", 0},
       {"block_rows", 3},
       {"block_rows", -1},
       {"block_rows", huge},
       {"block_columns", 3},
       {"inner_columns", 0},
       {"inner_columns", 4},
       {"inner_columns", nullptr},
       {"payload_start", 4096},
       {"frame_stride", 383},
       {"frames_expected", 31},
       {"frames_received", 31},
       {"frames_received", -1},
       {"state", 1},
       {"block_file", {"a", "b", "c"}},
       {"block_file", {"data.zarr/real/c/0/0/0/0"}},
       {"block_file", {"../../etc/passwd", "data.zarr/real/c/1/0/0/0", "data.zarr/real/c/2/0/0/0"}},
       {"block_file",
        {"/data.zarr/real/c/0/0/0/0", "data.zarr/real/c/1/0/0/0", "data.zarr/real/c/2/0/0/0"}},
       {"block_bytes", {1, 2, 3}},
       {"block_bytes", {"1", "2", "3"}},
       {"block_checksum", {"x", "y", "z"}},
       {"block_checksum", Json::array()},
       {"block_checksum_algorithm", "md5"}});
  for (const Json& each : wrong) {
    const auto dataset = open_with(each[0].get<std::string>().c_str(), each[1]);
    ASSERT_FALSE(dataset.ok()) << each;
    EXPECT_EQ(dataset.error().kind(), ErrorKind::kCorrupt) << dataset.error().ToString();
    EXPECT_NE(dataset.error().place(), "") << dataset.error().ToString();
  }
  EXPECT_EQ(open_with("layout_version", 3).error().kind(), ErrorKind::kUnsupported);
  // Compressed blocks, without saying how.
  EXPECT_EQ(open_with("layout_version", 2).error().kind(), ErrorKind::kCorrupt);
}

TEST_F(DatasetTest, HostileJsonIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("null"), std::string("[]"),
        std::string("{\"entry1\": 5}"), std::string("{\"entry1\": {\"penstock\": []}}"),
        std::string(100000, '['), "{\"a\":" + std::string(100000, '['), std::string("\xff\xfe{}"),
        std::string("\0\0\0", 3)}) {
    const auto dataset = Dataset::FromNexusJson(directory_, text);
    ASSERT_FALSE(dataset.ok()) << text.substr(0, 40);
    EXPECT_EQ(dataset.error().kind(), ErrorKind::kCorrupt);
  }
  std::string many = "{";
  for (int i = 0; i < 200000; ++i) many += "\"" + std::to_string(i) + "\":0,";
  many += "\"end\":0}";
  EXPECT_FALSE(Dataset::FromNexusJson(directory_, many).ok());
}

TEST_F(DatasetTest, ASmallArrayOfTheWrongSizeIsRefused) {
  SyntheticOptions options;
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  std::filesystem::resize_file(directory_ / "data.zarr/image_key/c/0/0", 119);
  const auto dataset = Dataset::Open(directory_);
  ASSERT_TRUE(dataset.ok());
  const auto image_key = dataset->ReadImageKey();
  ASSERT_FALSE(image_key.ok());
  EXPECT_EQ(image_key.error().expected(), "120 bytes");
  EXPECT_EQ(image_key.error().found(), "119");
}

TEST_F(DatasetTest, AFactWithAnImpossiblePathIsAnError) {
  SyntheticOptions options;
  const auto grid = ChooseBlockGrid(options.shape, options.block_bytes);
  ASSERT_TRUE(WriteSyntheticDataset(directory_, options).ok());
  const auto dataset = Dataset::Open(directory_);
  ASSERT_TRUE(dataset.ok());
  DatasetContents contents;
  contents.blocks.push_back({.block = 0,
                             .bytes = dataset->blocks()[0].bytes,
                             .checksum = dataset->blocks()[0].checksum,
                             .extent_checksum = (*dataset->ReadExtentChecksums())[0]});
  contents.image_key = *dataset->ReadImageKey();
  for (const char* path : {"", "/", "a//b", "sample/", "title/x", "sample/../x", "sample/@x"}) {
    DatasetDescription description = testing_support::SyntheticDescription(options, *grid);
    description.facts.push_back({.path = path, .value = 1, .units = "", .evidence = ""});
    const Status status = WriteDescription(directory_, description, contents);
    ASSERT_FALSE(status.ok()) << path;
    EXPECT_EQ(status.error().kind(), ErrorKind::kInvalidArgument);
  }
}

}  // namespace
}  // namespace penstock
