// Watcher: acquisitions that appear below a folder become datasets once they are complete.
//
// WatchFolders (watch_folders.h) finds out which are complete, WatchWorkers (watch_worker.h) ingest
// them, WatchBook (watch_book.h) knows how each of them stands and reports it; the watcher lets
// them work together. It remembers nothing that is not in the folders and in the store: what has
// been ingested is told by the sidecars there (penstock/ingest/provenance.h), so that a new process
// goes on where the old one stopped.

#ifndef PENSTOCK_TOOLS_WATCHER_H_
#define PENSTOCK_TOOLS_WATCHER_H_

#include <memory>
#include <stop_token>
#include <vector>

#include "tools/penstock/watch_rules.h"
#include "tools/penstock/watcher_options.h"

namespace penstock::tools {

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
