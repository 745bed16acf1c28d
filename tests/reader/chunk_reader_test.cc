// Read-ahead over odd ranges, with io_uring and with pread.

#include "reader/io/chunk_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "penstock/base/file.h"

namespace penstock {
namespace {

class ChunkReaderTest : public testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  ChunkReaderTest() : path_("chunk-reader-" + std::to_string(getpid())), bytes_(3'000'017) {
    std::mt19937 random(7);
    for (char& byte : bytes_) byte = static_cast<char>(random());
    std::ofstream(path_, std::ios::binary).write(bytes_.data(), static_cast<long>(bytes_.size()));
    auto opened = OpenFile(path_, O_RDONLY | (direct() ? O_DIRECT : 0));
    EXPECT_TRUE(opened.ok());
    if (opened.ok()) file_ = std::move(opened).value();
  }
  ~ChunkReaderTest() override { std::filesystem::remove(path_); }

  bool asynchronous() const { return std::get<0>(GetParam()); }
  bool direct() const { return std::get<1>(GetParam()); }

  std::string path_;
  std::vector<char> bytes_;
  FileDescriptor file_;
};

TEST_P(ChunkReaderTest, GivesEveryByteOfTheRangeInOrder) {
  ChunkReader reader(16384, 3, asynchronous());
  // One reader for all ranges: its buffers grow and are used again.
  for (const size_t chunk : {size_t{1000}, size_t{4096}, size_t{99999}, size_t{5'000'000}}) {
    for (const uint64_t begin : {uint64_t{0}, uint64_t{1}, uint64_t{65536}, uint64_t{2'999'000}}) {
      const uint64_t end =
          chunk == 1000 ? std::min<uint64_t>(begin + 50'500, bytes_.size()) : bytes_.size();
      ASSERT_TRUE(reader.Start({file_.get(), begin, end, chunk}, path_).ok());
      uint64_t at = begin;
      while (true) {
        const auto next = reader.Next();
        ASSERT_TRUE(next.ok()) << next.error().ToString();
        if (next->empty()) break;
        ASSERT_EQ(next->size(), std::min<uint64_t>(chunk, end - at));
        ASSERT_EQ(std::memcmp(next->data(), bytes_.data() + at, next->size()), 0) << at;
        at += next->size();
      }
      EXPECT_EQ(at, end);
    }
  }
}

TEST_P(ChunkReaderTest, EndOfFileInsideTheRangeIsAnErrorWithItsOffset) {
  ChunkReader reader(16384, 3, asynchronous());
  ASSERT_TRUE(reader.Start({file_.get(), 2'900'000, 3'100'000, 150'000}, path_).ok());
  auto next = reader.Next();
  while (next.ok() && !next->empty()) next = reader.Next();
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(next.error().file(), path_);
  EXPECT_NE(next.error().place().find("offset "), std::string::npos);
  // It works again on a good range, and can be left in the middle of one.
  ASSERT_TRUE(reader.Start({file_.get(), 5, 2'000'000, 100'000}, path_).ok());
  const auto first = reader.Next();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(std::memcmp(first->data(), bytes_.data() + 5, first->size()), 0);
}

// Only then may somebody else begin to read: what is wanted sooner is asked for sooner.
TEST_P(ChunkReaderTest, SaysWhenAllOfARangeIsAskedFor) {
  ChunkReader reader(16384, 4, asynchronous());
  ASSERT_TRUE(reader.Start({file_.get(), 0, 10 * 65536, 65536}, path_).ok());
  EXPECT_FALSE(reader.HasAskedForAll());
  int after = 0;
  for (int chunk = 0; chunk < 10; ++chunk) {
    ASSERT_EQ(reader.Next()->size(), 65536U);
    if (reader.HasAskedForAll()) ++after;
  }
  // One chunk is in the caller's hands, the next one on its way.
  EXPECT_EQ(after, asynchronous() ? 2 : 0);
}

INSTANTIATE_TEST_SUITE_P(Queues, ChunkReaderTest,
                         testing::Combine(testing::Bool(), testing::Bool()), [](const auto& info) {
                           return std::string(std::get<0>(info.param) ? "Uring" : "Pread") +
                                  (std::get<1>(info.param) ? "Direct" : "Buffered");
                         });

}  // namespace
}  // namespace penstock
