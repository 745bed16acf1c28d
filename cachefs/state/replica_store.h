// ReplicaStore: what is known about the replicas, in a RocksDB inside the cache directory.
//
// It holds nothing that cannot be found out again from the replica files and the checksums of the
// store: a lost or damaged database is begun anew. A record is trusted only while the file still
// has the size, times and inode it had when the record was written. Order on disk: first the data
// of the replica, then its record. Thread-safe.

#ifndef PENSTOCK_CACHEFS_STATE_REPLICA_STORE_H_
#define PENSTOCK_CACHEFS_STATE_REPLICA_STORE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cachefs/state/replica_record.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class ReplicaStore {
 public:
  // A database that cannot be opened is moved aside once and a new one is begun.
  static Result<ReplicaStore> Open(const std::filesystem::path& directory);
  ~ReplicaStore();
  ReplicaStore(ReplicaStore&&) noexcept;
  ReplicaStore& operator=(ReplicaStore&&) noexcept;

  // Nothing where there is no record or where it cannot be read.
  std::optional<ReplicaRecord> Get(const std::string& id) const;
  // `sync`: the record survives a power loss when Put returns.
  Status Put(const std::string& id, const ReplicaRecord& record, bool sync);
  Status Remove(const std::string& id);
  // What RocksDB says of itself, by the names of its properties, without "rocksdb.".
  std::map<std::string, uint64_t> Properties() const;
  // About how many records there are.
  size_t EstimateSize() const;
  // In the order of the ids. What is given is valid until `visit` returns.
  void ForEach(const std::function<void(std::string_view id, const ReplicaOutline&)>& visit) const;

 private:
  struct State;
  explicit ReplicaStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_STATE_REPLICA_STORE_H_
