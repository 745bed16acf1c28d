#include "ingest/read_ahead/source_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "penstock/base/page_cache.h"

namespace penstock::ingest {

namespace {

// Servers' file systems have caches and read-ahead of their own; the numbers are those of
// linux/magic.h, Lustre, GPFS and Ceph's client.
bool IsOnThisMachine(int fd) {
  struct statfs system {};
  if (fstatfs(fd, &system) != 0) return false;
  static constexpr std::array<uint32_t, 9> kRemote = {
      0x6969,      // NFS
      0x517B,      // SMB
      0xFF534D42,  // CIFS
      0xFE534D42,  // SMB2
      0x0BD00BD0,  // Lustre
      0x47504653,  // GPFS
      0x00C36400,  // Ceph
      0x65735546,  // FUSE
      0x01021997,  // 9P
  };
  return std::ranges::find(kRemote, static_cast<uint32_t>(system.f_type)) == kRemote.end();
}

}  // namespace

Result<SourceReadMode> SourceReadMode::Of(int fd, const std::filesystem::path& path_for_errors) {
  SourceReadMode mode;
  mode.buffered_ = FileDescriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (mode.buffered_.get() < 0) {
    return Error::FromErrno(errno, "cannot duplicate the descriptor").In(path_for_errors);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd, path_for_errors));
  mode.file_bytes_ = identity.size;
  if (mode.file_bytes_ < kMinReadAheadBytes || !IsOnThisMachine(fd)) return mode;
  // The name may belong to another file by now.
  auto direct = OpenFile(fmt::format("/proc/self/fd/{}", fd), O_RDONLY | O_DIRECT);
  if (direct.ok()) mode.direct_ = std::move(direct).value();
  return mode;
}

bool SourceReadMode::IsResident(uint64_t offset, uint64_t bytes) const {
  const auto cached = CachedBytes(buffered_.get(), offset, std::max<uint64_t>(bytes, 1));
  return !cached || *cached * 2 > bytes;
}

}  // namespace penstock::ingest
