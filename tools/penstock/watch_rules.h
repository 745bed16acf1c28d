// The rules of `penstock watch`: which acquisitions are ingested, and how.
//
// A JSON list of objects; the first whose "match" fits the path of an acquisition holds. Besides
// the keys below a rule has the options of `penstock ingest`, with '_' in place of '-'.

#ifndef PENSTOCK_TOOLS_WATCH_RULES_H_
#define PENSTOCK_TOOLS_WATCH_RULES_H_

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"

namespace penstock::tools {

struct WatchRule {
  std::string match;                   // shell pattern; '*' also stands for '/'
  bool ignore = false;                 // leave what matches alone
  std::string name = "{path}/{name}";  // of the dataset, below the store
  std::optional<std::chrono::milliseconds> quiet;
  ingest::IngestOptions options;  // without destination, workers, memory
};

// kInvalidArgument with file, rule and key for anything that is not a rule.
Result<std::vector<WatchRule>> ReadWatchRules(const std::filesystem::path& path);

// Everything, without any options: for a watch without rules.
std::vector<WatchRule> DefaultWatchRules();

// The first that matches; null where none does. `relative`: to the watched folder.
const WatchRule* FindRule(const std::vector<WatchRule>& rules,
                          const std::filesystem::path& relative);

// What the placeholders of a name stand for.
struct NameParts {
  std::filesystem::path relative;  // of the file, to the watched folder
  std::string name;                // that the source suggests
  std::string format;
  int64_t modified_ns = 0;  // of the first file
};

// The dataset's path relative to the store: {name}, {path} (folders below the watched one),
// {folder} (the last of them), {format}, {date} (UTC, of the last modification). kInvalidArgument
// where that leads outside of the store or to a hidden name.
Result<std::filesystem::path> ExpandName(const std::string& name, const NameParts& parts);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCH_RULES_H_
