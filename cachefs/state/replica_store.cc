#include "cachefs/state/replica_store.h"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <unistd.h>

#include <memory>
#include <system_error>
#include <utility>

#include "cachefs/state/database.h"
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

}  // namespace

struct ReplicaStore::State {
  std::filesystem::path directory;
  std::unique_ptr<rocksdb::DB> database;

  Error Failure(const rocksdb::Status& status) const { return DatabaseFailure(directory, status); }
};

ReplicaStore::ReplicaStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
ReplicaStore::~ReplicaStore() = default;
ReplicaStore::ReplicaStore(ReplicaStore&&) noexcept = default;
ReplicaStore& ReplicaStore::operator=(ReplicaStore&&) noexcept = default;

Result<ReplicaStore> ReplicaStore::Open(const std::filesystem::path& directory) {
  auto state = std::make_unique<State>();
  state->directory = directory;
  Prefetch(directory);
  PENSTOCK_ASSIGN_OR_RETURN(state->database, OpenDatabase(directory));
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
    const std::function<void(std::string_view id, const ReplicaOutline&)>& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = kScanReadAhead;
  const std::unique_ptr<rocksdb::Iterator> entry(state_->database->NewIterator(options));
  ReplicaRecord storage;
  for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
    if (const auto outline = OutlineRecord(entry->value().ToStringView(), storage)) {
      visit(entry->key().ToStringView(), *outline);
    }
  }
}

}  // namespace penstock::cachefs
