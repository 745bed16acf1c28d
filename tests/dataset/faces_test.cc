// Faces: where their bytes are, and headers that HDF5 and NumPy read.

#include "penstock/dataset/faces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "penstock/base/npy.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/hdf5_handle.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

DatasetShape Shape(int64_t rows, int64_t columns, SignalShape signal, bool is_series = false) {
  return {.scan = {.rows = rows, .columns = columns, .is_series = is_series},
          .signal = signal,
          .element_type = ElementType::kUint16};
}

// Every way of reading a face gives the frames in scan order, by a model that looks at one byte
// after the other.
void ExpectEveryByteInItsPlace(const DatasetShape& shape, const BlockGrid& grid, uint64_t header) {
  const FaceLayout layout(shape, grid, header);
  ASSERT_EQ(layout.total_bytes(), header + shape.payload_bytes());
  std::vector<std::pair<int64_t, uint64_t>> expected;
  for (uint64_t byte = 0; byte < header; ++byte) expected.emplace_back(-1, byte);
  for (int64_t frame = 0; frame < shape.frame_count(); ++frame) {
    const int64_t block = BlockOfFrame(shape, grid, frame);
    const BlockRegion region = RegionOfBlock(shape, grid, block);
    const uint64_t start =
        kPayloadStart + static_cast<uint64_t>(frame - region.first_frame) * shape.frame_bytes();
    for (uint64_t byte = 0; byte < shape.frame_bytes(); ++byte) {
      expected.emplace_back(block, start + byte);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const uint64_t offset = random() % (expected.size() + 3);
    const uint64_t size = random() % (expected.size() + 3);
    std::vector<std::pair<int64_t, uint64_t>> found;
    int64_t previous = -2;
    for (const FacePart& part : layout.PartsOf(offset, size)) {
      EXPECT_GT(part.bytes, 0U);
      EXPECT_NE(part.block, previous);
      previous = part.block;
      for (uint64_t byte = 0; byte < part.bytes; ++byte) {
        found.emplace_back(part.block, part.file_offset + byte);
      }
    }
    const uint64_t first = std::min<uint64_t>(offset, expected.size());
    const uint64_t last = std::min<uint64_t>(first + size, expected.size());
    ASSERT_TRUE(std::equal(found.begin(), found.end(),
                           expected.begin() + static_cast<ptrdiff_t>(first),
                           expected.begin() + static_cast<ptrdiff_t>(last)))
        << offset << " " << size;
  }
}

TEST(FaceLayoutTest, PartsAreTheFramesInScanOrder) {
  struct Case {
    DatasetShape shape;
    uint64_t block_bytes;
    int64_t blocks;
  };
  // Rows in a block with a shorter last one, a part of a row in a block with a shorter last one,
  // one frame in a block, one block, a series.
  for (const Case& each : {Case{Shape(7, 3, {2, 5}), 140, 4}, Case{Shape(3, 7, {2, 5}), 80, 6},
                           Case{Shape(2, 3, {3, 3}), 1, 6}, Case{Shape(2, 3, {3, 3}), 1 << 20, 1},
                           Case{Shape(1, 11, {2, 2}, true), 24, 4}}) {
    const auto grid = ChooseBlockGrid(each.shape, each.block_bytes);
    ASSERT_TRUE(grid.ok());
    EXPECT_EQ(grid->block_count(), each.blocks);
    for (const uint64_t header : {0, 1, 64}) ExpectEveryByteInItsPlace(each.shape, *grid, header);
  }
}

TEST(FaceLayoutTest, FarEndOfALargeScan) {
  // 40 TiB: 2^20 frames of 40 MiB, 6 of them in a block.
  const DatasetShape shape = Shape(1024, 1024, {4096, 5120});
  const auto grid = ChooseBlockGrid(shape, kDefaultBlockBytes);
  ASSERT_TRUE(grid.ok());
  ASSERT_EQ(grid->block_columns, 6);
  const FaceLayout layout(shape, *grid, 1 << 20);
  const uint64_t frame = shape.frame_bytes();
  const auto parts = layout.PartsOf(layout.total_bytes() - 5 * frame, UINT64_MAX);
  // The last row's last block holds 4 frames.
  const int64_t last = grid->block_count() - 1;
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(
      parts[0],
      (FacePart{.block = last - 1, .file_offset = kPayloadStart + 5 * frame, .bytes = frame}));
  EXPECT_EQ(parts[1], (FacePart{.block = last, .file_offset = kPayloadStart, .bytes = 4 * frame}));
  EXPECT_TRUE(layout.PartsOf(layout.total_bytes(), 1).empty());
  EXPECT_TRUE(layout.PartsOf(UINT64_MAX, UINT64_MAX).empty());
}

TEST(NpyFaceTest, HeaderIsAPageAndSaysTheShape) {
  for (const bool is_series : {false, true}) {
    const DatasetShape shape = Shape(is_series ? 1 : 4, 5, {6, 7}, is_series);
    const auto header = MakeNpyFaceHeader(shape);
    ASSERT_TRUE(header.ok());
    EXPECT_EQ(header->size(), kNpyFaceHeader);
    const auto parsed = ParseNpyHeader(AsBytes(*header), "face");
    ASSERT_TRUE(parsed.ok()) << parsed.error().ToString();
    EXPECT_EQ(parsed->data_offset, kNpyFaceHeader);
    EXPECT_EQ(parsed->element_type, ElementType::kUint16);
    EXPECT_EQ(parsed->shape,
              is_series ? (std::vector<int64_t>{5, 6, 7}) : (std::vector<int64_t>{4, 5, 6, 7}));
  }
}

class NexusFaceTest : public testing::Test {
 protected:
  NexusFaceTest() {
    std::string name = std::filesystem::temp_directory_path() / "penstock-faces-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~NexusFaceTest() override { std::filesystem::remove_all(root_); }

  Dataset Write(const testing_support::SyntheticOptions& options) {
    const Status written = testing_support::WriteSyntheticDataset(root_ / "scan", options);
    EXPECT_TRUE(written.ok()) << written.error().ToString();
    auto dataset = Dataset::Open(root_ / "scan");
    EXPECT_TRUE(dataset.ok());
    return *std::move(dataset);
  }

  // The least tree with frames, to be filled.
  static Json Tree(const DatasetShape& shape) {
    const std::vector<int64_t> extents{shape.scan.rows, shape.scan.columns, shape.signal.rows,
                                       shape.signal.columns};
    Json link{{"dictdump_schema", "vds_v1"},
              {"shape", extents},
              {"dtype", "<u2"},
              {"sources", {{{"file_path", "block"}}}}};
    return {{"@NX_class", "NXroot"}, {"entry1", {{">real", std::move(link)}}}};
  }

  std::filesystem::path root_;
};

TEST_F(NexusFaceTest, HoldsTheTreeAndTheArraysAndThenTheFrames) {
  testing_support::SyntheticOptions options;
  options.block_bytes = 5000;
  options.calibrated = true;
  options.missing = {3};
  const Dataset dataset = Write(options);
  auto header = MakeNexusFaceHeader(dataset.nexus(), dataset.shape());
  ASSERT_TRUE(header.ok()) << header.error().ToString();
  const auto bytes = NexusFaceHeaderBytes(dataset.nexus(), dataset.shape());
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(*bytes, kNexusFaceAlignment);

  // The face as a file, put together the slow way.
  const std::filesystem::path file = root_ / "face.nxs";
  {
    std::vector<std::byte> head(*bytes);
    ASSERT_TRUE(ReadFully(header->file.get(), 0, head, "header").ok());
    for (const EmbeddedArray& array : header->arrays) {
      const auto contents = ReadWholeFile(root_ / "scan" / array.path, 1 << 20);
      ASSERT_TRUE(contents.ok());
      ASSERT_EQ(contents->size(), array.bytes) << array.path;
      std::memcpy(head.data() + array.header_offset, contents->data(), contents->size());
    }
    std::ofstream out(file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(head.data()), static_cast<std::streamsize>(*bytes));
    for (int64_t n = 0; n < dataset.shape().frame_count(); ++n) {
      const auto frame = testing_support::SyntheticFrame(options, n);
      out.write(reinterpret_cast<const char*>(frame.data()),
                static_cast<std::streamsize>(frame.size()));
    }
  }

  const Hdf5Session session;
  const Hdf5Handle face(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  ASSERT_TRUE(face.valid());
  const Hdf5Handle real(
      H5Dopen2(face.get(), "/entry1/measurement/event1/image1/image_4d/real", H5P_DEFAULT),
      H5Dclose);
  ASSERT_TRUE(real.valid());
  EXPECT_EQ(H5Dget_offset(real.get()), *bytes);
  std::vector<uint16_t> frame(16 * 12);
  const hsize_t start[] = {4, 5, 0, 0};
  const hsize_t count[] = {1, 1, 16, 12};
  const Hdf5Handle space(H5Dget_space(real.get()), H5Sclose);
  const Hdf5Handle memory(H5Screate_simple(4, count, nullptr), H5Sclose);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start, nullptr, count, nullptr);
  ASSERT_GE(
      H5Dread(real.get(), H5T_NATIVE_UINT16, memory.get(), space.get(), H5P_DEFAULT, frame.data()),
      0);
  EXPECT_EQ(std::memcmp(frame.data(), testing_support::SyntheticFrame(options, 29).data(),
                        frame.size() * 2),
            0);

  const Hdf5Handle key(
      H5Dopen2(face.get(), "/entry1/measurement/event1/instrument/detector1/image_key",
               H5P_DEFAULT),
      H5Dclose);
  std::vector<int32_t> keys(30);
  ASSERT_GE(H5Dread(key.get(), H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, keys.data()), 0);
  for (size_t n = 0; n < keys.size(); ++n) EXPECT_EQ(keys[n], n == 3 ? 3 : 0);
}

TEST_F(NexusFaceTest, SameTreeGivesTheSameBytes) {
  const Dataset dataset = Write({});
  std::vector<std::byte> first(kNexusFaceAlignment);
  std::vector<std::byte> second(kNexusFaceAlignment);
  for (auto* bytes : {&first, &second}) {
    const auto header = MakeNexusFaceHeader(dataset.nexus(), dataset.shape());
    ASSERT_TRUE(header.ok());
    ASSERT_TRUE(ReadFully(header->file.get(), 0, *bytes, "header").ok());
  }
  EXPECT_TRUE(first == second);
}

TEST_F(NexusFaceTest, TakesNoMemoryForAHugePayload) {
  // 2^61 bytes.
  const DatasetShape shape = Shape(1 << 20, 1 << 20, {1 << 10, 1 << 10});
  const auto header = MakeNexusFaceHeader(Tree(shape), shape);
  ASSERT_TRUE(header.ok()) << header.error().ToString();
  struct stat status {};
  ASSERT_EQ(fstat(header->file.get(), &status), 0);
  EXPECT_EQ(status.st_size, static_cast<off_t>(kNexusFaceAlignment));
  EXPECT_LT(status.st_blocks * 512, 64 << 10);
}

TEST_F(NexusFaceTest, PayloadSmallerThanTheMetadataComesLast) {
  const DatasetShape shape = Shape(1, 1, {1, 1});
  const auto header = MakeNexusFaceHeader(Tree(shape), shape);
  ASSERT_TRUE(header.ok()) << header.error().ToString();
}

// Trees of every kind stay below what was foretold of them.
TEST_F(NexusFaceTest, MetadataFitsIntoWhatWasForetold) {
  const DatasetShape shape = Shape(2, 2, {2, 2});
  const auto expect_fits = [&](const char* what, const Json& members) {
    Json tree = Tree(shape);
    for (const auto& [name, value] : members.items()) tree["entry1"][name] = value;
    const auto header = MakeNexusFaceHeader(tree, shape);
    EXPECT_TRUE(header.ok()) << what << ": " << header.error().ToString();
  };
  Json groups;
  Json fields;
  Json attributes;
  Json texts;
  Json short_texts = Json::array();
  for (int i = 0; i < 1000; ++i) {
    const std::string number = std::to_string(i);
    groups["group" + number] = Json{{"@NX_class", "NXcollection"}};
    fields[std::string(40, 'f') + number] = i;
    fields[std::string(40, 'f') + number + "@units"] = "m";
    if (i < 500) attributes["@" + number] = std::string(60, 'a');
    if (i < 10) attributes["@list" + number] = std::vector<int>(3700, i);
    texts["text" + number] = std::string(static_cast<size_t>(700 + 7 * i), 't');
  }
  for (int i = 0; i < 20000; ++i) short_texts.push_back(i % 3 == 0 ? "" : "x");
  expect_fits("groups", groups);
  expect_fits("fields", fields);
  expect_fits("attributes", attributes);
  expect_fits("texts", texts);
  expect_fits("short texts", Json{{"texts", short_texts}});
  Json deep{{"bottom", 1}};
  for (int i = 0; i < 50; ++i) deep = Json{{"g", std::move(deep)}};
  expect_fits("deep", Json{{"deep", deep}});
}

// Foreign sidecars: a header or an error, never one that is not as foretold.
TEST_F(NexusFaceTest, ChangedSidecarsAreAHeaderOrAnError) {
  testing_support::SyntheticOptions options;
  options.calibrated = true;
  Write(options);
  const auto original = ReadWholeFile(root_ / "scan/nexus.json", 1 << 20);
  ASSERT_TRUE(original.ok());
  constexpr std::string_view kPieces[] = {
      "\"", "/", "0",    "-1", "1e999", "null", "[]", "{}", "@", ">",  ".",
      ",",  ":", "true", "[",  "]",     "{",    "}",  "a",  " ", "..", "18446744073709551615"};
  std::mt19937 random(7);
  int headers = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string text = *original;
    for (unsigned change = random() % 3; change < 3; ++change) {
      text.replace(random() % text.size(), random() % 4, kPieces[random() % std::size(kPieces)]);
    }
    const auto dataset = Dataset::FromNexusJson(root_ / "scan", text);
    if (!dataset.ok()) continue;
    const auto header = MakeNexusFaceHeader(dataset->nexus(), dataset->shape());
    headers += header.ok() ? 1 : 0;
    if (!header.ok()) {
      EXPECT_NE(header.error().kind(), ErrorKind::kInternal) << header.error().ToString();
    }
  }
  EXPECT_GT(headers, 50);
}

TEST_F(NexusFaceTest, TreesThatCannotBeAFaceAreErrors) {
  const DatasetShape shape = Shape(2, 2, {2, 2});
  const auto kind_of = [&](const Json& tree) {
    const auto bytes = NexusFaceHeaderBytes(tree, shape);
    return bytes.ok() ? ErrorKind::kInternal : bytes.error().kind();
  };
  Json tree = Tree(shape);
  tree["entry1"].erase(">real");
  EXPECT_EQ(kind_of(tree), ErrorKind::kCorrupt);  // no frames
  tree = Tree(shape);
  tree["entry1"][">other"] = tree["entry1"][">real"];
  EXPECT_EQ(kind_of(tree), ErrorKind::kCorrupt);  // twice
  tree = Tree(shape);
  tree["entry1"][">real"]["shape"] = {2, 2, 2, 3};
  EXPECT_EQ(kind_of(tree), ErrorKind::kCorrupt);
  tree = Tree(shape);
  tree["entry1"][">real"]["dtype"] = "<u4";
  EXPECT_EQ(kind_of(tree), ErrorKind::kCorrupt);
  for (const Json& link :
       {Json(3), Json::object(), Json(nullptr), Json::array({1}),
        Json{{"dictdump_schema", "vds_urls_v1"}},
        Json{{"dictdump_schema", "external_binary_link_v1"}, {"shape", {-1}}, {"dtype", "<u2"}},
        Json{{"dictdump_schema", "external_binary_link_v1"},
             {"shape", {4}},
             {"dtype", "<u2"},
             {"sources", {{{"file_path", "../secret"}, {"offset", 0}, {"size", 8}}}}},
        Json{{"dictdump_schema", "external_binary_link_v1"},
             {"shape", {4}},
             {"dtype", "<u2"},
             {"sources", {{{"file_path", "array"}, {"offset", 0}, {"size", 9}}}}}}) {
    tree = Tree(shape);
    tree["entry1"][">array"] = link;
    EXPECT_EQ(kind_of(tree), ErrorKind::kCorrupt) << link.dump();
  }
  // A quarter of a GiB of arrays.
  tree = Tree(shape);
  tree["entry1"][">array"] = Json{
      {"dictdump_schema", "external_binary_link_v1"},
      {"shape", {kLargestNexusFaceHeader / 2}},
      {"dtype", "<u2"},
      {"sources", {{{"file_path", "array"}, {"offset", 0}, {"size", kLargestNexusFaceHeader}}}}};
  EXPECT_EQ(kind_of(tree), ErrorKind::kUnsupported);
  tree = Tree(shape);
  tree["entry1"]["@numbers"] = std::vector<int>(4000, 1);
  EXPECT_EQ(kind_of(tree), ErrorKind::kUnsupported);
  // What HDF5 refuses is an error, too.
  for (const Json& value : {Json(nullptr), Json::array({1, "a"}), Json::array({Json::object()})}) {
    tree = Tree(shape);
    tree["entry1"]["field"] = value;
    EXPECT_FALSE(MakeNexusFaceHeader(tree, shape).ok()) << value.dump();
  }
  tree = Tree(shape);
  tree["entry1"]["no such field@units"] = "m";
  EXPECT_FALSE(MakeNexusFaceHeader(tree, shape).ok());
}

}  // namespace
}  // namespace penstock
