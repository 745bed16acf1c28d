// STORE/.penstock/catalog/current.json: which of the index directories beside it is in force, of
// which schema it is, and how far it was written.
//
// It is replaced by rename only, so that a fresh index takes over at once and a reader sees either.
// RocksDB checks the files that its manifest names, but a manifest that lost its end is a legal
// older state: the recorded sequence number tells that something is missing.

#ifndef PENSTOCK_CATALOG_INDEX_CURRENT_INDEX_H_
#define PENSTOCK_CATALOG_INDEX_CURRENT_INDEX_H_

#include <cstdint>
#include <string>

#include "catalog/index/store_folder.h"
#include "penstock/base/result.h"

namespace penstock::catalog {

inline constexpr int64_t kSchemaVersion = 1;

struct CurrentIndex {
  std::string directory;  // "index-3", beside current.json
  uint64_t sequence = 0;  // the index has at least this RocksDB sequence number
};

// kNotFound where there is none, kCorrupt where it is damaged, kUnsupported for another schema.
Result<CurrentIndex> ReadCurrentIndex(const StoreFolder& store);
Status WriteCurrentIndex(const StoreFolder& store, const CurrentIndex& current);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_CURRENT_INDEX_H_
