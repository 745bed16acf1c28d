#include "penstock/dataset/block_layout.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "penstock/base/file.h"

namespace penstock {
namespace {

hid_t Hdf5Type(ElementType type) {
  switch (type) {
    case ElementType::kUint8:
      return H5Tcopy(H5T_STD_U8LE);
    case ElementType::kInt8:
      return H5Tcopy(H5T_STD_I8LE);
    case ElementType::kUint16:
      return H5Tcopy(H5T_STD_U16LE);
    case ElementType::kInt16:
      return H5Tcopy(H5T_STD_I16LE);
    case ElementType::kUint32:
      return H5Tcopy(H5T_STD_U32LE);
    case ElementType::kInt32:
      return H5Tcopy(H5T_STD_I32LE);
    case ElementType::kUint64:
      return H5Tcopy(H5T_STD_U64LE);
    case ElementType::kInt64:
      return H5Tcopy(H5T_STD_I64LE);
    case ElementType::kFloat32:
      return H5Tcopy(H5T_IEEE_F32LE);
    case ElementType::kFloat64:
      return H5Tcopy(H5T_IEEE_F64LE);
    case ElementType::kComplex64:
    case ElementType::kComplex128: {
      const size_t size = ElementSize(type);
      const hid_t part = size == 8 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE;
      const hid_t complex = H5Tcreate(H5T_COMPOUND, size);
      H5Tinsert(complex, "r", 0, part);
      H5Tinsert(complex, "i", size / 2, part);
      return complex;
    }
  }
  return -1;
}

// The first 65536 bytes of the file that libhdf5 itself makes of the same dataset.
std::string HeadByLibhdf5(const DatasetShape& shape, const BlockRegion& region) {
  const std::string path = testing::TempDir() + "penstock_head_" + std::to_string(getpid()) + ".h5";
  std::vector<hsize_t> extents;
  if (!shape.scan.is_series) extents.push_back(region.row_count);
  extents.push_back(region.column_count);
  extents.push_back(shape.signal.rows);
  extents.push_back(shape.signal.columns);

  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  H5Pset_meta_block_size(access, kPayloadStart);  // the head's room is the first metadata block
  const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_obj_track_times(creation, false);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access);
  const hid_t options = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_layout(options, H5D_CONTIGUOUS);
  H5Pset_alloc_time(options, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(options, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(options, false);
  const hid_t type = Hdf5Type(shape.element_type);
  const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
  const hid_t dataset = H5Dcreate2(file, "real", type, space, H5P_DEFAULT, options, H5P_DEFAULT);
  EXPECT_EQ(H5Dget_offset(dataset), kPayloadStart);
  H5Dclose(dataset);
  H5Sclose(space);
  H5Tclose(type);
  H5Pclose(options);
  H5Pclose(creation);
  H5Pclose(access);
  H5Fclose(file);

  std::string head(kPayloadStart, '\0');
  auto fd = OpenFile(path, O_RDONLY);
  EXPECT_TRUE(fd.ok());
  EXPECT_TRUE(ReadFully(fd->get(), 0, std::as_writable_bytes(std::span(head)), path).ok());
  std::filesystem::remove(path);
  return head;
}

void ExpectSameHead(const DatasetShape& shape, const BlockRegion& region) {
  const std::string expected = HeadByLibhdf5(shape, region);
  const std::string head = MakeBlockHead(shape, region);
  ASSERT_EQ(head.size(), kPayloadStart);
  for (size_t i = 0; i < head.size(); ++i) {
    ASSERT_EQ(static_cast<int>(static_cast<unsigned char>(head[i])),
              static_cast<int>(static_cast<unsigned char>(expected[i])))
        << "byte " << i << ", " << ZarrDataType(shape.element_type);
  }
}

TEST(BlockHeadTest, IsWhatLibhdf5Writes) {
  struct Case {
    int64_t block_rows, block_columns, rows, columns;
  };
  for (const Case& c : {Case{5, 25, 25, 25}, Case{16, 512, 12, 130}, Case{1, 1024, 5, 515},
                        Case{3, 7, 40, 96}, Case{1, 1, 1, 1}, Case{8, 32, 64, 64}}) {
    for (const bool is_series : {false, true}) {
      if (is_series && c.block_rows != 1) continue;
      const DatasetShape shape{
          .scan = {.rows = c.block_rows, .columns = c.block_columns, .is_series = is_series},
          .signal = {.rows = c.rows, .columns = c.columns},
          .element_type = ElementType::kUint16};
      ExpectSameHead(shape, {.first_row = 0,
                             .row_count = c.block_rows,
                             .first_column = 0,
                             .column_count = c.block_columns,
                             .first_frame = 0});
    }
  }
}

TEST(BlockHeadTest, IsWhatLibhdf5WritesForEveryElementType) {
  for (int type = 0; type <= static_cast<int>(ElementType::kComplex128); ++type) {
    const DatasetShape shape{.scan = {.rows = 2, .columns = 3},
                             .signal = {.rows = 16, .columns = 8},
                             .element_type = static_cast<ElementType>(type)};
    ExpectSameHead(
        shape,
        {.first_row = 0, .row_count = 2, .first_column = 0, .column_count = 3, .first_frame = 0});
  }
}

TEST(Crc32cTest, CheckValueOfTheCatalogue) {
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283U);  // RFC 3720 and the CRC catalogue
  const std::string zeros(32, '\0');
  EXPECT_EQ(Crc32c(zeros.data(), zeros.size()), 0x8a9136aaU);  // RFC 3720, B.4
  const std::string ones(32, '\xff');
  EXPECT_EQ(Crc32c(ones.data(), ones.size()), 0x62a8ab43U);
}

// 5 rows of 6 frames of 24 bytes; blocks of 2 rows, inner chunks of 6 frames.
constexpr BlockGrid kGrid{
    .block_rows = 2, .block_columns = 6, .grid_rows = 3, .grid_columns = 1, .inner_columns = 3};
constexpr DatasetShape kShape{.scan = {.rows = 5, .columns = 6},
                              .signal = {.rows = 3, .columns = 4},
                              .element_type = ElementType::kUint16};

uint64_t Word(const std::string& bytes, size_t index) {
  uint64_t word;
  std::memcpy(&word, bytes.data() + 8 * index, sizeof word);
  return word;
}

TEST(BlockLayoutTest, PlacesPayloadAndIndex) {
  const BlockLayout layout = BlockLayout::Of(kShape, kGrid, 2);  // the last one, one row
  EXPECT_EQ(layout.payload_bytes, 144U);
  EXPECT_EQ(layout.index_start, 65536U + 4096);
  EXPECT_EQ(layout.index_entries, 4U);  // of the full block shape
  EXPECT_EQ(layout.file_bytes, 65536U + 4096 + 4 * 16 + 4);
  EXPECT_EQ(layout.extent_count(), 1);
  EXPECT_EQ(layout.extent_bytes(0), layout.file_bytes);
  EXPECT_EQ(layout.FramesOfExtent(0), (FrameRange{24, 30}));
}

TEST(ShardIndexTest, MarksAbsentChunksAndChecksItself) {
  std::vector<bool> present(12, true);
  present[3] = present[4] = present[5] = false;  // the whole second chunk
  present[6] = false;                            // a part of the third
  const std::string index = MakeShardIndex(kShape, kGrid, 0, present);
  ASSERT_EQ(index.size(), 4 * 16 + 4U);
  EXPECT_EQ(Word(index, 0), 65536U);
  EXPECT_EQ(Word(index, 1), 72U);
  EXPECT_EQ(Word(index, 2), ~uint64_t{0});
  EXPECT_EQ(Word(index, 3), ~uint64_t{0});
  EXPECT_EQ(Word(index, 4), 65536U + 6 * 24);
  EXPECT_EQ(Word(index, 5), 72U);
  EXPECT_EQ(Word(index, 6), 65536U + 9 * 24);
  uint32_t checksum;
  std::memcpy(&checksum, index.data() + 64, 4);
  EXPECT_EQ(checksum, Crc32c(index.data(), 64));
}

TEST(ShardIndexTest, RowsBeyondTheScanAreAbsent) {
  const std::string index = MakeShardIndex(kShape, kGrid, 2, std::vector<bool>(6, true));
  EXPECT_EQ(Word(index, 2), 65536U + 72);
  for (size_t word = 4; word < 8; ++word) EXPECT_EQ(Word(index, word), ~uint64_t{0});
}

TEST(BlockLayoutTest, FramesOfAnExtentAcrossItsBorders) {
  // Frames of 1 MiB + 2 bytes: no border of an extent is a border of a frame.
  const DatasetShape shape{.scan = {.rows = 3, .columns = 8},
                           .signal = {.rows = 1, .columns = (1 << 19) + 1},
                           .element_type = ElementType::kUint16};
  const BlockGrid grid{
      .block_rows = 1, .block_columns = 8, .grid_rows = 3, .grid_columns = 1, .inner_columns = 1};
  const BlockLayout layout = BlockLayout::Of(shape, grid, 1);
  ASSERT_EQ(layout.extent_count(), 3);
  EXPECT_EQ(layout.FramesOfExtent(0), (FrameRange{8, 12}));
  EXPECT_EQ(layout.FramesOfExtent(1), (FrameRange{11, 16}));
  EXPECT_EQ(layout.FramesOfExtent(2), (FrameRange{15, 16}));
  // Independent of the formula: a frame belongs to an extent if one of its bytes does.
  for (int64_t extent = 0; extent < 3; ++extent) {
    FrameRange range{-1, -1};
    for (int64_t frame = 0; frame < 8; ++frame) {
      const auto first = static_cast<int64_t>(kPayloadStart + frame * shape.frame_bytes());
      const auto last = first + static_cast<int64_t>(shape.frame_bytes()) - 1;
      if (last / (4 << 20) < extent || first / (4 << 20) > extent) continue;
      if (range.first < 0) range.first = 8 + frame;
      range.last = 8 + frame + 1;
    }
    EXPECT_EQ(layout.FramesOfExtent(extent), range) << extent;
  }
}

}  // namespace
}  // namespace penstock
