#include "penstock/dataset/chunk_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "penstock/base/file.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kAbsent = std::numeric_limits<uint64_t>::max();

// 5 x 6 frames of 8 bytes in blocks of 2 rows and chunks of 3 frames; the last block has one row.
constexpr DatasetShape kShape{.scan = {.rows = 5, .columns = 6},
                              .signal = {.rows = 1, .columns = 4},
                              .element_type = ElementType::kUint16};
constexpr BlockGrid kGrid{
    .block_rows = 2, .block_columns = 6, .grid_rows = 3, .grid_columns = 1, .inner_columns = 3};

Result<ChunkIndex> Parse(int64_t block, uint64_t payload, const std::string& text) {
  return ChunkIndex::Parse(kShape, kGrid, block, payload + text.size(), AsBytes(text), "block");
}

TEST(ChunkIndex, SaysWhereChunksAre) {
  const std::string text = MakeChunkIndex(kShape, kGrid, 1, {10, 0, 7, 40});
  ASSERT_EQ(text.size(), ChunkIndexBytes(kGrid));
  ASSERT_EQ(text.size(), 4U * 16 + 4);
  uint64_t entries[8];
  std::memcpy(entries, text.data(), sizeof entries);
  EXPECT_THAT(entries, testing::ElementsAre(0, 10, kAbsent, kAbsent, 10, 7, 17, 40));
  const auto index = Parse(1, 57, text);
  ASSERT_TRUE(index.ok()) << index.error().ToString();
  EXPECT_EQ(index->chunk_count(), 4);
  EXPECT_EQ(index->chunk_bytes(), 24U);
  EXPECT_EQ(index->ChunkOfFrame(12), 0);
  EXPECT_EQ(index->ChunkOfFrame(23), 3);
  EXPECT_EQ(index->FramesOf(2), (FrameRange{18, 21}));
  EXPECT_EQ(index->begin(3), 17U);
  EXPECT_EQ(index->end(3), 57U);
  EXPECT_TRUE(index->is_absent(1));
  EXPECT_FALSE(index->is_absent(2));
  EXPECT_EQ(index->FramesOfExtent(0), (FrameRange{12, 24}));
  EXPECT_EQ(index->FramesOfExtent(1), FrameRange{});
}

TEST(ChunkIndex, TheLastBlockIsCut) {
  const std::string text = MakeChunkIndex(kShape, kGrid, 2, {5, 6});
  const auto index = Parse(2, 11, text);
  ASSERT_TRUE(index.ok()) << index.error().ToString();
  EXPECT_EQ(index->chunk_count(), 2);
  // A chunk beyond the scan would be pixels that nobody asked for.
  const auto whole = Parse(2, 14, MakeChunkIndex(kShape, kGrid, 0, {5, 6, 1, 2}));
  ASSERT_FALSE(whole.ok());
  EXPECT_THAT(whole.error().ToString(), HasSubstr("no chunk beyond the end of the scan"));
}

TEST(ChunkIndex, FramesOfExtents) {
  // Two chunks per extent and a half.
  const DatasetShape shape{.scan = {.rows = 1, .columns = 4},
                           .signal = {.rows = 2048, .columns = 1024},
                           .element_type = ElementType::kUint16};
  const BlockGrid grid{
      .block_rows = 1, .block_columns = 4, .grid_rows = 1, .grid_columns = 1, .inner_columns = 1};
  const std::string text = MakeChunkIndex(shape, grid, 0, {3 << 20, 3 << 20, 2 << 20, 100});
  const auto index =
      ChunkIndex::Parse(shape, grid, 0, (8 << 20) + 100 + text.size(), AsBytes(text), "");
  ASSERT_TRUE(index.ok()) << index.error().ToString();
  EXPECT_EQ(index->FramesOfExtent(0), (FrameRange{0, 2}));
  EXPECT_EQ(index->FramesOfExtent(1), (FrameRange{1, 3}));
  EXPECT_EQ(index->FramesOfExtent(2), (FrameRange{3, 4}));
}

TEST(ChunkIndex, DamageIsFound) {
  const std::string right = MakeChunkIndex(kShape, kGrid, 0, {10, 20, 7, 40});
  ASSERT_TRUE(Parse(0, 77, right).ok());
  for (size_t at = 0; at < right.size(); ++at) {
    std::string wrong = right;
    wrong[at] = static_cast<char>(wrong[at] ^ 4);
    const auto index = Parse(0, 77, wrong);
    ASSERT_FALSE(index.ok());
    EXPECT_EQ(index.error().kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(index.error().ToString(), HasSubstr("CRC-32C"));
  }
  // A right checksum over what cannot be.
  const auto refused = [](size_t entry, uint64_t offset, uint64_t bytes, uint64_t payload) {
    std::string text = MakeChunkIndex(kShape, kGrid, 0, {10, 20, 7, 40});
    std::memcpy(text.data() + entry * 16, &offset, 8);
    std::memcpy(text.data() + entry * 16 + 8, &bytes, 8);
    const uint32_t checksum = Crc32c(text.data(), text.size() - 4);
    std::memcpy(text.data() + text.size() - 4, &checksum, 4);
    const auto index = Parse(0, payload, text);
    return index.ok() ? std::string() : index.error().ToString();
  };
  EXPECT_THAT(refused(1, 9, 20, 77),
              HasSubstr("block: offset 93: the index of the compressed block "
                        "is damaged; expected offset 10, 1 to 40 bytes, "
                        "found offset 9, 20 bytes"));
  EXPECT_THAT(refused(1, 10, 0, 77), HasSubstr("found offset 10, 0 bytes"));
  EXPECT_THAT(refused(1, 10, 41, 77), HasSubstr("found offset 10, 41 bytes"));
  EXPECT_THAT(refused(3, 37, 1 << 20, 77), HasSubstr("found offset 37, 1048576 bytes"));
  EXPECT_THAT(refused(3, kAbsent, 5, 77), HasSubstr("bytes"));
  EXPECT_THAT(refused(3, 37, 39, 77), HasSubstr("chunks of 77 bytes"));
  EXPECT_THAT(Parse(0, 77, right.substr(1)).error().ToString(), HasSubstr("an index of 68 bytes"));
  EXPECT_THAT(Parse(0, 77, "").error().ToString(), HasSubstr("an index of 68 bytes"));
}

}  // namespace
}  // namespace penstock
