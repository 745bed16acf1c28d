#include "cachefs/state/replica_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <memory>
#include <system_error>
#include <utility>

#include "penstock/base/file.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kScanReadAhead = size_t{2} << 20;

// Most of the tables to be had from a cold disk beforehand: some millions of records.
constexpr off_t kMostPrefetched = off_t{512} << 20;

// Everything is about to be read: the disk begins while the database is opened.
void Prefetch(const std::filesystem::path& directory) {
  off_t left = kMostPrefetched;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
    if (entry.path().extension() != ".sst" || left <= 0) continue;
    const FileDescriptor table(open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (!table.valid()) continue;
    left -= lseek(table.get(), 0, SEEK_END);
    posix_fadvise(table.get(), 0, 0, POSIX_FADV_WILLNEED);
  }
}

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

struct ReplicaStore::State {
  std::filesystem::path directory;
  std::unique_ptr<rocksdb::DB> database;

  Error Failure(const rocksdb::Status& status) const {
    return Error(ErrorKind::kIo, "the cache's database failed: " + status.ToString())
        .In(directory.string());
  }
};

ReplicaStore::ReplicaStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
ReplicaStore::~ReplicaStore() = default;
ReplicaStore::ReplicaStore(ReplicaStore&&) noexcept = default;
ReplicaStore& ReplicaStore::operator=(ReplicaStore&&) noexcept = default;

Result<ReplicaStore> ReplicaStore::Open(const std::filesystem::path& directory) {
  auto state = std::make_unique<State>();
  state->directory = directory;
  Prefetch(directory);
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
  if (!opened.ok()) return state->Failure(opened);
  state->database.reset(database);
  return ReplicaStore(std::move(state));
}

std::optional<ReplicaRecord> ReplicaStore::Get(const std::string& id) const {
  std::string text;
  if (!state_->database->Get(rocksdb::ReadOptions(), id, &text).ok()) return std::nullopt;
  return DecodeRecord(text);
}

Status ReplicaStore::Put(const std::string& id, const ReplicaRecord& record, bool sync) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  const rocksdb::Status status = state_->database->Put(options, id, EncodeRecord(record));
  if (!status.ok()) return state_->Failure(status);
  return {};
}

Status ReplicaStore::Remove(const std::string& id) {
  const rocksdb::Status status = state_->database->Delete(rocksdb::WriteOptions(), id);
  if (!status.ok()) return state_->Failure(status);
  return {};
}

std::map<std::string, uint64_t> ReplicaStore::Properties() const {
  std::map<std::string, uint64_t> properties;
  for (const char* const name :
       {"estimate-num-keys", "total-sst-files-size", "cur-size-all-mem-tables", "block-cache-usage",
        "estimate-table-readers-mem", "num-running-compactions", "background-errors"}) {
    uint64_t value = 0;
    if (state_->database->GetIntProperty(std::string("rocksdb.") + name, &value)) {
      properties[name] = value;
    }
  }
  return properties;
}

size_t ReplicaStore::EstimateSize() const {
  uint64_t records = 0;
  state_->database->GetIntProperty("rocksdb.estimate-num-keys", &records);
  return records;
}

void ReplicaStore::ForEach(
    const std::function<void(const std::string& id, const ReplicaRecord&)>& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = kScanReadAhead;
  const std::unique_ptr<rocksdb::Iterator> entry(state_->database->NewIterator(options));
  for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
    if (const auto record = DecodeRecord(entry->value().ToStringView())) {
      visit(entry->key().ToString(), *record);
    }
  }
}

}  // namespace penstock::cachefs
