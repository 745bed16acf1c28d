#include "tools/penstock/folder_monitor.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "penstock/dataset/dataset.h"
#include "penstock/ingest/folder.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;

// Not IN_MODIFY: whether a file grows is seen when it is looked at.
constexpr uint32_t kEvents = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                             IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

bool IsFolder(const fs::path& path) {
  std::error_code problem;
  return fs::symlink_status(path, problem).type() == fs::file_type::directory;
}

}  // namespace

FolderMonitor::FolderMonitor(fs::path root)
    : root_(std::move(root)), fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (!fd_.valid()) complaint_ = fmt::format("no inotify: {}", std::strerror(errno));
}

void FolderMonitor::Add(const fs::path& folder) {
  if (!fd_.valid() || watch_of_.contains(folder)) return;
  const int watch = inotify_add_watch(fd_.get(), folder.c_str(), kEvents);
  if (watch < 0) {
    if (errno != ENOENT && complaint_.empty()) {
      complaint_ = fmt::format("{} and maybe others cannot be watched: {}{}", folder.string(),
                               std::strerror(errno),
                               errno == ENOSPC ? " (see fs.inotify.max_user_watches)" : "");
    }
    return;
  }
  // A folder that was renamed keeps its number.
  if (const auto before = folder_of_.find(watch); before != folder_of_.end()) {
    watch_of_.erase(before->second);
  }
  folder_of_[watch] = folder;
  watch_of_[folder] = watch;
}

void FolderMonitor::WalkFrom(const fs::path& folder, std::set<fs::path>& found) {
  std::vector<fs::path> folders{folder};
  while (!folders.empty()) {
    const fs::path next = std::move(folders.back());
    folders.pop_back();
    Add(next);  // first: what appears from now on is told
    found.insert(next);
    std::error_code problem;
    for (fs::directory_iterator entry(next, problem), end; !problem && entry != end;
         entry.increment(problem)) {
      if (!ingest::IsVisibleName(entry->path()) || !IsFolder(entry->path())) continue;
      if (!LooksLikeDataset(entry->path())) folders.push_back(entry->path());
    }
  }
}

std::set<fs::path> FolderMonitor::Walk() {
  std::set<fs::path> found;
  WalkFrom(root_, found);
  return found;
}

std::set<fs::path> FolderMonitor::TakeChanged() {
  std::set<fs::path> changed;
  if (!fd_.valid()) return changed;
  alignas(inotify_event) std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t count = read(fd_.get(), buffer.data(), buffer.size());
    if (count <= 0) return changed;
    for (ssize_t at = 0; at < count;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const name = buffer.data() + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        WalkFrom(root_, changed);
        continue;
      }
      const auto folder = folder_of_.find(event.wd);
      if (folder == folder_of_.end()) continue;
      if ((event.mask & IN_IGNORED) != 0) {  // it is gone
        watch_of_.erase(folder->second);
        folder_of_.erase(folder);
        continue;
      }
      const fs::path path = folder->second;
      changed.insert(path);
      if ((event.mask & IN_ISDIR) == 0 || event.len == 0) continue;
      const fs::path below = path / name;
      if (ingest::IsVisibleName(below) && IsFolder(below) && !LooksLikeDataset(below)) {
        WalkFrom(below, changed);
      }
    }
  }
}

}  // namespace penstock::tools
