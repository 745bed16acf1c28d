#include "cachefs/cache/cache_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace penstock::cachefs {

namespace {

constexpr char kMarkerName[] = "penstock-cache.json";
constexpr char kMarkerText[] = "{\"penstock_cache\": 1}\n";
constexpr size_t kIdDigits = 32;
constexpr size_t kFolderDigits = 2;
constexpr uint64_t kStatBlockBytes = 512;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// A marked cache, or an empty directory that becomes one.
Status ClaimDirectory(const std::filesystem::path& path) {
  std::error_code failure;
  if (std::filesystem::exists(path / kMarkerName, failure)) return {};
  // The log may be there already: it is opened before anything else. And the marker may have been
  // under way when the machine or the process ended.
  for (const auto& entry : std::filesystem::directory_iterator(path, failure)) {
    const std::string name = entry.path().filename().string();
    if (name == "penstock.log" || name.starts_with(std::string(kMarkerName) + ".part.")) continue;
    return Error::InvalidArgument("the directory is not empty and not a penstock cache")
        .In(path.string())
        .Found(name)
        .Advice("name a directory that does not exist yet or is empty");
  }
  if (failure) return Error::FromErrno(failure.value(), "cannot list").In(path.string());
  return WriteFileAtomically(path / kMarkerName, kMarkerText);
}

constexpr size_t kMostQuarantined = 4;
constexpr size_t kMostEvidence = 16;

void KeepLatest(const std::filesystem::path& folder, std::string_view extension, size_t most) {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> files;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    if (entry.path().extension() == extension) {
      files.emplace_back(entry.last_write_time(failure), entry.path());
    }
  }
  std::ranges::sort(files);
  for (size_t i = 0; i + most < files.size(); ++i)
    std::filesystem::remove(files[i].second, failure);
}

}  // namespace

Result<CacheDirectory> CacheDirectory::Open(const std::filesystem::path& path) {
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(path));
  CacheDirectory cache;
  std::error_code failure;
  cache.path_ = std::filesystem::canonical(path, failure);
  if (failure) return Error::FromErrno(failure.value(), "cannot resolve").In(path.string());
  PENSTOCK_RETURN_IF_ERROR(ClaimDirectory(cache.path_));

  PENSTOCK_ASSIGN_OR_RETURN(cache.lock_, OpenFile(cache.path_ / "lock", O_RDWR | O_CREAT, 0600));
  if (flock(cache.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return Error::Busy("another penstock mount uses this cache directory")
          .In(cache.path_.string())
          .Advice("give every mount a cache directory of its own");
    }
    return Error::FromErrno(errno, "cannot lock").In((cache.path_ / "lock").string());
  }
  // Other users reach the short-circuit socket in this directory, but nothing beside it.
  for (const char* const name : {"blocks", "sidecars", "state", "memory", "quarantine"}) {
    const std::filesystem::path folder = cache.path_ / name;
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
      return Error::FromErrno(errno, "cannot create").In(folder.string());
    }
    if (chmod(folder.c_str(), 0700) != 0) {
      return Error::FromErrno(errno, "cannot set the mode of").In(folder.string());
    }
  }
  cache.MakeReadOnlyView();
  return cache;
}

void CacheDirectory::MakeReadOnlyView() {
  // A detached clone of the mount: no mount point, visible to nobody else, gone with the process.
  FileDescriptor tree(open_tree(AT_FDCWD, path_.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) {
    view_failure_ = fmt::format("open_tree: {}", std::strerror(errno));
    return;
  }
  mount_attr attributes{};
  // Access times cannot be written through it, and each read would try.
  attributes.attr_clr = MOUNT_ATTR__ATIME;
  attributes.attr_set =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    view_failure_ = fmt::format("mount_setattr: {}", std::strerror(errno));
    return;
  }
  view_ = std::move(tree);
}

std::filesystem::path CacheDirectory::BlockPath(const std::string& id) const {
  return path_ / "blocks" / id.substr(0, kFolderDigits) / id;
}

Result<FileDescriptor> CacheDirectory::OpenForFilling(const std::string& id, uint64_t bytes) const {
  const std::filesystem::path file = BlockPath(id);
  if (mkdir(file.parent_path().c_str(), 0700) != 0 && errno != EEXIST) {
    return Error::FromErrno(errno, "cannot create").In(file.parent_path().string());
  }
  if (chmod(file.c_str(), 0600) != 0 && errno != ENOENT) {
    return Error::FromErrno(errno, "cannot set the mode of").In(file.string());
  }
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  struct stat status {};
  if (fstat(fd.get(), &status) != 0)
    return Error::FromErrno(errno, "cannot stat").In(file.string());
  if (static_cast<uint64_t>(status.st_size) != bytes &&
      ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return Error::FromErrno(errno, "cannot set the size of").In(file.string());
  }
  return fd;
}

bool CacheDirectory::IsSealed(const std::string& id) const {
  struct stat status {};
  return lstat(BlockPath(id).c_str(), &status) == 0 && (status.st_mode & ALLPERMS) == kSealedMode;
}

Result<FileDescriptor> CacheDirectory::OpenReadOnly(const std::string& id) const {
  if (!view_.valid()) return OpenFile(BlockPath(id), O_RDONLY | O_NOFOLLOW);
  const std::string relative = "blocks/" + id.substr(0, kFolderDigits) + "/" + id;
  const int fd = openat(view_.get(), relative.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return Error::FromErrno(errno, "cannot open").In(BlockPath(id).string());
  return FileDescriptor(fd);
}

Status CacheDirectory::Remove(const std::string& id) const {
  if (unlink(BlockPath(id).c_str()) != 0 && errno != ENOENT) {
    return Error::FromErrno(errno, "cannot remove").In(BlockPath(id).string());
  }
  return {};
}

Result<FileDescriptor> CacheDirectory::OpenForChecking(const std::string& id) const {
  auto direct = OpenFile(BlockPath(id), O_RDONLY | O_NOFOLLOW | O_DIRECT);
  if (direct.ok() || direct.error().system_errno() != EINVAL) return direct;
  return OpenFile(BlockPath(id), O_RDONLY | O_NOFOLLOW);
}

Status CacheDirectory::Quarantine(const std::string& id) const {
  const std::filesystem::path folder = path_ / "quarantine";
  const std::filesystem::path place = folder / (id + ".replica");
  if (rename(BlockPath(id).c_str(), place.c_str()) != 0) {
    return Error::FromErrno(errno, "cannot take out of use").In(BlockPath(id).string());
  }
  KeepLatest(folder, ".replica", kMostQuarantined);
  return {};
}

Status CacheDirectory::KeepEvidence(const std::string& id, int64_t extent,
                                    std::span<const std::byte> bytes) const {
  const std::filesystem::path folder = path_ / "quarantine";
  const std::filesystem::path place = folder / fmt::format("{}.{}.extent", id, extent);
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd,
                            OpenFile(place, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  PENSTOCK_RETURN_IF_ERROR(WriteFully(fd.get(), 0, bytes, place));
  KeepLatest(folder, ".extent", kMostEvidence);
  return {};
}

Status CacheDirectory::ForEachFolder(
    const std::function<bool(const std::vector<std::string>& ids)>& visit) const {
  std::error_code failure;
  std::filesystem::directory_iterator folder(path_ / "blocks", failure);
  for (; !failure && folder != std::filesystem::directory_iterator(); folder.increment(failure)) {
    const std::string prefix = folder->path().filename().string();
    if (prefix.size() != kFolderDigits) continue;
    const std::unique_ptr<DIR, CloseDirectory> directory(opendir(folder->path().c_str()));
    if (!directory) {
      if (errno == ENOTDIR) continue;
      return Error::FromErrno(errno, "cannot list").In(folder->path().string());
    }
    std::vector<std::string> ids;
    while (const dirent* const entry = readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (name.size() == kIdDigits && name.starts_with(prefix)) ids.emplace_back(name);
    }
    if (!visit(ids)) return {};
  }
  if (failure) {
    return Error::FromErrno(failure.value(), "cannot list").In((path_ / "blocks").string());
  }
  return {};
}

std::optional<uint64_t> CacheDirectory::AllocatedBytes(const std::string& id) const {
  struct stat status {};
  if (lstat(BlockPath(id).c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(status.st_blocks) * kStatBlockBytes;
}

Status CacheDirectory::Probe() const {
  const std::filesystem::path path = path_ / "probe";
  const std::string text =
      fmt::format("{}\n", std::chrono::system_clock::now().time_since_epoch().count());
  std::string back(text.size(), '\0');
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd,
                            OpenFile(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  PENSTOCK_RETURN_IF_ERROR(WriteFully(fd.get(), 0, AsBytes(text), path));
  if (fdatasync(fd.get()) != 0) return Error::FromErrno(errno, "cannot sync").In(path.string());
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), 0, std::as_writable_bytes(std::span(back)), path));
  if (back != text)
    return Error::Corrupt("the disk gives other bytes than were written").In(path.string());
  return {};
}

Result<CacheDirectory::Space> CacheDirectory::DiskSpace() const {
  struct statvfs status {};
  if (statvfs(path_.c_str(), &status) != 0) {
    return Error::FromErrno(errno, "cannot ask for the free space of").In(path_.string());
  }
  return Space{.total_bytes = status.f_blocks * status.f_frsize,
               .available_bytes = status.f_bavail * status.f_frsize,
               .total_files = status.f_files,
               .available_files = status.f_favail};
}

}  // namespace penstock::cachefs
