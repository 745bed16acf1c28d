#include "cachefs/state/database.h"

#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <spdlog/spdlog.h>

#include <cstdarg>
#include <cstdio>
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

rocksdb::Options MakeOptions() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.info_log = std::make_shared<DaemonLog>();
  options.write_buffer_size = 4 << 20;
  options.max_open_files = 64;
  return options;
}

}  // namespace

Error DatabaseFailure(const std::filesystem::path& directory, const rocksdb::Status& status) {
  return Error(ErrorKind::kIo, "the cache's database failed: " + status.ToString())
      .In(directory.string());
}

Result<std::unique_ptr<rocksdb::DB>> OpenDatabase(const std::filesystem::path& directory) {
  rocksdb::DB* database = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(MakeOptions(), directory.string(), &database);
  if (!opened.ok()) {
    spdlog::warn("{}: the cache's database cannot be opened ({}); it is begun anew",
                 directory.string(), opened.ToString());
    const std::filesystem::path aside = directory.string() + ".damaged";
    std::error_code failure;
    std::filesystem::remove_all(aside, failure);
    std::filesystem::rename(directory, aside, failure);
    if (failure) return Error::FromErrno(failure.value(), "cannot move").In(directory.string());
    opened = rocksdb::DB::Open(MakeOptions(), directory.string(), &database);
  }
  if (!opened.ok()) return DatabaseFailure(directory, opened);
  return std::unique_ptr<rocksdb::DB>(database);
}

}  // namespace penstock::cachefs
