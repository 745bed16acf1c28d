// CachePolicy: what the user has said about what is to be kept: pins and quotas.
//
// A pin keeps what it matches from being evicted until it expires or is taken away. A quota bounds
// the bytes of one top-level folder of the store: above its soft bound the folder is evicted from
// before all others, its hard bound is never passed. Both are kept in policy.json in the cache
// directory (policy_file.h). Thread-safe.

#ifndef PENSTOCK_CACHEFS_POLICY_CACHE_POLICY_H_
#define PENSTOCK_CACHEFS_POLICY_CACHE_POLICY_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cachefs/policy/policy_file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class CachePolicy {
 public:
  // As ReadPolicy.
  static Result<std::unique_ptr<CachePolicy>> Load(const std::filesystem::path& file);

  // Written down before it returns. kInvalidArgument for an empty pattern, a range that is none, an
  // expiry that has passed.
  Result<KeepPin> Add(KeepPin pin);
  // Takes the pins away that have this number, or this pattern; returns how many.
  Result<size_t> Remove(std::optional<int64_t> number, const std::string& pattern);
  // Those that have not expired.
  std::vector<KeepPin> Pins() const;

  // Whether a pin holds block `block` of `dataset`, or (kNoBlock) the file `dataset`. Cheap.
  bool IsKept(std::string_view dataset, int64_t block) const;

  // The first pin that does.
  std::optional<KeepPin> KeptBy(std::string_view dataset, int64_t block) const;

  // Both bounds at UINT64_MAX take the quota away. kInvalidArgument where soft > hard, or the
  // folder is no single name.
  Status SetQuota(const std::string& folder, FolderQuota quota);
  std::map<std::string, FolderQuota> Quotas() const;
  FolderQuota QuotaOf(std::string_view folder) const;

 private:
  explicit CachePolicy(std::filesystem::path file) : file_(std::move(file)) {}
  PolicyContents Copy() const;
  // mutex_ is held; null where there is none.
  const KeepPin* PinOf(std::string_view dataset, int64_t block) const;
  // Writes it down; from then on it holds. `changing_` is held.
  Status Change(PolicyContents contents);

  const std::filesystem::path file_;
  std::mutex changing_;  // held while the file is written, which may take a sick disk for ever
  mutable std::mutex mutex_;
  PolicyContents contents_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_POLICY_CACHE_POLICY_H_
