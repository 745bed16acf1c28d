#include "cachefs/upstream/read_past_page_cache.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {

namespace {

// Less than this costs less to copy than to ask.
constexpr size_t kWorthAsking = size_t{256} << 10;

bool IsAligned(uint64_t offset, const std::byte* memory) {
  return offset % kDirectIoAlignment == 0 &&
         reinterpret_cast<uintptr_t>(memory) % kDirectIoAlignment == 0;
}

// False too where the file system cannot tell. The kernel begins to read what it is asked for, so
// it is asked for one page.
bool IsMissingFromPageCache(int fd, uint64_t offset, std::span<std::byte> scratch) {
  const iovec page{.iov_base = scratch.data(), .iov_len = kDirectIoAlignment};
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);  // not for what comes after it
  const bool missing =
      preadv2(fd, &page, 1, static_cast<off_t>(offset), RWF_NOWAIT) < 0 && errno == EAGAIN;
  posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
  return missing;
}

bool SetDirect(int fd, bool direct) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

}  // namespace

Result<size_t> ReadPastPageCache(int fd, uint64_t offset, std::span<std::byte> destination,
                                 const std::filesystem::path& path_for_errors) {
  size_t done = 0;
  if (destination.size() >= kWorthAsking && IsAligned(offset, destination.data()) &&
      IsMissingFromPageCache(fd, offset, destination) && SetDirect(fd, true)) {
    const size_t whole_pages = destination.size() - destination.size() % kDirectIoAlignment;
    while (done < whole_pages) {
      const ssize_t got = pread(fd, destination.data() + done, whole_pages - done,
                                static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      // Whatever it is (a device with larger sectors, a bad one), the ordinary way tells.
      if (got <= 0) break;
      done += static_cast<size_t>(got);
      if (got % static_cast<ssize_t>(kDirectIoAlignment) != 0) break;  // the end of the file
    }
    SetDirect(fd, false);
    if (done == destination.size()) return done;
  }
  PENSTOCK_ASSIGN_OR_RETURN(
      const size_t rest, ReadSome(fd, offset + done, destination.subspan(done), path_for_errors));
  return done + rest;
}

}  // namespace penstock::cachefs
