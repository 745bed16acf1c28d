// The lock among processes and threads that use one catalog: many readers or one writer.
//
// RocksDB has a lock of its own, but only for writers, and it fails at once. Held for milliseconds
// but by a rebuild. Released by the kernel when its holder dies.

#ifndef PENSTOCK_CATALOG_INDEX_STORE_LOCK_H_
#define PENSTOCK_CATALOG_INDEX_STORE_LOCK_H_

#include <chrono>

#include "catalog/index/store_folder.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::catalog {

class StoreLock {
 public:
  // For writing; creates the lock file (and the .penstock folder). kBusy after `patience`,
  // kPermission where the folder cannot be written.
  static Result<StoreLock> Exclusive(const StoreFolder& store, std::chrono::milliseconds patience);
  // For reading. kNotFound where there is no lock file.
  static Result<StoreLock> Shared(const StoreFolder& store, std::chrono::milliseconds patience);

 private:
  explicit StoreLock(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor fd_;  // closing it releases the lock
};

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_STORE_LOCK_H_
