// How the databases of a cache directory are opened.

#ifndef PENSTOCK_CACHEFS_STATE_DATABASE_H_
#define PENSTOCK_CACHEFS_STATE_DATABASE_H_

#include <rocksdb/db.h>

#include <filesystem>
#include <memory>

#include "penstock/base/result.h"

namespace penstock::cachefs {

// A database that cannot be opened is moved aside once and a new one is begun. What it has to say
// goes to the daemon's log. After a write that failed (a full disk) the next ones fail at once, and
// once a second it is tried whether the database can go on. `disk` (tests: one that fails) must
// outlive it.
Result<std::unique_ptr<rocksdb::DB>> OpenDatabase(const std::filesystem::path& directory,
                                                  rocksdb::Env* disk = rocksdb::Env::Default());

Error DatabaseFailure(const std::filesystem::path& directory, const rocksdb::Status& status);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_STATE_DATABASE_H_
