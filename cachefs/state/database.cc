#include "cachefs/state/database.h"

#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/utilities/stackable_db.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <system_error>

namespace penstock::cachefs {

namespace {

// RocksDB's own log file lies beside the database: on a full cache disk writing to it fails, and
// RocksDB builds with assertions abort the process on the write after that. What matters goes to
// the daemon's log instead.
class DaemonLog final : public rocksdb::Logger {
 public:
  DaemonLog() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    spdlog::warn("cache database: {}", line);
  }
};

// Writes one after another, and none after one that failed until RocksDB has resumed. RocksDB stops
// itself after a failure, but a moment later: a write in between reaches the broken log, which
// builds with assertions answer by aborting the process.
class CarefulDatabase final : public rocksdb::StackableDB {
 public:
  using StackableDB::Delete;
  using StackableDB::DeleteRange;
  using StackableDB::Put;
  using StackableDB::StackableDB;

  rocksdb::Status Put(const rocksdb::WriteOptions& options, rocksdb::ColumnFamilyHandle* family,
                      const rocksdb::Slice& key, const rocksdb::Slice& value) override {
    return Carefully([&] { return StackableDB::Put(options, family, key, value); });
  }
  rocksdb::Status Delete(const rocksdb::WriteOptions& options, rocksdb::ColumnFamilyHandle* family,
                         const rocksdb::Slice& key) override {
    return Carefully([&] { return StackableDB::Delete(options, family, key); });
  }
  rocksdb::Status DeleteRange(const rocksdb::WriteOptions& options,
                              rocksdb::ColumnFamilyHandle* family, const rocksdb::Slice& first,
                              const rocksdb::Slice& end) override {
    return Carefully([&] { return StackableDB::DeleteRange(options, family, first, end); });
  }
  rocksdb::Status Write(const rocksdb::WriteOptions& options, rocksdb::WriteBatch* batch) override {
    return Carefully([&] { return StackableDB::Write(options, batch); });
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPause{1};

  template <typename Call>
  rocksdb::Status Carefully(Call&& call) {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok()) {
      if (Clock::now() < next_attempt_) return failure_;
      next_attempt_ = Clock::now() + kPause;
      // Why it stopped is what is to be known; that RocksDB itself tries to go on is no news.
      if (!Revive().ok()) return failure_;
      failure_ = rocksdb::Status::OK();
    }
    if (const rocksdb::Status prepared = FillMemory(); !prepared.ok()) return prepared;
    const rocksdb::Status done = call();
    if (!done.ok()) {
      failure_ = done;
      next_attempt_ = Clock::now() + kPause;
    }
    return done;
  }

  // RocksDB begins a new log when it goes on, in the place of the broken one, but only where there
  // is something in memory to be written to a table: with nothing there it would write to the
  // broken one. So there is always something, and writing it out tells whether the log is a new
  // one.
  rocksdb::Status Revive() {
    // (StackableDB does not pass it on.)
    if (rocksdb::Status resumed = GetBaseDB()->Resume(); !resumed.ok()) return resumed;
    if (rocksdb::Status filled = FillMemory(); !filled.ok()) return filled;
    return StackableDB::Flush(rocksdb::FlushOptions(), DefaultColumnFamily());
  }

  rocksdb::Status FillMemory() {
    uint64_t entries = 0;
    const bool known = GetIntProperty(rocksdb::DB::Properties::kNumEntriesActiveMemTable, &entries);
    if (known && entries > 0) return {};
    rocksdb::WriteOptions past_the_log;
    past_the_log.disableWAL = true;
    // Of a key that nobody has. (A plain deletion is subtracted from the estimate of keys.)
    return StackableDB::SingleDelete(past_the_log, DefaultColumnFamily(), std::string(1, '\0'));
  }

  std::mutex mutex_;
  rocksdb::Status failure_;
  Clock::time_point next_attempt_;
};

rocksdb::Options MakeOptions(rocksdb::Env* disk) {
  rocksdb::Options options;
  options.env = disk;
  options.create_if_missing = true;
  options.info_log = std::make_shared<DaemonLog>();
  options.write_buffer_size = 4 << 20;
  options.max_open_files = 64;
  return options;
}

}  // namespace

Error DatabaseFailure(const std::filesystem::path& directory, const rocksdb::Status& status) {
  // A full disk is not sick.
  const ErrorKind kind = status.IsNoSpace() ? ErrorKind::kNoSpace : ErrorKind::kIo;
  return Error(kind, "the cache's database failed: " + status.ToString()).In(directory.string());
}

Result<std::unique_ptr<rocksdb::DB>> OpenDatabase(const std::filesystem::path& directory,
                                                  rocksdb::Env* disk) {
  rocksdb::DB* database = nullptr;
  const rocksdb::Options options = MakeOptions(disk);
  rocksdb::Status opened = rocksdb::DB::Open(options, directory.string(), &database);
  if (!opened.ok()) {
    spdlog::warn("{}: the cache's database cannot be opened ({}); it is begun anew",
                 directory.string(), opened.ToString());
    const std::filesystem::path aside = directory.string() + ".damaged";
    std::error_code failure;
    std::filesystem::remove_all(aside, failure);
    std::filesystem::rename(directory, aside, failure);
    if (failure) return Error::FromErrno(failure.value(), "cannot move").In(directory.string());
    opened = rocksdb::DB::Open(options, directory.string(), &database);
  }
  if (!opened.ok()) return DatabaseFailure(directory, opened);
  return std::unique_ptr<rocksdb::DB>(std::make_unique<CarefulDatabase>(database));
}

}  // namespace penstock::cachefs
