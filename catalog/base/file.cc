#include "penstock/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace penstock {

namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

FileIdentity IdentityFromStat(const struct stat& status) {
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<uint64_t>(status.st_size),
          .mtime_ns = status.st_mtim.tv_sec * kNanosecondsPerSecond + status.st_mtim.tv_nsec,
          .ctime_ns = status.st_ctim.tv_sec * kNanosecondsPerSecond + status.st_ctim.tv_nsec};
}

Status WriteAndSync(int fd, std::string_view contents, const std::filesystem::path& path) {
  PENSTOCK_RETURN_IF_ERROR(WriteFully(fd, 0, AsBytes(contents), path));
  if (fsync(fd) != 0) return Error::FromErrno(errno, "cannot sync").In(path);
  return {};
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = other.Release();
  }
  return *this;
}

int FileDescriptor::Release() { return std::exchange(fd_, -1); }

void FileDescriptor::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

Result<FileDescriptor> OpenFile(const std::filesystem::path& path, int flags, mode_t mode) {
  int fd;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return Error::FromErrno(errno, "cannot open").In(path);
  return FileDescriptor(fd);
}

Result<FileIdentity> IdentifyFile(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return Error::FromErrno(errno, "cannot stat").In(path);
  return IdentityFromStat(status);
}

Result<FileIdentity> IdentifyFile(int fd, const std::filesystem::path& path_for_errors) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return Error::FromErrno(errno, "cannot stat").In(path_for_errors);
  return IdentityFromStat(status);
}

Result<size_t> ReadSome(int fd, uint64_t offset, std::span<std::byte> destination,
                        const std::filesystem::path& path_for_errors) {
  size_t done = 0;
  while (done < destination.size()) {
    const ssize_t got = pread(fd, destination.data() + done, destination.size() - done,
                              static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return Error::FromErrno(errno, "cannot read").In(path_for_errors).AtOffset(offset + done);
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Status ReadFully(int fd, uint64_t offset, std::span<std::byte> destination,
                 const std::filesystem::path& path_for_errors) {
  PENSTOCK_ASSIGN_OR_RETURN(const size_t done, ReadSome(fd, offset, destination, path_for_errors));
  if (done == destination.size()) return {};
  return Error::Corrupt("the file ends too early")
      .In(path_for_errors)
      .AtOffset(offset)
      .Expected(std::to_string(destination.size()) + " bytes")
      .Found(std::to_string(done));
}

Status WriteFully(int fd, uint64_t offset, std::span<const std::byte> source,
                  const std::filesystem::path& path_for_errors) {
  size_t done = 0;
  while (done < source.size()) {
    const ssize_t put =
        pwrite(fd, source.data() + done, source.size() - done, static_cast<off_t>(offset + done));
    if (put < 0) {
      if (errno == EINTR) continue;
      return Error::FromErrno(errno, "cannot write").In(path_for_errors).AtOffset(offset + done);
    }
    done += static_cast<size_t>(put);
  }
  return {};
}

Result<std::string> ReadWholeFile(const std::filesystem::path& path, uint64_t limit) {
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDONLY));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  if (identity.size > limit) {
    return Error::Unsupported("the file is too large to be read whole")
        .In(path)
        .Expected("at most " + std::to_string(limit) + " bytes")
        .Found(std::to_string(identity.size));
  }
  std::string contents(identity.size, '\0');
  PENSTOCK_RETURN_IF_ERROR(
      ReadFully(fd.get(), 0, std::as_writable_bytes(std::span(contents)), path));
  return contents;
}

Status WriteNewFile(const std::filesystem::path& path, std::string_view contents, mode_t mode) {
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  return WriteAndSync(fd.get(), contents, path);
}

Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents,
                           mode_t mode) {
  const std::filesystem::path temporary = path.string() + ".part." + std::to_string(getpid());
  Status written = WriteNewFile(temporary, contents, mode);
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    written =
        Error::FromErrno(errno, "cannot rename " + temporary.string() + " to this name").In(path);
  }
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  return SyncDirectory(path.has_parent_path() ? path.parent_path() : ".");
}

Status SyncDirectory(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  if (fsync(fd.get()) != 0) return Error::FromErrno(errno, "cannot sync the directory").In(path);
  return {};
}

Status CreateDirectories(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return Error::FromErrno(code.value(), "cannot create the directory").In(path);
  return {};
}

}  // namespace penstock
