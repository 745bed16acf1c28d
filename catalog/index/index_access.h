// Opening the index in force under the right lock, and replacing it.

#ifndef PENSTOCK_CATALOG_INDEX_INDEX_ACCESS_H_
#define PENSTOCK_CATALOG_INDEX_INDEX_ACCESS_H_

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "catalog/index/current_index.h"
#include "catalog/index/index_database.h"
#include "catalog/index/store_folder.h"
#include "catalog/index/store_lock.h"
#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/catalog/catalog.h"

namespace penstock::catalog {

// True where the error means that the index has to be rebuilt: it is missing, damaged or of another
// schema. Everything else (no space, no permission, busy) would fail a rebuild as well.
bool MeansUnusable(const Error& error);

class WriteAccess {
 public:
  // An index that cannot be used is an error (MeansUnusable), not rebuilt.
  static Result<WriteAccess> Open(const StoreFolder& store, std::chrono::milliseconds patience);
  IndexDatabase& database() { return database_; }
  // Records how far the index was written. To be called after the last write.
  Status Commit(const StoreFolder& store);

 private:
  WriteAccess(StoreLock lock, CurrentIndex current, IndexDatabase database)
      : lock_(std::move(lock)), current_(std::move(current)), database_(std::move(database)) {}
  StoreLock lock_;  // released after the database is closed
  CurrentIndex current_;
  IndexDatabase database_;
};

class ReadAccess {
 public:
  // A rebuild holds the lock for long but leaves the index in force alone, so that reading goes on
  // without the lock after a short wait.
  static Result<ReadAccess> Open(const StoreFolder& store);
  const IndexDatabase& database() const { return database_; }

 private:
  ReadAccess(std::optional<StoreLock> lock, IndexDatabase database)
      : lock_(std::move(lock)), database_(std::move(database)) {}
  std::optional<StoreLock> lock_;
  IndexDatabase database_;
};

// Builds an index in `directory`, which must not exist, from the sidecars and the verification log.
Result<RebuildReport> BuildIndex(const StoreFolder& store, const std::filesystem::path& directory,
                                 uint64_t& sequence, ProgressSink& progress,
                                 const std::stop_token& stop);

struct Replacement {
  bool replaced = false;
  RebuildReport report;  // only where replaced
};

// Builds an index beside the one in force and puts it in its place. With `only_if_failed`, the
// index directory that could not be used ("" for none at all): replaces nothing if
// a usable other one is in force by now, because somebody else has rebuilt it.
Result<Replacement> ReplaceIndex(const StoreFolder& store,
                                 const std::optional<std::string>& only_if_failed,
                                 std::chrono::milliseconds patience, ProgressSink& progress,
                                 const std::stop_token& stop);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_INDEX_ACCESS_H_
