#include "cachefs/cache/write_past_page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"
#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {
namespace {

class WritePastPageCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    buffer_ = AlignedBuffer::Allocate(2 * kExtentBytes).value();
    std::mt19937 random(5);
    std::ranges::generate(buffer_.span(), [&] { return static_cast<std::byte>(random()); });
    file_ = FileDescriptor(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_TRUE(file_.valid());
    ASSERT_EQ(ftruncate(file_.get(), 3 * kExtentBytes), 0);
  }

  // Written there, and nothing beside it.
  void ExpectWritten(uint64_t offset, std::span<const std::byte> source) {
    ASSERT_TRUE(WritePastPageCache(file_.get(), offset, source, path_).ok());
    std::vector<std::byte> expected(3 * kExtentBytes);
    std::ranges::copy(source, expected.begin() + static_cast<ptrdiff_t>(offset));
    std::vector<std::byte> found(expected.size());
    ASSERT_TRUE(ReadFully(file_.get(), 0, found, path_).ok());
    EXPECT_TRUE(found == expected);
    EXPECT_EQ(fcntl(file_.get(), F_GETFL) & O_DIRECT, 0);
  }

  void TearDown() override { std::filesystem::remove(path_); }

  // Not in /tmp, which may be without a disk.
  const std::filesystem::path path_ =
      std::filesystem::current_path() / ("write_past_page_cache_test." + std::to_string(getpid()));
  FileDescriptor file_;
  AlignedBuffer buffer_;
};

TEST_F(WritePastPageCacheTest, WholeExtent) {
  ExpectWritten(kExtentBytes, buffer_.span().first(kExtentBytes));
}

TEST_F(WritePastPageCacheTest, ThePageCacheDoesNotHaveItWhereTheFileSystemCan) {
  const FileDescriptor direct(open(path_.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
  if (!direct.valid()) GTEST_SKIP() << "SKIPPED FOR WANT OF O_DIRECT in " << path_;
  ASSERT_TRUE(WritePastPageCache(file_.get(), 0, buffer_.span().first(kExtentBytes), path_).ok());
  std::byte byte{};
  const iovec part{.iov_base = &byte, .iov_len = 1};
  EXPECT_EQ(preadv2(file_.get(), &part, 1, kExtentBytes / 2, RWF_NOWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(WritePastPageCacheTest, TheEndOfAFileIsNoWholePage) {
  ExpectWritten(kExtentBytes, buffer_.span().first(kExtentBytes - 17));
}

TEST_F(WritePastPageCacheTest, SmallAndUnalignedWritesGoTheOrdinaryWay) {
  ExpectWritten(5, buffer_.span().first(100));
}

TEST_F(WritePastPageCacheTest, UnalignedMemory) {
  ExpectWritten(0, buffer_.span().subspan(3, kExtentBytes));
}

TEST_F(WritePastPageCacheTest, UnalignedOffset) {
  ExpectWritten(511, buffer_.span().first(kExtentBytes));
}

TEST_F(WritePastPageCacheTest, ErrorsNameTheFile) {
  const FileDescriptor full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  const Status written =
      WritePastPageCache(full.get(), 0, buffer_.span().first(kExtentBytes), "somewhere");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind(), ErrorKind::kNoSpace);
  EXPECT_NE(written.error().ToString().find("somewhere"), std::string::npos);
}

}  // namespace
}  // namespace penstock::cachefs
