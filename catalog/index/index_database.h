// One index directory: the RocksDB database with the entries of a store. The only file of the
// catalog that knows RocksDB.
//
// Writes are synced one by one, but for a database that is being built. The caller holds the
// StoreLock: shared for reading, exclusive for writing. Not thread-safe.

#ifndef PENSTOCK_CATALOG_INDEX_INDEX_DATABASE_H_
#define PENSTOCK_CATALOG_INDEX_INDEX_DATABASE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/catalog/catalog.h"
#include "penstock/catalog/entry.h"

namespace penstock::catalog {

class IndexDatabase {
 public:
  // A new and empty one; writes are gathered and not durable before Flush.
  static Result<IndexDatabase> Create(const std::filesystem::path& directory);
  // kCorrupt for everything that makes the database unusable, among it a sequence number below
  // `minimum_sequence`.
  static Result<IndexDatabase> Open(const std::filesystem::path& directory,
                                    uint64_t minimum_sequence);
  // Writes nothing, not even a log file of RocksDB.
  static Result<IndexDatabase> OpenReadOnly(const std::filesystem::path& directory,
                                            uint64_t minimum_sequence);
  ~IndexDatabase();
  IndexDatabase(IndexDatabase&&) noexcept;
  IndexDatabase& operator=(IndexDatabase&&) noexcept;

  // Replaces what is known of entry.path, facts included.
  Status Put(const Entry& entry);
  Status PutUnreadable(const UnreadableDataset& dataset);
  // False where there was nothing of that path.
  Result<bool> Remove(std::string_view path);
  // Replaces the entry's verification record, nothing else. False where there is no such entry.
  Result<bool> PutVerification(std::string_view path, const VerifyRecord& record);
  Status Flush();

  Result<std::optional<Entry>> Get(std::string_view path, bool with_facts) const;
  // In bytewise order of the paths that begin with `prefix`. The visitor returns false to stop.
  Status VisitEntries(std::string_view prefix, bool with_facts,
                      const std::function<bool(Entry)>& visit) const;
  Result<std::vector<UnreadableDataset>> Unreadable(std::string_view prefix) const;
  // Ordered by number.
  Result<std::vector<std::string>> PathsByFact(std::string_view fact_path, std::string_view units,
                                               double low, double high) const;

  uint64_t sequence() const;

 private:
  struct State;
  explicit IndexDatabase(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_INDEX_DATABASE_H_
