// Files that are no blocks: their hashes are learned when they are fetched.

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <thread>

#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {
namespace {

constexpr char kPath[] = "notes/log.txt";

class FileReplicasTest : public CacheFixture {
 protected:
  std::shared_ptr<const BlockSource> AddFile(uint64_t bytes, int fill) {
    bytes_.assign(bytes, std::byte{static_cast<unsigned char>(fill)});
    for (uint64_t i = 0; i < bytes; i += 1000)
      bytes_[i] = std::byte{static_cast<uint8_t>(i / 1000)};
    upstream_->AddFile(kPath, bytes_);
    return MakeFileSource(kPath, IdentityOf(*upstream_->Stat(kPath)));
  }
  void ExpectBytes(const std::shared_ptr<const BlockSource>& file) {
    const auto read = Read(file, 0, file->file_bytes);
    ASSERT_TRUE(read.ok()) << read.error().ToString();
    EXPECT_TRUE(*read == bytes_);
  }
  void FlipByteOf(const BlockSource& file, uint64_t offset) {
    const std::filesystem::path path = directory_->BlockPath(file.id);
    struct stat before {};
    ASSERT_EQ(stat(path.c_str(), &before), 0);
    chmod(path.c_str(), 0600);
    {
      std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
      stream.seekp(static_cast<std::streamoff>(offset));
      stream.put(static_cast<char>(~static_cast<int>(bytes_[offset])));
    }
    chmod(path.c_str(), 0400);
    const timespec times[2] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  Bytes bytes_;
};

TEST_F(FileReplicasTest, FetchedOnceAndKeptAcrossARestart) {
  const auto file = AddFile(kExtentBytes + 12345, 7);
  Open();
  ExpectBytes(file);
  ASSERT_TRUE(WaitComplete(file).ok());
  EXPECT_EQ(counters_->fetched_file_bytes, file->file_bytes);
  EXPECT_EQ(counters_->fetched_bytes, 0U);
  EXPECT_EQ(cache_->OtherFiles().files, 1U);
  EXPECT_EQ(cache_->OtherFiles().bytes, file->file_bytes);
  EXPECT_EQ(cache_->block_count(), 0U);
  EXPECT_TRUE(cache_->Datasets().empty());
  Close();
  Open();
  EXPECT_EQ(cache_->OtherFiles().files, 1U);
  ExpectBytes(file);
  EXPECT_EQ(counters_->fetched_file_bytes, 0U);
  EXPECT_EQ(counters_->reverified_bytes, 0U);
}

TEST_F(FileReplicasTest, ChangedInTheStoreIsStaleAndNeverMixed) {
  const auto before = AddFile(2 * kExtentBytes, 1);
  Open();
  ASSERT_TRUE(Read(before, 0, 10).ok());
  const auto after = AddFile(2 * kExtentBytes, 2);
  ASSERT_NE(after->id, before->id);
  // What has been fetched is still there; the rest is gone with the state.
  const auto rest = Read(before, kExtentBytes, 10);
  if (!rest.ok()) {
    EXPECT_EQ(rest.error().system_errno(), ESTALE);
  } else {
    EXPECT_EQ((*rest)[5], std::byte{1});  // the fill was quicker
  }
  ExpectBytes(after);
}

TEST_F(FileReplicasTest, AnEarlierStateGoesWhenItsLastReaderHasClosedIt) {
  const auto before = AddFile(1000, 1);
  Open();
  cache_->Supersede(*before);
  ASSERT_TRUE(WaitComplete(before).ok());
  ReplicaPin open = cache_->Pin(before);
  const auto after = AddFile(1000, 2);
  cache_->Supersede(*after);
  ASSERT_TRUE(WaitComplete(after).ok());
  EXPECT_EQ(cache_->OtherFiles().files, 2U);
  EXPECT_EQ((*Read(before, 5, 1))[0], std::byte{1});
  open.reset();
  // The worker that completed it may hold it for a moment longer.
  while (cache_->OtherFiles().files > 1) std::this_thread::yield();
  while (std::filesystem::exists(directory_->BlockPath(before->id))) std::this_thread::yield();
  ExpectBytes(after);
  EXPECT_EQ(counters_->evicted_files, 1U);
}

TEST_F(FileReplicasTest, DamageOfTheReplicaIsNoticed) {
  const auto file = AddFile(2 * kExtentBytes, 1);
  Open();
  ASSERT_TRUE(WaitComplete(file).ok());
  FlipByteOf(*file, kExtentBytes + 77);  // the change time tells
  Close();
  Open();
  ExpectBytes(file);
  ASSERT_TRUE(WaitComplete(file).ok());
  EXPECT_EQ(counters_->reverified_bytes, kExtentBytes);
  EXPECT_EQ(counters_->damaged_cache_extents, 1U);
  EXPECT_EQ(counters_->fetched_file_bytes, kExtentBytes);
}

TEST_F(FileReplicasTest, AfterAPowerLossTheBytesAreProved) {
  const auto file = AddFile(2 * kExtentBytes, 1);
  Open();
  ASSERT_TRUE(WaitComplete(file).ok());
  FlipByteOf(*file, kExtentBytes + 77);
  Close();
  {
    // The record as an earlier start of the machine left it, with the file as it is now.
    const std::filesystem::path path = root_ / "cache";
    auto store = ReplicaStore::Open(path / "state");
    ASSERT_TRUE(store.ok());
    auto record = store->Get(file->id);
    ASSERT_TRUE(record.has_value());
    EXPECT_FALSE(record->boot.empty());
    record->boot = "another start of the machine";
    record->identity = *IdentifyFile(path / "blocks" / file->id.substr(0, 2) / file->id);
    ASSERT_TRUE(store->Put(file->id, *record, true).ok());
  }
  Open();
  ExpectBytes(file);
  ASSERT_TRUE(WaitComplete(file).ok());
  EXPECT_EQ(counters_->reverified_bytes, kExtentBytes);
  EXPECT_EQ(counters_->damaged_cache_extents, 0U);  // nothing promised that they were written
  EXPECT_EQ(counters_->fetched_file_bytes, kExtentBytes);
}

TEST_F(FileReplicasTest, EvictedByPath) {
  const auto file = AddFile(1000, 1);
  Open();
  ASSERT_TRUE(WaitComplete(file).ok());
  EXPECT_EQ(cache_->EvictFilesBelow("note").evicted, 0U);
  EXPECT_EQ(cache_->EvictFilesBelow("notes/log").evicted, 0U);
  {
    const ReplicaPin open = cache_->Pin(file);
    EXPECT_EQ(cache_->EvictFilesBelow("notes").held, 1U);
  }
  // The worker that completed it may hold it for a moment longer.
  while (cache_->EvictFilesBelow("notes").held > 0) std::this_thread::yield();
  EXPECT_EQ(cache_->OtherFiles().files, 0U);
  EXPECT_EQ(cache_->bytes(), 0U);
}

}  // namespace
}  // namespace penstock::cachefs
