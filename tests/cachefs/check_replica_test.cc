// What is done about replicas that the disk has not kept.

#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {
namespace {

constexpr uint64_t kBlockBytes = 2 * kExtentBytes + 5000;

class CheckReplicaTest : public CacheFixture {
 protected:
  std::filesystem::path FileOf(const BlockSource& source) {
    return directory_->BlockPath(source.id);
  }
  void FlipByte(const std::filesystem::path& path, uint64_t offset) {
    chmod(path.c_str(), 0600);
    {
      std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
      stream.seekg(static_cast<std::streamoff>(offset));
      const int byte = stream.get();
      stream.seekp(static_cast<std::streamoff>(offset));
      stream.put(static_cast<char>(~byte));
    }
    chmod(path.c_str(), 0400);
  }
  Result<ReplicaCheck> Check(const std::shared_ptr<const BlockSource>& source) {
    return cache_->CheckReplica(source, [](uint64_t) { return true; });
  }
  std::vector<std::filesystem::path> Quarantined() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "cache/quarantine")) {
      files.push_back(entry.path());
    }
    return files;
  }
};

TEST_F(CheckReplicaTest, SoundReplicasAreReadWholly) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  const auto check = Check(block);
  ASSERT_TRUE(check.ok());
  EXPECT_EQ(check->checked_bytes, kBlockBytes);
  EXPECT_TRUE(check->damaged.empty());
  EXPECT_EQ(upstream_->reads(), 3);
  EXPECT_EQ(counters_->damaged_cache_extents, 0U);
}

TEST_F(CheckReplicaTest, DamageIsMendedInItsPlace) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  // Somebody has it open, by the kernel or by a lease.
  const auto open = cache_->OpenForHandOut(cache_->Pin(block));
  ASSERT_TRUE(open.ok());
  FlipByte(FileOf(*block), kExtentBytes + 1234);
  const auto check = Check(block);
  ASSERT_TRUE(check.ok());
  ASSERT_EQ(check->damaged.size(), 1U);
  EXPECT_EQ(check->damaged[0].extent, 1);
  EXPECT_EQ(check->damaged[0].expected, block->extent_checksum[1]);
  ASSERT_TRUE(check->damaged[0].found.has_value());
  EXPECT_NE(*check->damaged[0].found, block->extent_checksum[1]);
  EXPECT_TRUE(check->damaged[0].healed);
  EXPECT_FALSE(check->quarantined);
  EXPECT_EQ(counters_->healed_cache_extents, 1U);
  EXPECT_EQ(upstream_->reads(), 4);
  std::byte byte{};
  ASSERT_TRUE(ReadFully(open->get(), kExtentBytes + 1234, std::span(&byte, 1), "replica").ok());
  EXPECT_EQ(byte, contents_[0][kExtentBytes + 1234]);
  EXPECT_TRUE(cache_->IsComplete(cache_->Pin(block)));
  ExpectRight(block, 0, kBlockBytes);
  // The damaged bytes are kept as evidence.
  ASSERT_EQ(Quarantined().size(), 1U);
  EXPECT_EQ(std::filesystem::file_size(Quarantined()[0]), kExtentBytes);
  // Its record is that of the mended file.
  Close();
  Open();
  ExpectRight(block, 0, kBlockBytes);
  EXPECT_EQ(counters_->reverified_bytes + counters_->fetched_bytes, 0U);
}

TEST_F(CheckReplicaTest, WithTheStoreAwayTheDamageIsNotHandedOut) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  FlipByte(FileOf(*block), 3);
  upstream_->SetFault([](int) { return Fault::kIoError; });
  const auto check = Check(block);
  ASSERT_TRUE(check.ok());
  ASSERT_EQ(check->damaged.size(), 1U);
  EXPECT_EQ(check->healed_extents, 0);
  EXPECT_FALSE(cache_->IsComplete(cache_->Pin(block)));
  EXPECT_FALSE(Read(block, 0, 10).ok());
  ExpectRight(block, kExtentBytes, 1000);
  upstream_->SetFault([](int) { return Fault::kNone; });
  ExpectRight(block, 0, kBlockBytes);
}

TEST_F(CheckReplicaTest, ATruncatedReplicaIsMended) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  chmod(FileOf(*block).c_str(), 0600);
  std::filesystem::resize_file(FileOf(*block), kExtentBytes + 100);
  const auto check = Check(block);
  ASSERT_TRUE(check.ok());
  ASSERT_EQ(check->damaged.size(), 2U);
  EXPECT_FALSE(check->damaged[0].found.has_value());
  EXPECT_EQ(check->healed_extents, 2);
  ExpectRight(block, 0, kBlockBytes);
  EXPECT_EQ(std::filesystem::file_size(FileOf(*block)), kBlockBytes);
}

TEST_F(CheckReplicaTest, StopsWhenAsked) {
  const auto block = AddBlock(0, kBlockBytes);
  Open();
  ASSERT_TRUE(WaitComplete(block).ok());
  int extents = 0;
  const auto check = cache_->CheckReplica(block, [&](uint64_t) { return ++extents < 2; });
  ASSERT_FALSE(check.ok());
  EXPECT_EQ(check.error().kind(), ErrorKind::kCancelled);
  EXPECT_EQ(extents, 2);
}

}  // namespace
}  // namespace penstock::cachefs
