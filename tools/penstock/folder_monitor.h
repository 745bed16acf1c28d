// Which folders below a root something happened in: inotify where the kernel tells, and all of them
// now and then, since it tells nothing of what other machines do on a network file system.

#ifndef PENSTOCK_TOOLS_FOLDER_MONITOR_H_
#define PENSTOCK_TOOLS_FOLDER_MONITOR_H_

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "penstock/base/file.h"

namespace penstock::tools {

// Not thread-safe.
class FolderMonitor {
 public:
  explicit FolderMonitor(std::filesystem::path root);

  // Readable when there are events; -1 where the kernel has no inotify.
  int fd() const { return fd_.get(); }
  // Folders in which something happened since the last call. Folders that are new are watched.
  std::set<std::filesystem::path> TakeChanged();
  // All folders, by looking; those that are new are watched.
  std::set<std::filesystem::path> Walk();
  // "" or why some folders are only looked at now and then.
  const std::string& complaint() const { return complaint_; }

 private:
  void Add(const std::filesystem::path& folder);
  void WalkFrom(const std::filesystem::path& folder, std::set<std::filesystem::path>& found);

  const std::filesystem::path root_;
  FileDescriptor fd_;
  std::map<int, std::filesystem::path> folder_of_;
  std::map<std::filesystem::path, int> watch_of_;
  std::string complaint_;
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_FOLDER_MONITOR_H_
