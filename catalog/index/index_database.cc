#include "catalog/index/index_database.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <cmath>
#include <utility>

#include "catalog/index/entry_codec.h"
#include "catalog/index/key_encoding.h"

namespace penstock::catalog {

namespace {

constexpr size_t kMemtableBytes = size_t{16} << 20;
constexpr size_t kBlockCacheBytes = size_t{16} << 20;
// A database that is being built is written in batches of about this size.
constexpr size_t kBatchBytes = size_t{1} << 20;

// RocksDB would write (and rotate) a LOG file in the database at every open, even read-only.
class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

rocksdb::Options MakeOptions() {
  rocksdb::Options options;
  options.info_log = std::make_shared<NoLog>();
  options.write_buffer_size = kMemtableBytes;
  // The default forgives a damaged tail of the write-ahead log: entries would be gone silently.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
  options.keep_log_file_num = 1;
  options.max_file_opening_threads = 1;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

Error FromRocksDb(const rocksdb::Status& status, const std::filesystem::path& directory,
                  const char* doing) {
  const ErrorKind kind = status.IsNoSpace()       ? ErrorKind::kNoSpace
                         : status.IsBusy()        ? ErrorKind::kBusy
                         : status.IsMemoryLimit() ? ErrorKind::kIo
                                                  : ErrorKind::kCorrupt;
  return Error(kind, std::string(doing) + " the index of the catalog: " + status.ToString())
      .In(directory);
}

bool IsNumeric(const EntryFact& fact) {
  return fact.value.is_number() && !std::isnan(fact.value.get<double>());
}

}  // namespace

struct IndexDatabase::State {
  // What RocksDB has opened, if it has.
  static Result<std::unique_ptr<State>> Adopt(const rocksdb::Status& status, rocksdb::DB* database,
                                              const std::filesystem::path& directory,
                                              uint64_t minimum_sequence);

  std::filesystem::path directory;
  std::unique_ptr<rocksdb::DB> database;
  bool building = false;
  rocksdb::WriteBatch batch;  // only while building

  Status Write(rocksdb::WriteBatch& writes) const {
    rocksdb::WriteOptions options;
    options.sync = !building;
    options.disableWAL = building;
    const rocksdb::Status status = database->Write(options, &writes);
    if (!status.ok()) return FromRocksDb(status, directory, "cannot write to");
    return {};
  }

  // Adds the deletion of all that is known of `path` to `writes`. False where there is nothing.
  Result<bool> DeleteAll(std::string_view path, rocksdb::WriteBatch& writes) const {
    PENSTOCK_ASSIGN_OR_RETURN(const std::optional<std::string> facts, Get(FactsKey(path)));
    PENSTOCK_ASSIGN_OR_RETURN(const std::optional<std::string> entry, Get(EntryKey(path)));
    PENSTOCK_ASSIGN_OR_RETURN(const std::optional<std::string> message, Get(UnreadableKey(path)));
    if (facts) {
      PENSTOCK_ASSIGN_OR_RETURN(const std::vector<EntryFact> old, DecodeFacts(*facts));
      for (const EntryFact& fact : old) {
        if (IsNumeric(fact)) {
          writes.Delete(FactKey(fact.path, fact.units, fact.value.get<double>(), path));
        }
      }
      writes.Delete(FactsKey(path));
    }
    if (entry) writes.Delete(EntryKey(path));
    if (message) writes.Delete(UnreadableKey(path));
    return entry || message;
  }

  Result<std::optional<std::string>> Get(const std::string& key) const {
    std::string value;
    const rocksdb::Status status = database->Get(rocksdb::ReadOptions(), key, &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return FromRocksDb(status, directory, "cannot read");
    return std::optional<std::string>(std::move(value));
  }

  // Calls visit(key, value) for all keys that begin with `prefix`, from `start` on, until it
  // returns an error or false.
  Status Scan(const std::string& prefix, const std::string& start,
              const std::function<Result<bool>(std::string_view, std::string_view)>& visit) const {
    const std::unique_ptr<rocksdb::Iterator> iterator(
        database->NewIterator(rocksdb::ReadOptions()));
    for (iterator->Seek(start); iterator->Valid(); iterator->Next()) {
      const std::string_view key(iterator->key().data(), iterator->key().size());
      if (!key.starts_with(prefix)) break;
      PENSTOCK_ASSIGN_OR_RETURN(const bool go_on,
                                visit(key, {iterator->value().data(), iterator->value().size()}));
      if (!go_on) break;
    }
    if (!iterator->status().ok()) return FromRocksDb(iterator->status(), directory, "cannot read");
    return {};
  }

  Result<Entry> Decode(std::string path, std::string_view value, bool with_facts) const {
    PENSTOCK_ASSIGN_OR_RETURN(Entry entry, DecodeEntry(std::move(path), value));
    if (with_facts) {
      PENSTOCK_ASSIGN_OR_RETURN(const std::optional<std::string> facts, Get(FactsKey(entry.path)));
      if (!facts) return Error::Corrupt("an entry of the catalog lacks its facts").In(entry.path);
      PENSTOCK_ASSIGN_OR_RETURN(entry.facts, DecodeFacts(*facts));
    }
    return entry;
  }
};

IndexDatabase::IndexDatabase(std::unique_ptr<State> state) : state_(std::move(state)) {}
IndexDatabase::~IndexDatabase() = default;
IndexDatabase::IndexDatabase(IndexDatabase&&) noexcept = default;
IndexDatabase& IndexDatabase::operator=(IndexDatabase&&) noexcept = default;

Result<IndexDatabase> IndexDatabase::Create(const std::filesystem::path& directory) {
  rocksdb::Options options = MakeOptions();
  options.create_if_missing = true;
  options.error_if_exists = true;
  rocksdb::DB* database = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory, &database);
  if (!status.ok()) return FromRocksDb(status, directory, "cannot create");
  auto state = std::make_unique<State>();
  state->directory = directory;
  state->database.reset(database);
  state->building = true;
  return IndexDatabase(std::move(state));
}

namespace {

Status CheckSequence(const rocksdb::DB& database, uint64_t minimum_sequence,
                     const std::filesystem::path& directory) {
  if (database.GetLatestSequenceNumber() >= minimum_sequence) return {};
  return Error::Corrupt("the index of the catalog has lost its last writes")
      .In(directory)
      .Expected("sequence number " + std::to_string(minimum_sequence))
      .Found(std::to_string(database.GetLatestSequenceNumber()));
}

}  // namespace

Result<std::unique_ptr<IndexDatabase::State>> IndexDatabase::State::Adopt(
    const rocksdb::Status& status, rocksdb::DB* database, const std::filesystem::path& directory,
    uint64_t minimum_sequence) {
  if (!status.ok()) return FromRocksDb(status, directory, "cannot open");
  auto state = std::make_unique<State>();
  state->directory = directory;
  state->database.reset(database);
  PENSTOCK_RETURN_IF_ERROR(CheckSequence(*database, minimum_sequence, directory));
  return state;
}

Result<IndexDatabase> IndexDatabase::Open(const std::filesystem::path& directory,
                                          uint64_t minimum_sequence) {
  rocksdb::DB* database = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(MakeOptions(), directory, &database);
  PENSTOCK_ASSIGN_OR_RETURN(auto state,
                            State::Adopt(status, database, directory, minimum_sequence));
  return IndexDatabase(std::move(state));
}

Result<IndexDatabase> IndexDatabase::OpenReadOnly(const std::filesystem::path& directory,
                                                  uint64_t minimum_sequence) {
  rocksdb::DB* database = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(MakeOptions(), directory, &database);
  PENSTOCK_ASSIGN_OR_RETURN(auto state,
                            State::Adopt(status, database, directory, minimum_sequence));
  return IndexDatabase(std::move(state));
}

Status IndexDatabase::Put(const Entry& entry) {
  rocksdb::WriteBatch single;
  rocksdb::WriteBatch& writes = state_->building ? state_->batch : single;
  if (!state_->building) {
    PENSTOCK_RETURN_IF_ERROR(state_->DeleteAll(entry.path, writes));
  }
  writes.Put(EntryKey(entry.path), EncodeEntry(entry));
  writes.Put(FactsKey(entry.path), EncodeFacts(entry.facts));
  for (const EntryFact& fact : entry.facts) {
    if (IsNumeric(fact)) {
      writes.Put(FactKey(fact.path, fact.units, fact.value.get<double>(), entry.path), "");
    }
  }
  if (!state_->building) return state_->Write(writes);
  if (writes.GetDataSize() < kBatchBytes) return {};
  PENSTOCK_RETURN_IF_ERROR(state_->Write(writes));
  writes.Clear();
  return {};
}

Status IndexDatabase::PutUnreadable(const UnreadableDataset& dataset) {
  rocksdb::WriteBatch single;
  rocksdb::WriteBatch& writes = state_->building ? state_->batch : single;
  if (!state_->building) {
    PENSTOCK_RETURN_IF_ERROR(state_->DeleteAll(dataset.path, writes));
  }
  writes.Put(UnreadableKey(dataset.path), dataset.message);
  return state_->building ? Status() : state_->Write(writes);
}

Result<bool> IndexDatabase::Remove(std::string_view path) {
  rocksdb::WriteBatch writes;
  PENSTOCK_ASSIGN_OR_RETURN(const bool existed, state_->DeleteAll(path, writes));
  if (existed) PENSTOCK_RETURN_IF_ERROR(state_->Write(writes));
  return existed;
}

Result<bool> IndexDatabase::PutVerification(std::string_view path, const VerifyRecord& record) {
  PENSTOCK_ASSIGN_OR_RETURN(std::optional<Entry> entry, Get(path, false));
  if (!entry) return false;
  entry->last_verified = record;
  rocksdb::WriteBatch writes;
  writes.Put(EntryKey(path), EncodeEntry(*entry));
  PENSTOCK_RETURN_IF_ERROR(state_->Write(writes));
  return true;
}

Status IndexDatabase::Flush() {
  if (state_->building) {
    PENSTOCK_RETURN_IF_ERROR(state_->Write(state_->batch));
    state_->batch.Clear();
  }
  const rocksdb::Status status = state_->database->Flush(rocksdb::FlushOptions());
  if (!status.ok()) return FromRocksDb(status, state_->directory, "cannot flush");
  return {};
}

Result<std::optional<Entry>> IndexDatabase::Get(std::string_view path, bool with_facts) const {
  PENSTOCK_ASSIGN_OR_RETURN(const std::optional<std::string> value, state_->Get(EntryKey(path)));
  if (!value) return std::optional<Entry>();
  PENSTOCK_ASSIGN_OR_RETURN(Entry entry, state_->Decode(std::string(path), *value, with_facts));
  return std::optional<Entry>(std::move(entry));
}

Status IndexDatabase::VisitEntries(std::string_view prefix, bool with_facts,
                                   const std::function<bool(Entry)>& visit) const {
  const std::string start = EntryKey(prefix);
  return state_->Scan(
      start, start, [&](std::string_view key, std::string_view value) -> Result<bool> {
        PENSTOCK_ASSIGN_OR_RETURN(Entry entry, state_->Decode(PathOfKey(key), value, with_facts));
        return visit(std::move(entry));
      });
}

Result<std::vector<UnreadableDataset>> IndexDatabase::Unreadable(std::string_view prefix) const {
  std::vector<UnreadableDataset> unreadable;
  const std::string start = UnreadableKey(prefix);
  PENSTOCK_RETURN_IF_ERROR(
      state_->Scan(start, start, [&](std::string_view key, std::string_view value) -> Result<bool> {
        unreadable.push_back({.path = PathOfKey(key), .message = std::string(value)});
        return true;
      }));
  return unreadable;
}

Result<std::vector<std::string>> IndexDatabase::PathsByFact(std::string_view fact_path,
                                                            std::string_view units, double low,
                                                            double high) const {
  std::vector<std::string> paths;
  const std::string prefix = FactPrefix(fact_path, units);
  const std::string last = prefix + EncodeNumber(high);
  PENSTOCK_RETURN_IF_ERROR(
      state_->Scan(prefix, prefix + EncodeNumber(low),
                   [&](std::string_view key, std::string_view) -> Result<bool> {
                     if (key.substr(0, last.size()) > last) return false;
                     paths.push_back(PathOfFactKey(key, prefix));
                     return true;
                   }));
  return paths;
}

uint64_t IndexDatabase::sequence() const { return state_->database->GetLatestSequenceNumber(); }

}  // namespace penstock::catalog
