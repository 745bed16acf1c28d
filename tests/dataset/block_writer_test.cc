#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/dataset_writer.h"

namespace penstock {
namespace {

// A folder that is removed at the end of the test, on a file system with direct I/O where the
// working directory has one (TMPDIR often does not).
class BlockWriterTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::path(GetParam()) / ("penstock_block_writer_" + std::to_string(getpid()));
    std::error_code code;
    std::filesystem::create_directories(directory_, code);
    if (code) GTEST_SKIP() << GetParam() << " cannot be written to";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
};

DatasetShape Shape(int64_t frames, int64_t pixels, ElementType type) {
  return {.scan = {.rows = 1, .columns = frames},
          .signal = {.rows = 1, .columns = pixels},
          .element_type = type};
}

BlockGrid OneBlock(const DatasetShape& shape) {
  return {.block_rows = 1,
          .block_columns = shape.scan.columns,
          .grid_rows = 1,
          .grid_columns = 1,
          .inner_columns = 1};
}

std::byte ByteOf(int64_t frame, size_t offset) {
  return static_cast<std::byte>((frame * 131 + static_cast<int64_t>(offset) * 7 + offset / 253) &
                                0xff);
}

// Writes one block frame by frame (missing where told) and checks every byte, every hash, the mode
// and the absence of .part.
void WriteAndCheck(const std::filesystem::path& directory, const DatasetShape& shape,
                   int64_t tile_frames, const std::vector<bool>& present) {
  const BlockGrid grid = OneBlock(shape);
  const size_t frame_bytes = shape.frame_bytes();
  const int64_t frames = shape.frame_count();
  {
    auto writer = BlockWriter::Create(directory, shape, grid, 0, tile_frames);
    ASSERT_TRUE(writer.ok()) << writer.error().ToString();
    for (int64_t first = 0; first < frames;) {
      int64_t last = first + 1;
      while (last < frames && present[last] == present[first] &&
             (!present[first] || last - first < tile_frames)) {
        ++last;
      }
      if (present[first]) {
        const std::span<std::byte> buffer = writer->FrameBuffer(last - first);
        ASSERT_EQ(buffer.size(), frame_bytes * static_cast<size_t>(last - first));
        for (size_t i = 0; i < buffer.size(); ++i) {
          buffer[i] = ByteOf(first + static_cast<int64_t>(i / frame_bytes), i % frame_bytes);
        }
        ASSERT_TRUE(writer->Append(last - first).ok());
      } else {
        ASSERT_TRUE(writer->AppendMissing(last - first).ok());
      }
      first = last;
    }
    auto record = writer->Finish();
    ASSERT_TRUE(record.ok()) << record.error().ToString();

    const std::filesystem::path path = directory / BlockRelativePath(shape, grid, 0);
    const BlockLayout layout = BlockLayout::Of(shape, grid, 0);
    std::ifstream stream(path, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
    ASSERT_EQ(bytes.size(), layout.file_bytes);
    EXPECT_EQ(record->bytes, bytes.size());
    EXPECT_EQ(bytes.substr(0, kPayloadStart), MakeBlockHead(shape, layout.region));
    for (int64_t frame = 0; frame < frames; ++frame) {
      for (size_t i = 0; i < frame_bytes; ++i) {
        const std::byte expected = present[frame] ? ByteOf(frame, i) : std::byte{0};
        ASSERT_EQ(static_cast<std::byte>(
                      bytes[kPayloadStart + static_cast<size_t>(frame) * frame_bytes + i]),
                  expected)
            << "frame " << frame << " byte " << i;
      }
    }
    EXPECT_EQ(bytes.substr(layout.index_start), MakeShardIndex(shape, grid, 0, present));
    EXPECT_EQ(record->checksum, HashBytes(AsBytes(bytes)));
    ASSERT_EQ(record->extent_checksum.size(), static_cast<size_t>(layout.extent_count()));
    for (int64_t extent = 0; extent < layout.extent_count(); ++extent) {
      EXPECT_EQ(record->extent_checksum[extent],
                HashExtent(AsBytes(bytes).subspan(static_cast<size_t>(extent) * kExtentBytes,
                                                  layout.extent_bytes(extent))));
    }
    struct stat status {};
    ASSERT_EQ(stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0444U);
    EXPECT_FALSE(std::filesystem::exists(path.string() + ".part"));
    std::filesystem::remove_all(directory / "data.zarr");
  }
}

TEST_P(BlockWriterTest, FramesOfAwkwardSizes) {
  WriteAndCheck(directory_, Shape(40, 515 * 515, ElementType::kUint16), 3,
                std::vector<bool>(40, true));
  WriteAndCheck(directory_, Shape(2000, 4095, ElementType::kUint16), 64,
                std::vector<bool>(2000, true));
  WriteAndCheck(directory_, Shape(3, 1, ElementType::kUint8), 2, std::vector<bool>(3, true));
}

TEST_P(BlockWriterTest, FramesLargerThanAnExtent) {
  WriteAndCheck(directory_, Shape(2, 15 << 20, ElementType::kUint16), 1,
                std::vector<bool>(2, true));
}

TEST_P(BlockWriterTest, MissingFramesAnywhere) {
  for (const int64_t pixels : {4095, 4096, 100, 515 * 515}) {
    const int64_t frames = pixels > 100000 ? 30 : 400;
    for (const int pattern : {0, 1, 2, 3, 4}) {
      std::vector<bool> present(static_cast<size_t>(frames), true);
      for (int64_t frame = 0; frame < frames; ++frame) {
        present[frame] = pattern == 0   ? frame % 7 != 3
                         : pattern == 1 ? frame % 2 == 1
                         : pattern == 2 ? frame > frames / 2
                         : pattern == 3 ? frame < frames / 3
                                        : false;
      }
      WriteAndCheck(directory_, Shape(frames, pixels, ElementType::kUint16), 5, present);
      if (testing::Test::HasFatalFailure()) FAIL() << pixels << " pixels, pattern " << pattern;
    }
  }
}

TEST_P(BlockWriterTest, AMissingFrameTakesNoRoom) {
  const DatasetShape shape = Shape(64, 1 << 20, ElementType::kUint8);
  auto writer = BlockWriter::Create(directory_, shape, OneBlock(shape), 0, 1);
  ASSERT_TRUE(writer.ok());
  std::memset(writer->FrameBuffer(1).data(), 1, 1 << 20);
  ASSERT_TRUE(writer->Append(1).ok());
  ASSERT_TRUE(writer->AppendMissing(63).ok());
  ASSERT_TRUE(writer->Finish().ok());
  struct stat status {};
  ASSERT_EQ(stat((directory_ / "data.zarr/real/c/0/0/0/0").c_str(), &status), 0);
  EXPECT_GT(status.st_size, 64 << 20);
  EXPECT_LT(status.st_blocks * 512, 2 << 20);
}

TEST_P(BlockWriterTest, AnUnfinishedBlockLeavesNothing) {
  const DatasetShape shape = Shape(4, 1 << 20, ElementType::kUint8);
  {
    auto writer = BlockWriter::Create(directory_, shape, OneBlock(shape), 0, 2);
    ASSERT_TRUE(writer.ok());
    EXPECT_TRUE(std::filesystem::exists(directory_ / "data.zarr/real/c/0/0/0/0.part"));
    std::memset(writer->FrameBuffer(2).data(), 1, 2 << 20);
    ASSERT_TRUE(writer->Append(2).ok());
    const auto record = writer->Finish();
    ASSERT_FALSE(record.ok());
    EXPECT_EQ(record.error().expected(), "4 frames");
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "data.zarr/real/c/0/0/0"));
}

TEST_P(BlockWriterTest, AFailingDiskIsAnErrorAndLeavesNothing) {
  const DatasetShape shape = Shape(64, 1 << 20, ElementType::kUint8);
  struct rlimit before {};
  getrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = before;
  limit.rlim_cur = 16 << 20;  // the write fails with EFBIG
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  {
    auto writer = BlockWriter::Create(directory_, shape, OneBlock(shape), 0, 1);
    ASSERT_TRUE(writer.ok());
    Status status;
    for (int frame = 0; frame < 64 && status.ok(); ++frame) {
      std::memset(writer->FrameBuffer(1).data(), frame, 1 << 20);
      status = writer->Append(1);
    }
    setrlimit(RLIMIT_FSIZE, &before);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().system_errno(), EFBIG);
    EXPECT_NE(status.error().file().find("data.zarr/real/c/0/0/0/0.part"), std::string::npos);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_ / "data.zarr/real/c/0/0/0"));
}

TEST_P(BlockWriterTest, RefusesABlockOutsideTheGrid) {
  const DatasetShape shape = Shape(4, 16, ElementType::kUint8);
  EXPECT_FALSE(BlockWriter::Create(directory_, shape, OneBlock(shape), 1, 1).ok());
  EXPECT_FALSE(BlockWriter::Create(directory_, shape, OneBlock(shape), -1, 1).ok());
}

// "." has direct I/O on most machines, /dev/shm (tmpfs) has not: both ways are tested.
INSTANTIATE_TEST_SUITE_P(FileSystems, BlockWriterTest, testing::Values(".", "/dev/shm"),
                         [](const auto& info) {
                           return info.param[0] == '.' ? std::string("working_directory")
                                                       : std::string("tmpfs");
                         });

}  // namespace
}  // namespace penstock
