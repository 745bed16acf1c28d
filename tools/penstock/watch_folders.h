// The folders below the one that is watched: which acquisitions are in them, and which of those are
// complete.

#ifndef PENSTOCK_TOOLS_WATCH_FOLDERS_H_
#define PENSTOCK_TOOLS_WATCH_FOLDERS_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_set>
#include <vector>

#include "penstock/ingest/folder.h"
#include "tools/penstock/folder_monitor.h"
#include "tools/penstock/watch_book.h"
#include "tools/penstock/watch_rules.h"
#include "tools/penstock/watcher_options.h"

namespace penstock::tools {

// Acquisitions that wait, and those that cannot be opened, are entered in the book; one that is
// complete is, too, and then handed to `ready`. A file is handled once it is done, failed or
// unknown: it is not looked into again until it changes. Not thread-safe.
class WatchFolders {
 public:
  using Clock = std::chrono::steady_clock;
  using ReadyCallback = std::function<void(const std::filesystem::path& key, WatchEntry& entry)>;

  // `options` and `book` have to outlive this.
  WatchFolders(const WatcherOptions& options, WatchBook& book, ReadyCallback ready);

  // Other rules: what was handled may be taken differently now.
  void SetRules(std::shared_ptr<const std::vector<WatchRule>> rules);

  // Walks the tree. Folders and acquisitions that are gone are forgotten, all others are due.
  void LookAtAll();
  // The folder is due soon.
  void LookSoon(const std::filesystem::path& folder);
  // Everything where the last walk is long ago; what the kernel tells of.
  void NoticeChanges();
  // Looks into the folders that are due.
  void LookAtDue();

  void Handle(const std::vector<uint64_t>& fingerprints);

  // Nothing is due, now or later.
  bool IsIdle() const;
  // When LookAtDue() or NoticeChanges() has something to do, unless monitor_fd() is readable
  // before.
  Clock::time_point NextLook() const;
  int monitor_fd() const { return monitor_.fd(); }  // -1 without inotify

 private:
  struct File {
    uint64_t fingerprint = 0;
    Clock::time_point since;  // seen like that for the first time
  };
  struct Folder {
    std::map<std::filesystem::path, File> files;
    Clock::time_point next_look = Clock::time_point::max();
    std::set<std::filesystem::path> waiting;  // acquisitions that this folder waits for
  };

  void Look(const std::filesystem::path& path, Folder& folder);
  bool TakeFiles(const std::filesystem::path& path, Folder& folder, Clock::time_point now);
  void Consider(ingest::FoundAcquisition found, const std::filesystem::path& path, Folder& folder,
                Clock::time_point now, std::set<std::filesystem::path>& waiting);
  void Forget(const std::set<std::filesystem::path>& before,
              const std::set<std::filesystem::path>& waiting);
  void HandleFile(const Folder& folder, const std::filesystem::path& file);
  std::chrono::milliseconds QuietOf(const WatchRule* rule) const;

  const WatcherOptions& options_;
  WatchBook& book_;
  const ReadyCallback ready_;
  std::shared_ptr<const std::vector<WatchRule>> rules_;
  FolderMonitor monitor_;
  std::map<std::filesystem::path, Folder> folders_;
  std::unordered_set<uint64_t> handled_;  // fingerprints
  Clock::time_point last_walk_{};
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCH_FOLDERS_H_
