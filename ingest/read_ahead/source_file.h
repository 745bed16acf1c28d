// How a vendor file is best read: directly or through the page cache.

#ifndef PENSTOCK_INGEST_READ_AHEAD_SOURCE_FILE_H_
#define PENSTOCK_INGEST_READ_AHEAD_SOURCE_FILE_H_

#include <cstdint>
#include <filesystem>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::ingest {

// Below this a file is read faster than its reading is prepared.
inline constexpr uint64_t kMinReadAheadBytes = uint64_t{8} << 20;

// Not thread-safe.
class SourceReadMode {
 public:
  // The descriptor must be open during the call only.
  static Result<SourceReadMode> Of(int fd, const std::filesystem::path& path_for_errors);

  int buffered_fd() const { return buffered_.get(); }
  // -1 where the file is small, on another machine, or its file system has no direct reads.
  int direct_fd() const { return direct_.get(); }
  uint64_t file_bytes() const { return file_bytes_; }
  // The range would be read from the page cache.
  bool IsResident(uint64_t offset, uint64_t bytes) const;
  void GiveUpDirect() { direct_.Close(); }

 private:
  FileDescriptor buffered_;
  FileDescriptor direct_;
  uint64_t file_bytes_ = 0;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_READ_AHEAD_SOURCE_FILE_H_
