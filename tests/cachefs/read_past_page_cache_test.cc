#include "cachefs/upstream/read_past_page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {
namespace {

class ReadPastPageCacheTest : public ::testing::Test {
 protected:
  // A file whose bytes are on the disk, and in the page cache or not.
  void Write(size_t bytes, bool cached) {
    contents_.resize(bytes);
    for (size_t i = 0; i < bytes; ++i) contents_[i] = static_cast<std::byte>(i * 7 + i / 4096);
    auto file = OpenFile(path_, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(WriteFully(file->get(), 0, contents_, path_).ok());
    ASSERT_EQ(fsync(file->get()), 0);
    if (!cached) {
      ASSERT_EQ(posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    }
  }

  void Expect(uint64_t offset, size_t length, size_t misaligned = 0) {
    auto file = OpenFile(path_, O_RDONLY);
    ASSERT_TRUE(file.ok());
    auto buffer = AlignedBuffer::Allocate(length + misaligned);
    ASSERT_TRUE(buffer.ok());
    const auto destination = buffer->span().subspan(misaligned, length);
    const auto got = ReadPastPageCache(file->get(), offset, destination, path_);
    ASSERT_TRUE(got.ok()) << got.error().ToString();
    const size_t there = offset < contents_.size() ? contents_.size() - offset : 0;
    ASSERT_EQ(*got, std::min(length, there));
    EXPECT_TRUE(std::equal(destination.begin(), destination.begin() + static_cast<long>(*got),
                           contents_.begin() + static_cast<long>(offset)));
    EXPECT_EQ(fcntl(file->get(), F_GETFL) & O_DIRECT, 0);
  }

  void TearDown() override { std::filesystem::remove(path_); }

  // Not in /tmp, which may be without a disk.
  const std::filesystem::path path_ =
      std::filesystem::current_path() / ("read_past_page_cache_test." + std::to_string(getpid()));
  std::vector<std::byte> contents_;
};

TEST_F(ReadPastPageCacheTest, GivesWhatTheFileHas) {
  constexpr size_t kExtent = size_t{4} << 20;
  for (const bool cached : {true, false}) {
    // The last extent ends at a page, within one, and before the file does.
    for (const size_t bytes : {3 * kExtent, 2 * kExtent + (size_t{1} << 20) + 4097}) {
      Write(bytes, cached);
      Expect(0, kExtent);
      Expect(2 * kExtent, std::min(kExtent, bytes - 2 * kExtent));
      Expect(2 * kExtent, kExtent);
      Expect(4 * kExtent, kExtent);
      Expect(512, kExtent);
      Expect(0, kExtent, 8);
      Expect(4096, (size_t{1} << 20) + 1);
    }
  }
}

TEST_F(ReadPastPageCacheTest, LeavesThePageCacheAsItIsButForAPage) {
  Write(size_t{8} << 20, false);
  Expect(0, size_t{4} << 20);
  auto file = OpenFile(path_, O_RDONLY);
  ASSERT_TRUE(file.ok());
  std::byte page[4096];
  const iovec part{.iov_base = page, .iov_len = sizeof page};
  if (preadv2(file->get(), &part, 1, 8192, RWF_NOWAIT) > 0) {
    GTEST_SKIP() << "the file system of " << path_ << " has no direct I/O past its page cache";
  }
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
}  // namespace penstock::cachefs
