// Files by descriptor: ownership, whole reads and writes, durable publication.
//
// All functions are thread-safe; a FileDescriptor object itself is not.

#ifndef PENSTOCK_BASE_FILE_H_
#define PENSTOCK_BASE_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "penstock/base/result.h"

namespace penstock {

// Owns an open descriptor and closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release();
  void Close();

 private:
  int fd_ = -1;
};

// What tells one state of a file from another. Two equal identities are taken to be the same bytes.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;  // bytes
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;

  bool operator==(const FileIdentity&) const = default;
};

// open(2) with O_CLOEXEC added.
Result<FileDescriptor> OpenFile(const std::filesystem::path& path, int flags, mode_t mode = 0644);

Result<FileIdentity> IdentifyFile(const std::filesystem::path& path);
Result<FileIdentity> IdentifyFile(int fd, const std::filesystem::path& path_for_errors);

// Reads exactly destination.size() bytes at `offset`. Fewer bytes (end of file) is kCorrupt with
// the offset named; `path_for_errors` is only used in messages.
Status ReadFully(int fd, uint64_t offset, std::span<std::byte> destination,
                 const std::filesystem::path& path_for_errors);

// Reads up to destination.size() bytes at `offset`; the result is the number read, less than asked
// only at the end of the file.
Result<size_t> ReadSome(int fd, uint64_t offset, std::span<std::byte> destination,
                        const std::filesystem::path& path_for_errors);

Status WriteFully(int fd, uint64_t offset, std::span<const std::byte> source,
                  const std::filesystem::path& path_for_errors);

// The whole file, refused (kUnsupported) when it is larger than `limit` bytes.
Result<std::string> ReadWholeFile(const std::filesystem::path& path, uint64_t limit);

// Writes a temporary file beside `path`, syncs it, renames it to `path` and syncs the directory.
Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents,
                           mode_t mode = 0644);

// Writes and syncs a new file; for files inside a directory that is published as a whole.
Status WriteNewFile(const std::filesystem::path& path, std::string_view contents,
                    mode_t mode = 0644);

// fsync of a directory, so that names created or renamed in it survive a power loss.
Status SyncDirectory(const std::filesystem::path& path);

// mkdir -p.
Status CreateDirectories(const std::filesystem::path& path);

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace penstock

#endif  // PENSTOCK_BASE_FILE_H_
