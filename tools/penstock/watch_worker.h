// The ingests of the watcher, on threads of their own.

#ifndef PENSTOCK_TOOLS_WATCH_WORKER_H_
#define PENSTOCK_TOOLS_WATCH_WORKER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "penstock/ingest/folder.h"
#include "tools/penstock/watch_rules.h"
#include "tools/penstock/watcher_options.h"

namespace penstock::tools {

struct WatchJob {
  std::filesystem::path key;
  ingest::FoundAcquisition found;
  std::shared_ptr<const std::vector<WatchRule>> rules;
  size_t rule = 0;
};

struct WatchOutcome {
  std::filesystem::path key;
  bool ok = false;
  bool cancelled = false;
  bool was_done = false;  // the store has this dataset already
  std::string destination;
  std::string reason;         // why it failed
  bool is_transient = false;  // the failure may go away by itself: the store is at fault
  uint64_t bytes = 0;
};

// Thread-safe.
class WatchWorkers {
 public:
  // `options.at_once` threads, which share the workers and the memory of the options. `wake` is
  // called on one of them whenever Take() has news. `options` has to outlive this.
  WatchWorkers(const WatcherOptions& options, std::stop_token stop, std::function<void()> wake);
  ~WatchWorkers() { End(); }
  WatchWorkers(const WatchWorkers&) = delete;
  WatchWorkers& operator=(const WatchWorkers&) = delete;

  void Add(WatchJob job);

  struct News {
    std::vector<std::filesystem::path> started;  // keys
    std::vector<WatchOutcome> outcomes;          // what ended has been among `started` before
  };
  // Since the last call.
  News Take();

  // Waits for the ingests under way (which end soon once `stop` was requested). What is queued
  // stays undone.
  void End();

 private:
  void Work();
  WatchOutcome Ingest(const WatchJob& job) const;

  const WatcherOptions& options_;
  const std::stop_token stop_;
  const std::function<void()> wake_;

  std::mutex mutex_;  // guards what follows but for `threads_`
  std::condition_variable changed_;
  std::deque<WatchJob> queue_;
  News news_;
  bool ending_ = false;

  std::vector<std::jthread> threads_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCH_WORKER_H_
