// How each acquisition stands that the watcher knows, and the reports of that.

#ifndef PENSTOCK_TOOLS_WATCH_BOOK_H_
#define PENSTOCK_TOOLS_WATCH_BOOK_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "penstock/ingest/folder.h"
#include "tools/penstock/watch_status.h"
#include "tools/penstock/watcher_options.h"

namespace penstock::tools {

struct WatchEntry {
  ingest::FoundAcquisition found;
  size_t rule = 0;
  std::vector<uint64_t> fingerprints;  // of its files
  std::filesystem::path folder;
  WatchedAcquisition shown;
  std::chrono::milliseconds backoff{0};
  // When a failure that may go away is tried again.
  std::chrono::steady_clock::time_point retry = std::chrono::steady_clock::time_point::max();

  // Queued or being ingested: it must not be forgotten.
  bool is_under_way() const {
    return shown.state == WatchState::kQueued || shown.state == WatchState::kIngesting;
  }
};

// Not thread-safe.
class WatchBook {
 public:
  // `options` has to outlive the book.
  explicit WatchBook(const WatcherOptions& options);

  // By what they are opened by. Who changes an entry or the report calls Changed().
  std::map<std::filesystem::path, WatchEntry>& entries() { return entries_; }
  WatchReport& report() { return report_; }
  void Changed() { is_changed_ = true; }

  // The acquisition at `path` in `folder` waits for `reason`.
  void Wait(const std::filesystem::path& path, const std::filesystem::path& folder,
            const std::string& reason);
  // It failed: counted, logged, shown.
  void Fail(const std::filesystem::path& path, const std::filesystem::path& folder,
            const std::string& reason);
  int64_t CountOf(WatchState state) const;

  // Writes the status and metrics files and tells the service manager, when something has changed,
  // not too often, and now and then anyway; at once where it `is_last`.
  void Report(bool is_last);

 private:
  const WatcherOptions& options_;
  std::map<std::filesystem::path, WatchEntry> entries_;
  WatchReport report_;  // but for what Report() makes of the entries
  bool is_changed_ = true;
  std::chrono::steady_clock::time_point last_report_{};
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCH_BOOK_H_
