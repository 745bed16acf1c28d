// Mapped files that are cut short while they are read.

#include "penstock/base/mapping_guard.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "penstock/base/file.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr size_t kPage = 4096;
constexpr size_t kPages = 8;

// A file of pages filled with 1, 2, ..., mapped.
class MappingGuardTest : public testing::Test {
 protected:
  MappingGuardTest()
      : path_(fs::temp_directory_path() / ("guard-" + std::to_string(getpid()))),
        file_(*OpenFile(path_, O_RDWR | O_CREAT | O_TRUNC)) {
    for (size_t page = 0; page < kPages; ++page) {
      const std::string bytes(kPage, static_cast<char>(page + 1));
      EXPECT_EQ(pwrite(file_.get(), bytes.data(), kPage, static_cast<off_t>(page * kPage)),
                static_cast<ssize_t>(kPage));
    }
    void* const mapped = mmap(nullptr, kPages * kPage, PROT_READ, MAP_SHARED, file_.get(), 0);
    EXPECT_NE(mapped, MAP_FAILED);
    bytes_ = static_cast<const volatile uint8_t*>(mapped);
  }
  ~MappingGuardTest() override {
    munmap(const_cast<uint8_t*>(bytes_), kPages * kPage);
    fs::remove(path_);
  }

  const void* address() const { return const_cast<const uint8_t*>(bytes_); }
  void Cut(size_t bytes) { EXPECT_EQ(truncate(path_.c_str(), static_cast<off_t>(bytes)), 0); }

  const fs::path path_;
  const FileDescriptor file_;
  const volatile uint8_t* bytes_ = nullptr;
};

TEST_F(MappingGuardTest, NothingIsLostOfAWholeFile) {
  const MappingGuard guard(address(), kPages * kPage);
  for (size_t page = 0; page < kPages; ++page) EXPECT_EQ(bytes_[page * kPage + 7], page + 1);
  EXPECT_FALSE(guard.lost());
  EXPECT_FALSE(MappingGuard().lost());
}

TEST_F(MappingGuardTest, LostPagesAreZerosAndTheFirstIsTold) {
  const MappingGuard guard(address(), kPages * kPage);
  Cut(3 * kPage);
  EXPECT_EQ(bytes_[6 * kPage + 1], 0);
  EXPECT_EQ(guard.lost(), 6 * kPage);
  EXPECT_EQ(bytes_[3 * kPage], 0);
  EXPECT_EQ(bytes_[2 * kPage], 3);
  EXPECT_EQ(guard.lost(), 3 * kPage);
  const Error error = LostPageError(file_.get(), *guard.lost(), kPages * kPage, path_);
  EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
  EXPECT_EQ(error.file(), path_.string());
  EXPECT_EQ(error.place(), "offset 12288");
  EXPECT_EQ(error.expected(), "32768 bytes");
  EXPECT_EQ(error.found(), "12288 bytes");
}

TEST_F(MappingGuardTest, AFileThatIsWholeAgainIsAnErrorAllTheSame) {
  const MappingGuard guard(address(), kPages * kPage);
  Cut(kPage);
  EXPECT_EQ(bytes_[kPage], 0);
  Cut(kPages * kPage);
  ASSERT_TRUE(guard.lost());
  const Error error = LostPageError(file_.get(), *guard.lost(), kPages * kPage, path_);
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_THAT(error.ToString(), HasSubstr("offset 4096"));
}

TEST_F(MappingGuardTest, ManyThreadsLoseTheirOwnPages) {
  Cut(kPage);
  std::vector<std::jthread> threads;
  for (size_t n = 1; n < kPages; ++n) {
    threads.emplace_back([this, n] {
      for (int round = 0; round < 200; ++round) {
        const MappingGuard guard(const_cast<const uint8_t*>(bytes_) + n * kPage, kPage);
        EXPECT_EQ(bytes_[n * kPage + 5], 0);
        EXPECT_EQ(guard.lost().has_value(), round == 0) << n;
      }
    });
  }
}

TEST_F(MappingGuardTest, MovesWithItsRange) {
  MappingGuard first(address(), kPages * kPage);
  MappingGuard second(std::move(first));
  Cut(0);
  EXPECT_EQ(bytes_[0], 0);
  EXPECT_EQ(second.lost(), 0U);
  second = MappingGuard(address(), kPages * kPage);
  EXPECT_FALSE(second.lost());
}

using MappingGuardDeathTest = MappingGuardTest;

TEST_F(MappingGuardDeathTest, WhatIsNotGuardedEndsTheProgramAsEver) {
  Cut(kPage);
  EXPECT_EXIT(
      {
        { const MappingGuard over(address(), kPages * kPage); }
        const MappingGuard guard(address(), 4 * kPage);
        _exit(bytes_[5 * kPage]);
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST_F(MappingGuardDeathTest, AHandlerThatWasThereGetsWhatIsNotGuarded) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process without our handler
  EXPECT_EXIT(
      {
        struct sigaction theirs {};
        theirs.sa_handler = [](int) { _exit(42); };
        sigaction(SIGBUS, &theirs, nullptr);
        Cut(kPage);
        const MappingGuard guard(address(), 4 * kPage);
        if (bytes_[3 * kPage] == 0 && guard.lost() == 3 * kPage) _exit(bytes_[5 * kPage]);
      },
      testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace penstock
