#include "penstock/ingest/source_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/ingest/frame_source.h"
#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// The byte at an offset, such that pages and files differ.
std::byte Pattern(uint64_t offset, unsigned seed) {
  return static_cast<std::byte>((offset * 2654435761U >> 13) + offset + seed);
}

class SourceReaderTest : public ::testing::Test {
 protected:
  std::filesystem::path WriteFile(const std::string& name, uint64_t bytes, unsigned seed = 0) {
    std::string contents(bytes, '\0');
    for (uint64_t i = 0; i < bytes; ++i) contents[i] = static_cast<char>(Pattern(i, seed));
    const std::filesystem::path path = folder_.path() / name;
    EXPECT_TRUE(WriteNewFile(path, contents, 0644).ok());
    return path;
  }

  // Written back and out of the page cache, so that it is read directly.
  static void MakeCold(int fd) {
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  }

  static ::testing::AssertionResult IsPattern(std::span<const std::byte> bytes, uint64_t offset,
                                              unsigned seed = 0) {
    for (uint64_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != Pattern(offset + i, seed)) {
        return ::testing::AssertionFailure() << "differs at " << offset + i;
      }
    }
    return ::testing::AssertionSuccess();
  }

  TemporaryFolder folder_;
};

TEST_F(SourceReaderTest, RangesThatFollowOneAnotherColdAndWarm) {
  // Odd sizes: neither the ranges nor the end of the file are aligned.
  constexpr uint64_t kBytes = 12 * kMiB + 4321;
  const auto path = WriteFile("frames", kBytes);
  const FileDescriptor fd = *OpenFile(path, O_RDONLY);
  for (const bool cold : {true, false}) {
    if (cold) MakeCold(fd.get());
    SourceReader reader;
    constexpr uint64_t kStep = 1'000'003;
    for (uint64_t at = 17; at < kBytes; at += kStep) {
      const uint64_t bytes = std::min(kStep, kBytes - at);
      const auto read = reader.Read({0, fd.get(), at, bytes}, path);
      ASSERT_TRUE(read.ok()) << read.error().ToString();
      ASSERT_EQ(read->size(), bytes);
      ASSERT_TRUE(IsPattern(*read, at)) << "cold " << cold;
    }
  }
}

TEST_F(SourceReaderTest, RangesInAnyOrderAndWithinOneAnother) {
  constexpr uint64_t kBytes = 20 * kMiB;
  const auto path = WriteFile("frames", kBytes);
  const FileDescriptor fd = *OpenFile(path, O_RDONLY);
  MakeCold(fd.get());
  SourceReader reader;
  uint64_t state = 88172645463325252ULL;
  uint64_t follow = 0;
  for (int i = 0; i < 200; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    // Half of them follow the one before, some with another length.
    const uint64_t offset = state % 2 == 0 ? follow : state / 8 % kBytes;
    const uint64_t bytes = std::min(kBytes - offset, state % 3 == 0 ? 70'000 : state / 16 % kMiB);
    const auto read = reader.Read({0, fd.get(), offset, bytes}, path);
    ASSERT_TRUE(read.ok()) << read.error().ToString();
    ASSERT_TRUE(IsPattern(*read, offset)) << "range " << i;
    follow = offset + bytes < kBytes ? offset + bytes : 0;
  }
}

TEST_F(SourceReaderTest, SectorsSideBySideKeepTheirBytes) {
  constexpr unsigned kSectors = 8;
  constexpr uint64_t kBytes = 9 * kMiB;
  std::vector<std::filesystem::path> paths;
  std::vector<FileDescriptor> fds;
  for (unsigned sector = 0; sector < kSectors; ++sector) {
    paths.push_back(WriteFile("sector" + std::to_string(sector), kBytes, sector));
    fds.push_back(*OpenFile(paths.back(), O_RDONLY));
    MakeCold(fds.back().get());
  }
  SourceReader reader;
  constexpr uint64_t kStep = 714'240;  // a K2 IS frame's blocks of one sector
  for (uint64_t at = 0; at + kStep <= kBytes; at += kStep) {
    std::vector<std::span<const std::byte>> parts;
    for (unsigned sector = 0; sector < kSectors; ++sector) {
      const auto read = reader.Read({sector, fds[sector].get(), at, kStep}, paths[sector]);
      ASSERT_TRUE(read.ok()) << read.error().ToString();
      parts.push_back(*read);
    }
    for (unsigned sector = 0; sector < kSectors; ++sector) {
      ASSERT_TRUE(IsPattern(parts[sector], at, sector)) << "sector " << sector;
    }
  }
}

TEST_F(SourceReaderTest, DescriptorMayBeClosedAfterTheCall) {
  constexpr uint64_t kBytes = 10 * kMiB;
  const auto path = WriteFile("frames", kBytes);
  SourceReader reader;
  for (uint64_t at = 0; at < kBytes; at += kMiB) {
    const FileDescriptor fd = *OpenFile(path, O_RDONLY);
    MakeCold(fd.get());
    const auto read = reader.Read({0, fd.get(), at, kMiB}, path);
    ASSERT_TRUE(read.ok()) << read.error().ToString();
    ASSERT_TRUE(IsPattern(*read, at));
  }
}

TEST_F(SourceReaderTest, FileThatBecomesShorterIsAnErrorWithPathAndOffset) {
  constexpr uint64_t kBytes = 16 * kMiB;
  const auto path = WriteFile("frames", kBytes);
  const FileDescriptor fd = *OpenFile(path, O_RDONLY);
  for (const bool cold : {true, false}) {
    std::filesystem::resize_file(path, kBytes);
    if (cold) MakeCold(fd.get());
    SourceReader reader;
    ASSERT_TRUE(reader.Read({0, fd.get(), 0, 2 * kMiB}, path).ok());
    std::filesystem::resize_file(path, 5 * kMiB + 100);
    // What was read ahead before is still right.
    const auto last = reader.Read({0, fd.get(), 4 * kMiB, 2 * kMiB}, path);
    ASSERT_FALSE(last.ok());
    EXPECT_EQ(last.error().kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(last.error().ToString(), ::testing::HasSubstr(path.string()));
    EXPECT_THAT(last.error().ToString(), ::testing::HasSubstr(std::to_string(5 * kMiB + 100)));
    // It can be asked again, and elsewhere.
    EXPECT_FALSE(reader.Read({0, fd.get(), 4 * kMiB, 2 * kMiB}, path).ok());
    EXPECT_TRUE(reader.Read({0, fd.get(), 3 * kMiB, 2 * kMiB}, path).ok());
  }
}

TEST_F(SourceReaderTest, LongRangesIntoADestinationAreSeenOnceByTheObserver) {
  constexpr uint64_t kBytes = 11 * kMiB + 77;
  const auto path = WriteFile("frames", kBytes);
  const FileDescriptor fd = *OpenFile(path, O_RDONLY);
  MakeCold(fd.get());
  struct Recorder final : RawBytesObserver {
    uint64_t next = 3;
    void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override {
      EXPECT_EQ(file, 5U);
      EXPECT_EQ(offset, next);
      EXPECT_TRUE(IsPattern(bytes, offset));
      next += bytes.size();
    }
  } recorder;
  DecodeContext context;
  context.observer = &recorder;
  std::vector<std::byte> destination(kBytes - 3);
  ASSERT_TRUE(context.ReadInto({5, fd.get(), 3, kBytes - 3}, destination, path).ok());
  EXPECT_EQ(recorder.next, kBytes);
  EXPECT_TRUE(IsPattern(destination, 3));
}

TEST_F(SourceReaderTest, EmptyRangeAndSmallFile) {
  const auto path = WriteFile("small", 100);
  const FileDescriptor fd = *OpenFile(path, O_RDONLY);
  SourceReader reader;
  const auto nothing = reader.Read({0, fd.get(), 40, 0}, path);
  ASSERT_TRUE(nothing.ok()) << nothing.error().ToString();
  EXPECT_TRUE(nothing->empty());
  const auto whole = reader.Read({0, fd.get(), 0, 100}, path);
  ASSERT_TRUE(whole.ok()) << whole.error().ToString();
  EXPECT_TRUE(IsPattern(*whole, 0));
}

}  // namespace
}  // namespace penstock::ingest
