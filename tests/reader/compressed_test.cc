// The reader on compressed blocks: the numbers of the plain dataset whatever the partitions, each
// extent verified once, damage with its place.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "penstock/base/file.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"
#include "reader/io/residency_probe.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Three blocks of 50 frames of 300 x 401 pixels of two bytes, which do not compress below several
// extents; some frames are lost, one chunk of them alone.
class CompressedTest : public testing::TestWithParam<Compression> {
 protected:
  CompressedTest() : root_(fs::temp_directory_path() / ("compressed-" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    options_.shape = {{15, 10, false}, {300, 401}, ElementType::kUint16};
    options_.block_bytes = 50 * options_.shape.frame_bytes();
    options_.missing = {0, 77, 78, 149};
    Write("plain", Compression::kNone);
    Write("packed", GetParam());
  }
  ~CompressedTest() override { fs::remove_all(root_); }

  void Write(const char* name, Compression compression) {
    options_.compression = compression;
    const Status written = testing_support::WriteSyntheticDataset(root_ / name, options_);
    EXPECT_TRUE(written.ok()) << written.error().ToString();
  }

  Reader Open(const char* name, bool verify = true, Backend backend = Backend::kPread,
              size_t buffer_bytes = size_t{4} << 20) const {
    ReadOptions options;
    options.verify = verify;
    options.backend = backend;
    options.buffer_bytes = buffer_bytes;
    options.request_bytes = std::min(options.request_bytes, buffer_bytes);
    auto reader = Reader::Open(root_ / name, options);
    EXPECT_TRUE(reader.ok()) << reader.error().ToString();
    return std::move(reader).value();
  }

  struct Outcome {
    std::vector<int64_t> sums;
    Result<PassSummary> summary;
  };
  static Outcome Run(const Reader& reader, int threads, uint64_t partition_bytes,
                     std::vector<uint8_t> selection = {}) {
    SumReduction sum;
    Reduction* const reductions[] = {&sum};
    PassOptions options;
    options.threads = threads;
    options.partition_bytes = partition_bytes;
    options.selection = std::move(selection);
    auto summary = reader.Run(reductions, options);
    std::vector<int64_t> sums;
    if (summary.ok()) {
      sums = sum.result().integers();
    }
    return {std::move(sums), std::move(summary)};
  }

  uint64_t ExtentCount() const {
    uint64_t extents = 0;
    const auto dataset = Dataset::Open(root_ / "packed");
    for (const BlockInfo& block : dataset->blocks()) {
      extents += (block.bytes + kExtentBytes - 1) / kExtentBytes;
    }
    return extents;
  }

  const fs::path root_;
  testing_support::SyntheticOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Codecs, CompressedTest,
                         testing::Values(Compression::kLz4, Compression::kZstd),
                         [](const auto& name) { return std::string(CompressionName(name.param)); });

TEST_P(CompressedTest, SameSumsWhateverThePartitions) {
  const Outcome plain = Run(Open("plain"), 1, uint64_t{64} << 20);
  ASSERT_TRUE(plain.summary.ok());
  for (const uint64_t partition : {uint64_t{1}, uint64_t{1'000'000}, uint64_t{64} << 20}) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(std::to_string(partition) + " " + std::to_string(threads));
      const Reader reader = Open("packed");
      const Outcome packed = Run(reader, threads, partition);
      ASSERT_TRUE(packed.summary.ok()) << packed.summary.error().ToString();
      EXPECT_EQ(packed.sums, plain.sums);
      EXPECT_EQ(packed.summary->bytes, plain.summary->bytes);
      EXPECT_EQ(packed.summary->partitions_pread, packed.summary->partitions);
      EXPECT_EQ(packed.summary->extents_verified, static_cast<int64_t>(ExtentCount()));
      EXPECT_EQ(Run(reader, threads, partition).summary->extents_verified, 0);
    }
  }
}

// Chunks of direct reads have no boundary in common with those of frames.
TEST_P(CompressedTest, SameSumsPastThePageCache) {
  const Outcome plain = Run(Open("plain"), 1, uint64_t{64} << 20);
  for (const size_t buffer : {size_t{8192}, size_t{250'000}, size_t{4} << 20}) {
    for (const uint64_t partition : {uint64_t{1'000'000}, uint64_t{64} << 20}) {
      SCOPED_TRACE(std::to_string(buffer) + " " + std::to_string(partition));
      const Reader reader = Open("packed", true, Backend::kDirect, buffer);
      const Outcome packed = Run(reader, 2, partition);
      ASSERT_TRUE(packed.summary.ok()) << packed.summary.error().ToString();
      EXPECT_EQ(packed.sums, plain.sums);
      EXPECT_EQ(packed.summary->partitions_direct, packed.summary->partitions);
      EXPECT_EQ(packed.summary->extents_verified, static_cast<int64_t>(ExtentCount()));
      std::vector<uint8_t> selection(150);
      for (size_t frame = 3; frame < selection.size(); frame += 17) selection[frame] = 1;
      EXPECT_EQ(Run(reader, 2, partition, selection).sums,
                Run(Open("plain"), 1, partition, selection).sums);
    }
  }
}

TEST_P(CompressedTest, WhatIsNotInThePageCacheIsReadPastIt) {
  const auto dataset = Dataset::Open(root_ / "packed");
  const auto cached = [&] { return Run(Open("packed", true, Backend::kAutomatic), 1, 1'000'000); };
  ASSERT_TRUE(Run(Open("packed"), 1, 1'000'000).summary.ok());  // brings it there
  EXPECT_EQ(cached().summary->partitions_direct, 0);
  for (const BlockInfo& block : dataset->blocks()) {
    const auto fd = OpenFile(root_ / "packed" / block.relative_path, O_RDONLY);
    ASSERT_EQ(fdatasync(fd->get()), 0);
    ASSERT_EQ(posix_fadvise(fd->get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  }
  const auto fd = OpenFile(root_ / "packed" / dataset->blocks()[0].relative_path, O_RDONLY);
  if (ResidencyProbe().Share(fd->get(), 0, dataset->blocks()[0].bytes) != 0) {
    GTEST_SKIP() << "this file system keeps what it is told to drop";
  }
  const Outcome cold = cached();
  EXPECT_EQ(cold.summary->partitions_direct, cold.summary->partitions);
  EXPECT_EQ(cold.sums, Run(Open("plain"), 1, 1'000'000).sums);
}

TEST_P(CompressedTest, SameSumsOfAPartOfTheScan) {
  std::vector<uint8_t> selection(150);
  for (size_t frame = 0; frame < selection.size(); ++frame) {
    selection[frame] = frame % 13 == 5 || (frame > 90 && frame < 99) ? 1 : 0;
  }
  for (const uint64_t partition : {uint64_t{1}, uint64_t{64} << 20}) {
    const Outcome plain = Run(Open("plain"), 2, partition, selection);
    const Outcome packed = Run(Open("packed"), 2, partition, selection);
    ASSERT_TRUE(packed.summary.ok()) << packed.summary.error().ToString();
    EXPECT_EQ(packed.sums, plain.sums);
    EXPECT_EQ(packed.summary->frames, plain.summary->frames);
  }
}

TEST_P(CompressedTest, FramesOneByOne) {
  const Reader plain = Open("plain");
  const Reader packed = Open("packed");
  for (const int64_t frame : {1, 49, 50, 99, 100, 148}) {
    const auto pixels = packed.ReadFrame(frame);
    ASSERT_TRUE(pixels.ok()) << pixels.error().ToString();
    EXPECT_EQ(*pixels, *plain.ReadFrame(frame)) << frame;
  }
  EXPECT_EQ(packed.ReadFrame(77).error().kind(), ErrorKind::kNotFound);
}

TEST_P(CompressedTest, DamageHasAPlace) {
  const auto dataset = Dataset::Open(root_ / "packed");
  const BlockInfo& block = dataset->blocks()[1];
  const fs::path path = root_ / "packed" / block.relative_path;
  const auto flip = [&path](uint64_t offset) {
    fs::permissions(path, fs::perms::owner_all);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 4));
  };
  const auto fd = OpenFile(path, O_RDONLY);
  const auto index =
      ChunkIndex::Read(fd->get(), dataset->shape(), dataset->grid(), 1, block.bytes, path);
  ASSERT_TRUE(index.ok());
  const FrameRange last = index->FramesOfExtent(static_cast<int64_t>(block.bytes / kExtentBytes));
  struct Case {
    uint64_t offset;
    bool verify;
    std::string text;
  };
  const Case cases[] = {
      {100, true, "frames 50-"},
      {3, false, "offset 0, frames 50-50"},
      {index->begin(3) + 12, false, "offset " + std::to_string(index->begin(3)) + ", frames 53-53"},
      {index->end(49) - 3, true, "-" + std::to_string(last.last - 1)},
      {block.bytes - 2, true, "CRC-32C"},
      {block.bytes - 30, false, "CRC-32C"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.text);
    flip(each.offset);
    for (const int threads : {1, 2}) {
      const Outcome outcome = Run(Open("packed", each.verify), threads, 1'000'000);
      ASSERT_FALSE(outcome.summary.ok());
      EXPECT_EQ(outcome.summary.error().kind(), ErrorKind::kCorrupt);
      EXPECT_THAT(outcome.summary.error().ToString(), HasSubstr(path.string()));
      EXPECT_THAT(outcome.summary.error().ToString(), HasSubstr(each.text));
    }
    flip(each.offset);
  }
  EXPECT_TRUE(Run(Open("packed"), 1, 1'000'000).summary.ok());
}

}  // namespace
}  // namespace penstock
