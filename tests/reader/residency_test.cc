// How the reader finds out what is in memory, and what it keeps mapped.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/page_cache.h"
#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"
#include "reader/io/mapped_blocks.h"
#include "reader/io/residency_probe.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytes = uint64_t{16} << 20;

void Evict(const fs::path& path) {
  const auto file = OpenFile(path, O_RDONLY);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(fsync(file->get()), 0);
  ASSERT_EQ(posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED), 0);
}

class FileOfPages : public testing::Test {
 protected:
  FileOfPages() : path_(fs::temp_directory_path() / ("residency-" + std::to_string(getpid()))) {
    Write(path_, 1);
  }
  ~FileOfPages() override { fs::remove(path_); }

  static void Write(const fs::path& path, int value) {
    auto file = OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(file.ok());
    const std::vector<std::byte> bytes(kBytes, static_cast<std::byte>(value));
    ASSERT_TRUE(WriteFully(file->get(), 0, bytes, path).ok());
  }

  FileDescriptor Open() const { return OpenFile(path_, O_RDONLY).value(); }
  FileIdentity Identity() const { return IdentifyFile(path_).value(); }

  const fs::path path_;
};

TEST_F(FileOfPages, AProbeTellsWhatIsInMemory) {
  const FileDescriptor file = Open();
  ResidencyProbe probe;
  EXPECT_EQ(probe.Share(file.get(), 0, kBytes), 1);
  EXPECT_EQ(probe.Share(file.get(), kBytes, kBytes), 1);
  Evict(path_);
  // Nor is it brought in by having been asked for, time and again.
  for (int i = 0; i < 50; ++i) EXPECT_LT(probe.Share(file.get(), 0, kBytes), 0.7);
  if (const auto cached = CachedBytes(file.get(), 0, kBytes)) {
    EXPECT_EQ(*cached, 0u);
  }
}

// As on kernels that do not count: what was asked for comes in, and no more than that.
TEST_F(FileOfPages, AProbeOfSomePagesBringsInThoseAlone) {
  const FileDescriptor file = Open();
  ResidencyProbe probe(/*may_count=*/false);
  EXPECT_EQ(probe.Share(file.get(), 0, kBytes), 1);
  Evict(path_);
  constexpr int kTimes = 50;
  for (int i = 0; i < kTimes; ++i) EXPECT_LT(probe.Share(file.get(), 0, kBytes), 0.7);
  if (const auto cached = CachedBytes(file.get(), 0, kBytes)) {
    EXPECT_LE(*cached, uint64_t{kTimes} * 16 * 4096);
  }
  EXPECT_LT(ResidencyProbe(/*may_count=*/false).Share(-1, 0, kBytes), 0);
}

TEST_F(FileOfPages, ABlockIsMappedOnce) {
  MappedBlocks blocks;
  const FileDescriptor file = Open();
  const auto first = blocks.Get(3, file.get(), Identity(), path_);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(blocks.Get(3, file.get(), Identity(), path_), first);
  EXPECT_NE(blocks.Get(4, file.get(), Identity(), path_), first);
  EXPECT_EQ(blocks.Get(5, /*fd=*/-1, Identity(), path_), nullptr);
}

TEST_F(FileOfPages, AReplacedFileIsMappedAnew) {
  MappedBlocks blocks;
  const FileDescriptor before = Open();
  const auto first = blocks.Get(0, before.get(), Identity(), path_);
  ASSERT_NE(first, nullptr);
  const fs::path other = path_.string() + ".new";
  Write(other, 2);
  fs::rename(other, path_);
  const FileDescriptor after = Open();
  const auto second = blocks.Get(0, after.get(), Identity(), path_);
  ASSERT_NE(second, nullptr);
  EXPECT_NE(second, first);
  ASSERT_TRUE(first->Bring(0, kBytes).ok());
  ASSERT_TRUE(second->Bring(0, kBytes).ok());
  EXPECT_EQ(first->data()[kBytes - 1], std::byte{1});
  EXPECT_EQ(second->data()[kBytes - 1], std::byte{2});
}

TEST_F(FileOfPages, PagesThatWentAreBroughtAgain) {
  MappedBlocks blocks;
  const FileDescriptor file = Open();
  const auto block = blocks.Get(0, file.get(), Identity(), path_);
  ASSERT_NE(block, nullptr);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(block->Bring(4096, kBytes - 1).ok());
    EXPECT_EQ(block->ResidentShare(4096, kBytes - 1), 1);
    Evict(path_);
  }
}

// A file that became shorter while it is mapped: an error, no signal.
TEST_F(FileOfPages, WhatIsGoneIsAnError) {
  MappedBlocks blocks;
  const FileDescriptor file = Open();
  const auto block = blocks.Get(0, file.get(), Identity(), path_);
  ASSERT_NE(block, nullptr);
  ASSERT_TRUE(block->Bring(0, kBytes).ok());
  fs::resize_file(path_, kBytes / 2);
  const Status gone = block->Bring(0, kBytes);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().file(), path_.string());
}

class PassesOverKeptBlocks : public testing::TestWithParam<bool> {};

// The results of passes that find the pages in memory, partly, or not at all.
TEST_P(PassesOverKeptBlocks, AreTheSame) {
  const fs::path directory = fs::temp_directory_path() / ("kept-" + std::to_string(getpid()));
  fs::remove_all(directory);
  testing_support::SyntheticOptions options;
  options.shape = {{16, 16, false}, {128, 130}, ElementType::kUint16};
  options.block_bytes = 100 * options.shape.frame_bytes();
  ASSERT_TRUE(testing_support::WriteSyntheticDataset(directory, options).ok());
  ReadOptions read;
  read.keep_mapped = GetParam();
  const auto reader = Reader::Open(directory, read);
  ASSERT_TRUE(reader.ok());
  ResultArray expected;
  for (int pass = 0; pass < 4; ++pass) {
    SumReduction sum;
    Reduction* const reductions[] = {&sum};
    PassOptions options_of_pass;
    options_of_pass.threads = 2;
    options_of_pass.partition_bytes = 1'000'000;
    const auto summary = reader->Run(reductions, options_of_pass);
    ASSERT_TRUE(summary.ok()) << summary.error().ToString();
    if (pass == 0) expected = sum.result();
    EXPECT_EQ(sum.result().values, expected.values);
    if (pass == 1) Evict(directory / reader->dataset().blocks()[1].relative_path);
  }
  fs::remove_all(directory);
}
INSTANTIATE_TEST_SUITE_P(Kept, PassesOverKeptBlocks, testing::Bool());

}  // namespace
}  // namespace penstock
