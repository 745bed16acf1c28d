// What opening a dataset of many blocks touches, and what the first partial result does.

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "penstock/base/file.h"
#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"
#include "tests/support/synthetic_dataset.h"

namespace penstock {
namespace {

// Counts the files that are opened, of those that it is told to watch.
class OpenedFiles {
 public:
  OpenedFiles() : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {}

  bool Watch(const std::filesystem::path& file) {
    return inotify_add_watch(inotify_.get(), file.c_str(), IN_OPEN) >= 0;
  }

  // Different files since the last call.
  size_t Count() {
    std::set<int> opened;
    alignas(inotify_event) std::array<char, 4096> events{};
    ssize_t bytes = 0;
    while ((bytes = read(inotify_.get(), events.data(), events.size())) > 0) {
      for (ssize_t at = 0; at < bytes;) {
        inotify_event event{};
        std::memcpy(&event, events.data() + at, sizeof event);
        opened.insert(event.wd);
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
    }
    return opened.size();
  }

 private:
  FileDescriptor inotify_;
};

class StartTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::path(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : testing::TempDir()) /
        ("penstock_start_" + std::to_string(getpid()));
    std::filesystem::remove_all(directory_);
    options_.shape = {{100, 4, false}, {16, 16}, ElementType::kUint16};
    options_.block_bytes = 4 * options_.shape.frame_bytes();
    ASSERT_TRUE(testing_support::WriteSyntheticDataset(directory_, options_).ok());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
  testing_support::SyntheticOptions options_;
};

TEST_F(StartTest, OpeningTouchesNoBlockAndTheFirstResultTouchesOne) {
  auto blocks = Dataset::Open(directory_);
  ASSERT_TRUE(blocks.ok());
  ASSERT_EQ(blocks->blocks().size(), 100U);
  OpenedFiles opened;
  for (const BlockInfo& block : blocks->blocks()) {
    ASSERT_TRUE(opened.Watch(directory_ / block.relative_path));
  }
  ASSERT_EQ(opened.Count(), 0U);

  auto reader = Reader::Open(directory_);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  EXPECT_EQ(opened.Count(), 0U);

  auto masks = MaskReduction::Create({FullMask(options_.shape.signal)});
  ASSERT_TRUE(masks.ok());
  std::stop_source stop;
  std::optional<size_t> before_first;
  int calls = 0;
  PassOptions pass;
  pass.threads = 1;
  pass.stop = stop.get_token();
  pass.on_partition = [&](const PassProgress& progress) {
    if (++calls == 1) before_first = opened.Count();
    EXPECT_EQ(progress.partitions_done, calls);
    stop.request_stop();
  };
  Reduction* const reductions[] = {masks->get()};
  const auto stopped = reader->Run(reductions, pass);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind(), ErrorKind::kCancelled);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(before_first, 1U);
  EXPECT_EQ(opened.Count(), 0U);
}

// The same by what is not there: nobody misses a block that nobody reads.
TEST_F(StartTest, BlocksThatAreNotReadNeedNotBeThere) {
  auto dataset = Dataset::Open(directory_);
  ASSERT_TRUE(dataset.ok());
  for (size_t block = 1; block < dataset->blocks().size(); ++block) {
    std::filesystem::remove(directory_ / dataset->blocks()[block].relative_path);
  }
  const auto reader = Reader::Open(directory_);
  ASSERT_TRUE(reader.ok()) << reader.error().ToString();
  const auto frame = reader->ReadFrame(3);
  ASSERT_TRUE(frame.ok()) << frame.error().ToString();
  EXPECT_EQ(*frame, testing_support::SyntheticFrame(options_, 3));
  EXPECT_EQ(reader->ReadFrame(4).error().kind(), ErrorKind::kNotFound);
}

}  // namespace
}  // namespace penstock
