// policy.json: the pins and quotas of a cache, which nothing else can tell. There are two copies,
// each with its checksum (state/checked_json.h): policy.json and policy.json.copy beside it.

#ifndef PENSTOCK_CACHEFS_POLICY_POLICY_FILE_H_
#define PENSTOCK_CACHEFS_POLICY_POLICY_FILE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

struct KeepPin {
  int64_t number = 0;  // given by CachePolicy::Add, never used again
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

struct PolicyContents {
  int64_t next_number = 1;
  std::vector<KeepPin> pins;
  std::map<std::string, FolderQuota, std::less<>> quotas;
};

Json ToJson(const KeepPin& pin);

// Of a file that is damaged or gone the copy is taken and put in its place; that is said in the log
// as an error, and what was damaged stays as policy.json.damaged. Without either there is no policy
// yet. kCorrupt where neither can be understood: what users asked to keep is not thrown away
// silently.
Result<PolicyContents> ReadPolicy(const std::filesystem::path& file);

// Durably. An error where the file could not be written; a copy that could not is told in the log.
Status WritePolicy(const std::filesystem::path& file, const PolicyContents& contents);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_POLICY_POLICY_FILE_H_
