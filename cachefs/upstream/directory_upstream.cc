#include <dirent.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cachefs/upstream/read_past_page_cache.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

class OpenedFile final : public UpstreamFile {
 public:
  OpenedFile(FileDescriptor fd, std::filesystem::path path)
      : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<struct stat> Stat() override {
    struct stat status {};
    if (fstat(fd_.get(), &status) != 0) {
      return Error::FromErrno(errno, "cannot stat").In(path_.string());
    }
    return status;
  }

  Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override {
    return ReadSome(fd_.get(), offset, destination, path_);
  }

  Result<uint64_t> Seek(uint64_t offset, int whence) override {
    const off_t found = lseek(fd_.get(), static_cast<off_t>(offset), whence);
    if (found < 0) return Error::FromErrno(errno, "cannot seek").In(path_.string());
    return static_cast<uint64_t>(found);
  }

 private:
  const FileDescriptor fd_;
  const std::filesystem::path path_;
};

class DirectoryUpstream final : public SimpleUpstream {
 public:
  explicit DirectoryUpstream(std::filesystem::path root) : root_(std::move(root)) {}

  Result<struct stat> Stat(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAt(path, O_PATH | O_NOFOLLOW));
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) return Failure("cannot stat", path);
    return status;
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenAt(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(fd.get()));
    if (!directory) return Failure("cannot list", path);
    fd.Release();  // closedir closes it
    std::vector<DirectoryEntry> entries;
    while (true) {
      errno = 0;
      const dirent* const entry = readdir(directory.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      entries.push_back({.name = name,
                         .type = static_cast<mode_t>(DTTOIF(entry->d_type)),
                         .inode = entry->d_ino});
    }
    if (errno != 0) return Failure("cannot list", path);
    return entries;
  }

  std::vector<std::optional<struct stat>> StatEntries(const std::string& directory,
                                                      std::span<const char* const> names) override {
    const auto fd = OpenAt(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!fd.ok()) return {};
    std::vector<std::optional<struct stat>> statuses(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      struct stat status {};
      if (fstatat(fd->get(), names[i], &status, AT_SYMLINK_NOFOLLOW) == 0) statuses[i] = status;
    }
    return statuses;
  }

  Result<std::vector<std::string>> AttributeNames(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAt(path, O_PATH | O_NOFOLLOW));
    std::vector<char> list(XATTR_LIST_MAX);
    const ssize_t length = listxattr(SelfPath(fd).c_str(), list.data(), list.size());
    std::vector<std::string> names;
    if (length < 0 && errno == EOPNOTSUPP) return names;
    if (length < 0) return Failure("cannot list the extended attributes", path);
    std::string_view rest(list.data(), static_cast<size_t>(length));
    while (!rest.empty()) {
      const std::string_view name = rest.substr(0, rest.find('\0'));
      if (name.starts_with("user.")) names.emplace_back(name);
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    }
    return names;
  }

  Result<std::optional<std::string>> Attribute(const std::string& path,
                                               const std::string& name) override {
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAt(path, O_PATH | O_NOFOLLOW));
    std::string value(XATTR_SIZE_MAX, '\0');
    const ssize_t length = getxattr(SelfPath(fd).c_str(), name.c_str(), value.data(), value.size());
    if (length < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) {
      return std::optional<std::string>();
    }
    if (length < 0) return Failure("cannot read the extended attribute " + name, path);
    value.resize(static_cast<size_t>(length));
    return std::optional<std::string>(std::move(value));
  }

  Result<std::string> ReadLink(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAt(path, O_PATH | O_NOFOLLOW));
    char target[PATH_MAX];
    const ssize_t length = readlinkat(fd.get(), "", target, sizeof target);
    if (length < 0) return Failure("cannot read the symbolic link", path);
    return std::string(target, static_cast<size_t>(length));
  }

  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAt(path, kForReading));
    return ReadPastPageCache(fd.get(), offset, destination, FullPath(path));
  }

  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenAt(path, kForReading));
    return std::shared_ptr<UpstreamFile>(
        std::make_shared<OpenedFile>(std::move(fd), FullPath(path)));
  }

  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override {
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenAt(path, kForReading));
    PENSTOCK_RETURN_IF_ERROR(CheckUnchanged(fd, path, identity));
    PENSTOCK_ASSIGN_OR_RETURN(const size_t count,
                              ReadPastPageCache(fd.get(), offset, destination, FullPath(path)));
    // A writer that came between is seen by the times that it leaves.
    PENSTOCK_RETURN_IF_ERROR(CheckUnchanged(fd, path, identity));
    return count;
  }

  Result<UpstreamSpace> Space() override {
    struct statvfs status {};
    if (statvfs(root_.c_str(), &status) != 0) return Unreachable();
    return UpstreamSpace{.total_bytes = status.f_blocks * status.f_frsize,
                         .available_bytes = status.f_bavail * status.f_frsize,
                         .total_files = status.f_files,
                         .free_files = status.f_ffree};
  }

  std::string Name() const override { return root_.string(); }

 private:
  // O_NONBLOCK: a FIFO in the store must not stop a worker.
  static constexpr int kForReading = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

  // Extended attributes are not given to a descriptor of O_PATH itself.
  static std::string SelfPath(const FileDescriptor& fd) {
    return "/proc/self/fd/" + std::to_string(fd.get());
  }

  std::filesystem::path FullPath(const std::string& path) const {
    return path.empty() ? root_ : root_ / path;
  }

  Error Failure(std::string what, const std::string& path) const {
    return Error::FromErrno(errno, std::move(what)).In(FullPath(path).string());
  }

  Error Unreachable() const {
    const bool gone = errno == ENOENT || errno == ENOTDIR;
    return Error::FromErrno(gone ? EIO : errno, "the store cannot be reached")
        .In(root_.string())
        .Advice("check whether it is mounted");
  }

  // A directory below `root` to which no link leads. Invalid with errno set.
  static FileDescriptor OpenBeneath(int root, const std::string& path) {
    open_how how{};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    FileDescriptor opened(
        static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
    // Some containers, and systemd's RestrictSUIDSGID, do without that call.
    if (opened.valid() || errno != ENOSYS) return opened;
    for (const auto& name : std::filesystem::path(path)) {
      if (name == ".." || name.is_absolute()) {
        errno = EXDEV;
        return {};
      }
      const int from = opened.valid() ? opened.get() : root;
      opened =
          FileDescriptor(openat(from, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!opened.valid()) return opened;
    }
    return opened;
  }

  Result<FileDescriptor> OpenAt(const std::string& path, int flags) const {
    const int root_fd = open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0) return Unreachable();
    const FileDescriptor root(root_fd);
    // A link in the last place is to be opened as itself (O_PATH | O_NOFOLLOW): the parent is
    // resolved strictly and the last name without following.
    const size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash);
    const std::string name =
        path.empty() ? "." : (slash == std::string::npos ? path : path.substr(slash + 1));
    const FileDescriptor parent_fd = OpenBeneath(root.get(), parent);
    if (!parent_fd.valid()) return OpenFailure(path);
    const int fd = openat(parent_fd.get(), name.c_str(), flags | O_CLOEXEC);
    if (fd < 0) return OpenFailure(path);
    return FileDescriptor(fd);
  }

  Status CheckUnchanged(const FileDescriptor& fd, const std::string& path,
                        const FileIdentity& identity) const {
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) return Failure("cannot stat", path);
    if (IdentityOf(status) == identity) return {};
    return Error::FromErrno(ESTALE, "the file has changed").In(FullPath(path).string());
  }

  Error OpenFailure(const std::string& path) const {
    // ELOOP and EXDEV: a symbolic link stands where a directory was; for the mount it is gone.
    if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR) errno = ENOENT;
    return Failure("cannot open", path);
  }

  const std::filesystem::path root_;
};

}  // namespace

FileIdentity IdentityOf(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<uint64_t>(status.st_size),
          .mtime_ns = status.st_mtim.tv_sec * kNanosecondsPerSecond + status.st_mtim.tv_nsec,
          .ctime_ns = status.st_ctim.tv_sec * kNanosecondsPerSecond + status.st_ctim.tv_nsec};
}

std::shared_ptr<Upstream> MakeDirectoryUpstream(const std::filesystem::path& root) {
  return std::make_shared<DirectoryUpstream>(root);
}

}  // namespace penstock::cachefs
