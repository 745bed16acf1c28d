// The cache over a store with faults: what is read is right, or it is an error within its time.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {
namespace {

constexpr uint64_t kBlockBytes = 2 * kExtentBytes + 4711;  // three extents, the last one short

using BlockCacheTest = CacheFixture;

TEST_F(BlockCacheTest, ReadsAcrossExtentsAndPastTheEnd) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ExpectRight(block, kExtentBytes - 100, 200);
  ExpectRight(block, 0, kBlockBytes);
  ExpectRight(block, kBlockBytes - 10, 1000);
  EXPECT_TRUE(Read(block, kBlockBytes, 10)->empty());
  EXPECT_TRUE(Read(block, kBlockBytes + 5, 10)->empty());
  ASSERT_TRUE(WaitComplete(block).ok());
  EXPECT_EQ(counters_->fetched_bytes, kBlockBytes);
  EXPECT_EQ(upstream_->reads(), 3);
  const ResidencyDetail detail = cache_->ResidencyOf(*block);
  EXPECT_EQ(detail.residency, Residency::kComplete);
  EXPECT_EQ(detail.extents_present, 3);
  struct stat status {};
  ASSERT_EQ(stat(directory_->BlockPath(block->id).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0400U);
}

TEST_F(BlockCacheTest, ConcurrentReadersShareOneFetch) {
  const auto block = AddBlock(0, kExtentBytes);
  upstream_->SetFault([](int) { return Fault::kStall; });
  Open();
  std::vector<std::thread> readers;
  readers.reserve(16);
  for (int i = 0; i < 16; ++i) {
    readers.emplace_back([&, i] { ExpectRight(block, static_cast<uint64_t>(i) * 1000, 5000); });
  }
  while (counters_->missed_reads < 16) std::this_thread::yield();
  upstream_->EndStall();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(upstream_->reads(), 1);
}

TEST_F(BlockCacheTest, WrongBytesOnceAreFetchedAgain) {
  const auto block = AddBlock(0, kExtentBytes);
  upstream_->SetFault([](int read) { return read == 0 ? Fault::kWrongByte : Fault::kNone; });
  Open();
  ExpectRight(block, 0, kExtentBytes);
  EXPECT_EQ(counters_->verification_failures, 1U);
  EXPECT_EQ(upstream_->reads(), 2);
}

TEST_F(BlockCacheTest, WrongBytesForEverAreAnErrorThatNamesTheExtent) {
  const auto block = AddBlock(0, kBlockBytes);
  upstream_->SetFault([](int) { return Fault::kWrongByte; });
  Open();
  const auto bytes = Read(block, kExtentBytes + 3, 10);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(bytes.error().file(), "scan/0");
  EXPECT_NE(bytes.error().ToString().find("extent 1"), std::string::npos);
  EXPECT_GE(counters_->verification_failures, 2U);
  EXPECT_EQ(cache_->ResidencyOf(*block).extents_present, 0);

  upstream_->SetFault(nullptr);
  ExpectRight(block, 0, kBlockBytes);
}

TEST_F(BlockCacheTest, DamagedExtentsDoNotKeepTheOthersAway) {
  const auto block = AddBlock(0, 4 * kExtentBytes);
  Bytes damaged = contents_.at(0);
  damaged[5] ^= std::byte{1};
  damaged[kExtentBytes + 5] ^= std::byte{1};
  upstream_->AddFile(block->path, std::move(damaged));
  Open();
  const Status complete = WaitComplete(block);
  ASSERT_FALSE(complete.ok());
  EXPECT_EQ(complete.error().kind(), ErrorKind::kIo);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (cache_->ResidencyOf(*block).extents_present < 2 &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(cache_->ResidencyOf(*block).extents_present, 2);
  // Each damaged extent was tried twice, and not over and over.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(upstream_->reads(), 6);
  ExpectRight(block, 2 * kExtentBytes, 2 * kExtentBytes);
  EXPECT_EQ(counters_->fetched_bytes, 2 * kExtentBytes);
}

TEST_F(BlockCacheTest, ShortReadsAreNotBelieved) {
  const auto block = AddBlock(0, kExtentBytes);
  upstream_->SetFault([](int read) { return read < 2 ? Fault::kShort : Fault::kNone; });
  Open();
  const auto bytes = Read(block, 0, 10);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.error().kind(), ErrorKind::kCorrupt);
  ExpectRight(block, 0, kExtentBytes);
}

TEST_F(BlockCacheTest, ErrorsOfTheStoreArePassedOnAndForgotten) {
  const auto block = AddBlock(0, kExtentBytes);
  upstream_->SetFault([](int read) { return read == 0 ? Fault::kIoError : Fault::kNone; });
  Open();
  const auto bytes = Read(block, 0, 10);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.error().system_errno(), EIO);
  EXPECT_EQ(counters_->upstream_errors, 1U);
  ExpectRight(block, 0, kExtentBytes);
}

TEST_F(BlockCacheTest, StalledStoreIsATimeoutAndThenRecovers) {
  const auto block = AddBlock(0, kBlockBytes);
  upstream_->SetFault([](int read) { return read < 3 ? Fault::kStall : Fault::kNone; });
  Open({.upstream_timeout = std::chrono::milliseconds(100), .fetch_threads = 2});
  for (int i = 0; i < 5; ++i) {
    const auto bytes = Read(block, kExtentBytes, 10);
    ASSERT_FALSE(bytes.ok());
    EXPECT_EQ(bytes.error().kind(), ErrorKind::kTimeout);
  }
  EXPECT_EQ(counters_->timeouts, 5U);
  EXPECT_LE(upstream_->reads(), 2);  // no more threads than there are
  upstream_->EndStall();
  ASSERT_TRUE(WaitComplete(block).ok());
  ExpectRight(block, 0, kBlockBytes);
}

TEST_F(BlockCacheTest, WhatIsDistrustedBeforeItIsSyncedIsNotFinished) {
  const auto busy = AddBlock(0, kExtentBytes);
  const auto block = AddBlock(1, 2 * kExtentBytes);
  const auto last = AddBlock(2, kExtentBytes);
  upstream_->SetFault(
      [](int read) { return read == 0 || read == 3 ? Fault::kStall : Fault::kNone; });
  Open({.fetch_threads = 3});
  const auto ignore = [](const Result<std::span<const std::byte>>&) {};
  // As long as the store is asked for another block, this one waits to be synced.
  cache_->Read(cache_->Pin(busy), 0, 1, ignore);
  while (upstream_->reads() < 1) std::this_thread::yield();
  ExpectRight(block, 0, 2 * kExtentBytes);
  while (cache_->ResidencyOf(*block).extents_present < 2) std::this_thread::yield();
  std::filesystem::resize_file(directory_->BlockPath(block->id), kExtentBytes);
  cache_->Read(cache_->Pin(block), kExtentBytes, 10, ignore);
  while (upstream_->reads() < 4) std::this_thread::yield();

  std::promise<Status> complete;
  cache_->WhenComplete(cache_->Pin(block), std::chrono::seconds(60),
                       [&](const Status& status) { complete.set_value(status); });
  // By the thread that is left, after whatever the wait began.
  ExpectRight(last, 0, 10);
  EXPECT_FALSE(cache_->IsComplete(cache_->Pin(block)));
  upstream_->EndStall();
  EXPECT_TRUE(complete.get_future().get().ok());
  EXPECT_TRUE(cache_->IsComplete(cache_->Pin(block)));
  EXPECT_EQ(std::filesystem::file_size(directory_->BlockPath(block->id)), 2 * kExtentBytes);
  ExpectRight(block, 0, 2 * kExtentBytes);
}

TEST_F(BlockCacheTest, WhatWasJustFetchedIsNotReadBackFromTheDisk) {
  const auto block = AddBlock(0, kExtentBytes + 100);
  Open({.recent_extents = 2});
  ExpectRight(block, 0, 10);
  const auto pin = cache_->Pin(block);
  cache_->StartFill(pin);
  while (cache_->ResidencyOf(*block).extents_present < 2) std::this_thread::yield();
  std::filesystem::resize_file(directory_->BlockPath(block->id), 0);
  const uint64_t hits = counters_->hit_bytes;
  ExpectRight(block, 5, 1000);
  ExpectRight(block, kExtentBytes - 7, 7);
  ExpectRight(block, kExtentBytes + 3, 97);
  EXPECT_EQ(counters_->hit_bytes - hits, 1000 + 7 + 97);
  EXPECT_EQ(upstream_->reads(), 2);
}

TEST_F(BlockCacheTest, WhoStillWaitsWhenTheCacheEndsIsToldSo) {
  const auto block = AddBlock(0, kBlockBytes);
  upstream_->SetFault([](int) { return Fault::kStall; });
  Open({.fetch_threads = 1});
  std::vector<ErrorKind> answers;
  const auto note = [&](const auto& answer) {
    ASSERT_FALSE(answer.ok());
    answers.push_back(answer.error().kind());
  };
  // Of the first the fetch is under way, of the second it is not; the third waits for both.
  cache_->Read(cache_->Pin(block), 0, 10, note);
  while (upstream_->reads() < 1) std::this_thread::yield();
  cache_->Read(cache_->Pin(block), kExtentBytes, 10, note);
  cache_->Read(cache_->Pin(block), kExtentBytes - 5, 10, note);
  cache_->WhenComplete(cache_->Pin(block), std::chrono::hours(1), note);
  EXPECT_FALSE(cache_->Stop(std::chrono::milliseconds(0)));
  EXPECT_THAT(answers, testing::ElementsAre(ErrorKind::kCancelled, ErrorKind::kCancelled,
                                            ErrorKind::kCancelled, ErrorKind::kCancelled));
  upstream_->EndStall();
  Close();
  EXPECT_EQ(answers.size(), 4U);
}

TEST_F(BlockCacheTest, CompleteBlocksSurviveARestartWithoutTheStore) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  Close();
  upstream_->SetFault([](int) { return Fault::kIoError; });
  Open();
  EXPECT_EQ(cache_->ResidencyOf(*block).residency, Residency::kComplete);
  EXPECT_EQ(cache_->bytes() / 4096, (kBlockBytes + 4095) / 4096);
  ExpectRight(block, 0, kBlockBytes);
  EXPECT_TRUE(cache_->IsComplete(cache_->Pin(block)));
  EXPECT_EQ(counters_->reverified_bytes, 0U);
}

TEST_F(BlockCacheTest, PartialBlocksSurviveARestart) {
  const auto block = AddBlock(0, kBlockBytes);
  // Only the first read succeeds.
  upstream_->SetFault([](int read) { return read == 0 ? Fault::kNone : Fault::kIoError; });
  Open({.fetch_threads = 1});
  ExpectRight(block, kExtentBytes, 100);
  while (counters_->upstream_errors < 1) std::this_thread::yield();
  Close();
  upstream_->SetFault([](int) { return Fault::kIoError; });
  Open();
  EXPECT_EQ(cache_->ResidencyOf(*block).residency, Residency::kPartial);
  ExpectRight(block, kExtentBytes, kExtentBytes);
  EXPECT_FALSE(Read(block, 0, 10).ok());
  EXPECT_EQ(counters_->reverified_bytes, 0U);
}

TEST_F(BlockCacheTest, WithoutItsRecordAReplicaIsProvedAgain) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  Close();
  std::filesystem::remove_all(root_ / "cache/state");
  upstream_->SetFault([](int) { return Fault::kIoError; });
  Open();
  EXPECT_FALSE(cache_->IsComplete(cache_->Pin(block)));
  ExpectRight(block, 0, kBlockBytes);
  ASSERT_TRUE(WaitComplete(block).ok());
  EXPECT_EQ(counters_->reverified_bytes, kBlockBytes);
  EXPECT_EQ(counters_->fetched_bytes, 0U);
  Close();
  Open();
  EXPECT_TRUE(cache_->IsComplete(cache_->Pin(block)));
}

// As of a daemon that was killed while it wrote.
TEST_F(BlockCacheTest, HalfAnExtentIsFetchedAgainAndCountedWhole) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  const std::filesystem::path file = directory_->BlockPath(block->id);
  Close();
  std::filesystem::remove_all(root_ / "cache/state");
  chmod(file.c_str(), 0600);
  {
    auto fd = OpenFile(file, O_RDWR);
    ASSERT_TRUE(fd.ok());
    ASSERT_EQ(fallocate(fd->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kExtentBytes / 2,
                        kExtentBytes / 2),
              0);
  }
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  EXPECT_EQ(counters_->fetched_bytes, kExtentBytes);
  EXPECT_EQ(cache_->bytes(), kBlockBytes);
}

TEST_F(BlockCacheTest, ChangedReplicaIsNotBelieved) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  const std::filesystem::path file = directory_->BlockPath(block->id);
  Close();
  struct stat before {};
  ASSERT_EQ(stat(file.c_str(), &before), 0);
  chmod(file.c_str(), 0600);
  {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(kExtentBytes + 99);
    stream.put(static_cast<char>(~static_cast<int>(contents_[0][kExtentBytes + 99])));
  }
  chmod(file.c_str(), 0400);
  const timespec times[2] = {before.st_atim, before.st_mtim};  // as if nothing had happened
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  Open();
  ExpectRight(block, 0, kBlockBytes);
  EXPECT_EQ(counters_->damaged_cache_extents, 1U);
  EXPECT_EQ(counters_->fetched_bytes, kExtentBytes);
  EXPECT_EQ(counters_->reverified_bytes, kBlockBytes - kExtentBytes);
}

TEST_F(BlockCacheTest, GenerationsAreNeverMixed) {
  const auto block = AddBlock(0, kExtentBytes);
  Open();
  ExpectRight(block, 0, kExtentBytes);
  auto renewed = std::make_shared<BlockSource>(*block);
  renewed->generation = "another";
  renewed->id = ReplicaId(renewed->dataset, renewed->generation, 0);
  Bytes bytes(kExtentBytes, std::byte{42});
  renewed->extent_checksum = {HashExtent(bytes)};
  contents_[0] = bytes;
  upstream_->AddFile(renewed->path, bytes);
  EXPECT_NE(renewed->id, block->id);
  ExpectRight(renewed, 0, kExtentBytes);
}

TEST_F(BlockCacheTest, LimitIsKeptByEviction) {
  std::vector<std::shared_ptr<const BlockSource>> blocks;
  for (int64_t block = 0; block < 6; ++block) blocks.push_back(AddBlock(block, kExtentBytes));
  Open({.limits = {.cache_bytes = 3 * kExtentBytes}});
  for (int round = 0; round < 2; ++round) {
    for (const auto& block : blocks) {
      ExpectRight(block, 0, kExtentBytes);
      EXPECT_LE(cache_->bytes(), 3 * kExtentBytes);
    }
  }
  EXPECT_GE(counters_->evicted_blocks, 3U);
}

TEST_F(BlockCacheTest, HeldReplicasStayAndTheRestIsReadThrough) {
  const auto held = AddBlock(0, kExtentBytes);
  const auto other = AddBlock(1, kExtentBytes);
  Open({.limits = {.cache_bytes = kExtentBytes}});
  ASSERT_TRUE(WaitComplete(held).ok());
  ReplicaPin lease = cache_->Pin(held);
  ExpectRight(other, 5, 100);
  EXPECT_FALSE(WaitComplete(other).ok());
  EXPECT_GE(counters_->uncached_extents, 1U);
  EXPECT_EQ(cache_->ResidencyOf(*held).residency, Residency::kComplete);
  EXPECT_FALSE(cache_->Evict(held->id));
  lease.reset();
  // The worker that completed it may hold it for a moment longer.
  while (!WaitComplete(other).ok()) std::this_thread::yield();
  EXPECT_EQ(cache_->ResidencyOf(*held).residency, Residency::kAbsent);
  EXPECT_FALSE(std::filesystem::exists(directory_->BlockPath(held->id)));
}

TEST_F(BlockCacheTest, ReserveOfTheDiskIsKept) {
  const auto block = AddBlock(0, kExtentBytes);
  Open({.limits = {.reserve_bytes = uint64_t{1} << 60}});
  ExpectRight(block, 0, kExtentBytes);
  const Status complete = WaitComplete(block);
  ASSERT_FALSE(complete.ok());
  EXPECT_EQ(complete.error().kind(), ErrorKind::kNoSpace);
  EXPECT_EQ(cache_->bytes(), 0U);
  EXPECT_GE(counters_->uncached_extents, 1U);
}

TEST_F(BlockCacheTest, HandedOutDescriptorsAreReadOnly) {
  const auto block = AddBlock(0, kExtentBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  const auto file = cache_->OpenForHandOut(cache_->Pin(block));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(fcntl(file->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  if (!directory_->has_read_only_view()) GTEST_SKIP() << "SKIPPED: no read-only view here";
  const std::string again = "/proc/self/fd/" + std::to_string(file->get());
  EXPECT_EQ(open(again.c_str(), O_RDWR | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(BlockCacheTest, SecondDaemonIsRefused) {
  Open();
  const auto second = CacheDirectory::Open(root_ / "cache");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().kind(), ErrorKind::kBusy);
}

}  // namespace
}  // namespace penstock::cachefs
