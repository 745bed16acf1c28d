#include "catalog/index/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "penstock/base/file.h"

namespace penstock::catalog {

namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

enum class Kind : uint8_t { kDirectory, kLinkToDirectory, kOther };

Kind KindOf(int parent, const dirent& item) {
  if (item.d_type == DT_DIR) return Kind::kDirectory;
  if (item.d_type != DT_LNK && item.d_type != DT_UNKNOWN) return Kind::kOther;
  struct stat status {};
  if (fstatat(parent, item.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) return Kind::kOther;
  if (S_ISDIR(status.st_mode)) return Kind::kDirectory;
  if (!S_ISLNK(status.st_mode)) return Kind::kOther;
  const bool to_directory =
      fstatat(parent, item.d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
  return to_directory ? Kind::kLinkToDirectory : Kind::kOther;
}

bool HasSidecar(const std::filesystem::path& directory) {
  struct stat status {};
  return stat((directory / "nexus.json").c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// Adds the subdirectories of `path` to `waiting`.
Status ListSubdirectories(const StoreFolder& store, const std::string& path,
                          std::vector<std::string>& waiting, RebuildReport& report) {
  const std::filesystem::path directory = store.dataset(path);
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd,
                            OpenFile(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const int number = fd.get();
  const Directory items(fdopendir(number));
  if (items == nullptr) return Error::FromErrno(errno, "cannot list").In(directory);
  (void)fd.Release();  // belongs to `items` now
  ++report.directories;
  const std::string prefix = path.empty() ? "" : path + "/";
  while (true) {
    errno = 0;
    const dirent* item = readdir(items.get());
    if (item == nullptr) break;
    const std::string name = item->d_name;
    if (IsHiddenName(name)) continue;
    const Kind kind = KindOf(number, *item);
    if (kind == Kind::kLinkToDirectory) ++report.symbolic_links;
    if (kind == Kind::kDirectory) waiting.push_back(prefix + name);
  }
  if (errno != 0) return Error::FromErrno(errno, "cannot list").In(directory);
  return {};
}

}  // namespace

Status WalkDatasets(const StoreFolder& store,
                    const std::function<Result<bool>(const std::string& path)>& visit,
                    RebuildReport& report, const std::stop_token& stop) {
  std::vector<std::string> waiting{""};
  while (!waiting.empty()) {
    if (stop.stop_requested()) {
      return Error::Cancelled("stopped while looking for datasets").In(store.root());
    }
    const std::string path = std::move(waiting.back());
    waiting.pop_back();
    if (!path.empty() && HasSidecar(store.dataset(path))) {
      PENSTOCK_ASSIGN_OR_RETURN(const bool is_dataset, visit(path));
      if (is_dataset) continue;
    }
    Status listed = ListSubdirectories(store, path, waiting, report);
    if (listed.ok()) continue;
    if (path.empty()) return listed;
    report.unreadable_directories.push_back(listed.error().ToString());
  }
  return {};
}

}  // namespace penstock::catalog
