// Watcher: acquisitions that appear below a folder become datasets once they are complete.
//
// It remembers nothing that is not in the folders and in the store: what has been ingested is told
// by the sidecars there (penstock/ingest/provenance.h), so that a new process goes on where the old
// one stopped.

#ifndef PENSTOCK_TOOLS_WATCHER_H_
#define PENSTOCK_TOOLS_WATCHER_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "tools/penstock/watch_rules.h"

namespace penstock::tools {

struct WatcherOptions {
  std::filesystem::path folder;  // absolute and normal
  std::filesystem::path store;
  std::filesystem::path rules;               // "" for everything, without options
  std::chrono::milliseconds quiet{10'000};   // files that have been still for so long are complete
  std::chrono::milliseconds rescan{60'000};  // how often everything is looked at
  int workers = 0;                           // in all; 0: one per CPU
  uint64_t memory_bytes = ingest::kDefaultIngestMemory;  // in all
  int at_once = 1;                                       // acquisitions side by side
  std::filesystem::path status_file;                     // "" for none
  std::filesystem::path metrics_file;
  bool until_idle = false;  // end when nothing is left to wait for
  std::vector<std::string> command_line;
};

class Watcher {
 public:
  Watcher(WatcherOptions options, std::vector<WatchRule> rules);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Until `stop`; ingests under way are then stopped so that a later run continues them. SIGHUP
  // loads the rules again. Returns whether nothing failed.
  bool Run(const std::stop_token& stop);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCHER_H_
