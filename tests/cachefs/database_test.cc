// A database whose disk becomes full goes on by itself once there is room.

#include "cachefs/state/database.h"

#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

namespace penstock::cachefs {
namespace {

// A disk that takes no byte more while it is full.
struct Fullness {
  std::atomic<bool> full{false};
  std::atomic<bool> only_logs{false};  // of what is written; tables find room
  std::atomic<int> refused{0};

  bool Refuses(bool is_log) {
    if (!full || (only_logs && !is_log)) return false;
    ++refused;
    return true;
  }
};

class FullFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FullFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, bool is_log, Fullness& fullness)
      : FSWritableFileOwnerWrapper(std::move(file)), is_log_(is_log), fullness_(fullness) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& bytes, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* context) override {
    if (fullness_.Refuses(is_log_))
      return rocksdb::IOStatus::NoSpace("the disk of the test is full");
    return FSWritableFileOwnerWrapper::Append(bytes, options, context);
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& bytes, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& /*verification*/,
                           rocksdb::IODebugContext* context) override {
    return Append(bytes, options, context);
  }

 private:
  const bool is_log_;
  Fullness& fullness_;
};

class FullDisk final : public rocksdb::FileSystemWrapper {
 public:
  explicit FullDisk(Fullness& fullness)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), fullness_(fullness) {}

  const char* Name() const override { return "FullDisk"; }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSWritableFile> made;
    rocksdb::IOStatus done = FileSystemWrapper::NewWritableFile(name, options, &made, context);
    if (done.ok())
      *file = std::make_unique<FullFile>(std::move(made), name.ends_with(".log"), fullness_);
    return done;
  }

 private:
  Fullness& fullness_;
};

class DatabaseTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/penstock-database-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    Open();
  }
  void TearDown() override {
    database_.reset();
    std::filesystem::remove_all(root_);
  }
  void Open() {
    database_.reset();
    auto database = OpenDatabase(root_ / "state", disk_.get());
    ASSERT_TRUE(database.ok()) << database.error().ToString();
    database_ = *std::move(database);
  }
  rocksdb::Status Put(const std::string& key) { return database_->Put({}, key, "of " + key); }
  std::string Get(const std::string& key) {
    std::string value;
    return database_->Get({}, key, &value).ok() ? value : "nothing";
  }
  bool Becomes(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  std::filesystem::path root_;
  Fullness fullness_;
  std::unique_ptr<rocksdb::Env> disk_ =
      rocksdb::NewCompositeEnv(std::make_shared<FullDisk>(fullness_));
  std::unique_ptr<rocksdb::DB> database_;
};

TEST_F(DatabaseTest, GoesOnWhenThereIsRoomAgain) {
  ASSERT_TRUE(Put("before").ok());
  ASSERT_TRUE(Put("taken back").ok());
  fullness_.full = true;
  EXPECT_TRUE(Put("in vain").IsNoSpace());
  ASSERT_GT(fullness_.refused, 0);
  // What was written before can be read all the while.
  EXPECT_EQ(Get("before"), "of before");
  EXPECT_EQ(Get("in vain"), "nothing");

  fullness_.full = false;
  ASSERT_TRUE(Becomes([&] { return Put("after").ok(); }));
  ASSERT_TRUE(database_->Delete({}, "taken back").ok());
  EXPECT_EQ(Get("after"), "of after");
  Open();
  EXPECT_EQ(Get("before"), "of before");
  EXPECT_EQ(Get("after"), "of after");
  EXPECT_EQ(Get("taken back"), "nothing");
  EXPECT_EQ(Get("in vain"), "nothing");
  EXPECT_FALSE(std::filesystem::exists(root_ / "state.damaged"));
}

TEST_F(DatabaseTest, NoWriteOfAnyKindReachesTheDiskThatRefusedOne) {
  ASSERT_TRUE(Put("before").ok());
  fullness_.full = true;
  ASSERT_FALSE(Put("first").ok());
  // RocksDB tries by itself from time to time whether there is room: what counts are our writes.
  rocksdb::WriteBatch batch;
  ASSERT_TRUE(batch.Put("batch", "x").ok());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(Put("again").ok());
    EXPECT_FALSE(database_->Delete({}, "before").ok());
    EXPECT_FALSE(database_->DeleteRange({}, database_->DefaultColumnFamily(), "a", "z").ok());
    EXPECT_FALSE(database_->Write({}, &batch).ok());
  }
  EXPECT_LT(fullness_.refused, 1000);
  EXPECT_EQ(Get("before"), "of before");
  fullness_.full = false;
  ASSERT_TRUE(Becomes([&] { return database_->Write({}, &batch).ok(); }));
  Open();
  EXPECT_EQ(Get("before"), "of before");
  EXPECT_EQ(Get("batch"), "x");
  EXPECT_EQ(Get("again"), "nothing");
}

TEST_F(DatabaseTest, FullAgainAndAgain) {
  for (int round = 0; round < 3; ++round) {
    const std::string key = std::to_string(round);
    ASSERT_TRUE(Becomes([&] { return Put(key).ok(); }));
    fullness_.full = true;
    EXPECT_FALSE(Put("in vain").ok());
    fullness_.full = false;
  }
  // Also by a daemon that ends while the disk is full.
  fullness_.full = true;
  database_.reset();
  fullness_.full = false;
  Open();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Get(std::to_string(round)), "of " + std::to_string(round));
  }
  EXPECT_TRUE(Put("after").ok());
}

TEST_F(DatabaseTest, FullFromTheFirstWriteOn) {
  fullness_.full = true;
  EXPECT_FALSE(Put("in vain").ok());
  fullness_.full = false;
  ASSERT_TRUE(Becomes([&] { return Put("after").ok(); }));
  Open();
  EXPECT_EQ(Get("after"), "of after");
  EXPECT_EQ(Get("in vain"), "nothing");
}

// It goes on, finds no room for the next write, goes on again.
TEST_F(DatabaseTest, RoomForAMomentOnly) {
  ASSERT_TRUE(Put("before").ok());
  fullness_.only_logs = true;
  fullness_.full = true;
  EXPECT_FALSE(Put("in vain").ok());
  for (int before = fullness_.refused; fullness_.refused < before + 3;) {
    EXPECT_FALSE(Put("in vain").ok());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  fullness_.full = false;
  ASSERT_TRUE(Becomes([&] { return Put("after").ok(); }));
  Open();
  EXPECT_EQ(Get("before"), "of before");
  EXPECT_EQ(Get("after"), "of after");
  EXPECT_EQ(Get("in vain"), "nothing");
}

TEST_F(DatabaseTest, OneThatCannotBeOpenedIsBegunAnewAndKeptBeside) {
  ASSERT_TRUE(Put("before").ok());
  database_.reset();
  std::filesystem::resize_file(root_ / "state/CURRENT", 3);
  Open();
  EXPECT_EQ(Get("before"), "nothing");
  EXPECT_TRUE(Put("after").ok());
  EXPECT_TRUE(std::filesystem::exists(root_ / "state.damaged/CURRENT"));
}

}  // namespace
}  // namespace penstock::cachefs
