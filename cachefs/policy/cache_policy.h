// CachePolicy: what the user has said about what is to be kept: pins and quotas.
//
// A pin keeps what it matches from being evicted until it expires or is taken away. A quota bounds
// the bytes of one top-level folder of the store: above its soft bound the folder is evicted from
// before all others, its hard bound is never passed. Both are kept in policy.json in the cache
// directory, which no database can rebuild. Thread-safe.

#ifndef PENSTOCK_CACHEFS_POLICY_CACHE_POLICY_H_
#define PENSTOCK_CACHEFS_POLICY_CACHE_POLICY_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

struct KeepPin {
  int64_t number = 0;  // given by Add, never used again
  // A path of the store with everything below it, or with *, ? and [] a glob in which * also stands
  // for slashes. Of a block the path that is matched is its dataset's.
  std::string pattern;
  // Of datasets: only these blocks. Nothing: all of them, and the other files, too.
  std::optional<std::pair<int64_t, int64_t>> blocks = {};  // first and last
  std::string owner = {};
  std::string reason = {};
  int64_t created = 0;                  // seconds since 1970
  std::optional<int64_t> expires = {};  // the same; nothing: never
};

struct FolderQuota {
  uint64_t soft_bytes = UINT64_MAX;
  uint64_t hard_bytes = UINT64_MAX;
};

Json ToJson(const KeepPin& pin);

class CachePolicy {
 public:
  // Reads the file; a missing one is an empty policy. A file that cannot be understood is
  // kCorrupt: what users asked to keep is not thrown away silently.
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
  struct Contents {
    int64_t next_number = 1;
    std::vector<KeepPin> pins;
    std::map<std::string, FolderQuota, std::less<>> quotas;
  };

  explicit CachePolicy(std::filesystem::path file) : file_(std::move(file)) {}
  Contents Copy() const;
  // mutex_ is held; null where there is none.
  const KeepPin* PinOf(std::string_view dataset, int64_t block) const;
  // Writes it down; from then on it holds. `changing_` is held.
  Status Change(Contents contents);

  const std::filesystem::path file_;
  std::mutex changing_;  // held while the file is written, which may take a sick disk for ever
  mutable std::mutex mutex_;
  Contents contents_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_POLICY_CACHE_POLICY_H_
