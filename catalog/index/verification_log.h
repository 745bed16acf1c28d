// STORE/.penstock/verifications.jsonl: one JSON line per verification, append-only.
//
// The dates cannot be derived from the datasets, which are sealed, and must outlive the index: so
// they have a file of their own. A torn or foreign line is counted and passed over.

#ifndef PENSTOCK_CATALOG_INDEX_VERIFICATION_LOG_H_
#define PENSTOCK_CATALOG_INDEX_VERIFICATION_LOG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "catalog/index/store_folder.h"
#include "penstock/base/result.h"
#include "penstock/catalog/entry.h"

namespace penstock::catalog {

struct VerificationLog {
  // The last record of each dataset and generation: key PATH + '\0' + GENERATION.
  std::map<std::string, VerifyRecord, std::less<>> latest;
  int64_t unreadable_lines = 0;

  // Sets entry.last_verified to the last record of this generation at this path, or to nothing.
  void Attach(Entry& entry) const;
};

// Syncs the file. Lines of concurrent writers do not mix.
Status AppendVerification(const StoreFolder& store, std::string_view path,
                          const VerifyRecord& record);

// Records of one path only, or of all for an empty one. Without the file: an empty log.
Result<VerificationLog> ReadVerifications(const StoreFolder& store, std::string_view path = {});

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_VERIFICATION_LOG_H_
