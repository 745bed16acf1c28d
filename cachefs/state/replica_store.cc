#include "cachefs/state/replica_store.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <spdlog/spdlog.h>

#include <cstdarg>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

namespace penstock::cachefs {

namespace {

using Json = nlohmann::json;

std::string Encode(const ReplicaRecord& record) {
  const Json json = {{"dataset", record.dataset},
                     {"generation", record.generation},
                     {"block", record.block},
                     {"complete", record.complete},
                     {"extents", record.extents},
                     {"device", record.identity.device},
                     {"inode", record.identity.inode},
                     {"size", record.identity.size},
                     {"mtime_ns", record.identity.mtime_ns},
                     {"ctime_ns", record.identity.ctime_ns}};
  // Names of datasets are bytes, not always UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<ReplicaRecord> Decode(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    ReplicaRecord record;
    json.at("dataset").get_to(record.dataset);
    json.at("generation").get_to(record.generation);
    json.at("block").get_to(record.block);
    json.at("complete").get_to(record.complete);
    json.at("extents").get_to(record.extents);
    json.at("device").get_to(record.identity.device);
    json.at("inode").get_to(record.identity.inode);
    json.at("size").get_to(record.identity.size);
    json.at("mtime_ns").get_to(record.identity.mtime_ns);
    json.at("ctime_ns").get_to(record.identity.ctime_ns);
    return record;
  } catch (const Json::exception&) {
    return std::nullopt;
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
  return Decode(text);
}

Status ReplicaStore::Put(const std::string& id, const ReplicaRecord& record, bool sync) {
  rocksdb::WriteOptions options;
  options.sync = sync;
  const rocksdb::Status status = state_->database->Put(options, id, Encode(record));
  if (!status.ok()) return state_->Failure(status);
  return {};
}

Status ReplicaStore::Remove(const std::string& id) {
  const rocksdb::Status status = state_->database->Delete(rocksdb::WriteOptions(), id);
  if (!status.ok()) return state_->Failure(status);
  return {};
}

void ReplicaStore::ForEach(
    const std::function<void(const std::string& id, const ReplicaRecord&)>& visit) const {
  const std::unique_ptr<rocksdb::Iterator> entry(
      state_->database->NewIterator(rocksdb::ReadOptions()));
  for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
    if (const auto record = Decode(entry->value().ToString())) {
      visit(entry->key().ToString(), *record);
    }
  }
}

}  // namespace penstock::cachefs
