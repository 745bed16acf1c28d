#include "cachefs/cache/write_past_page_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {

namespace {

// Less than this does not keep a disk busy.
constexpr size_t kWorthWaiting = size_t{1} << 20;

bool IsAligned(uint64_t offset, const std::byte* memory) {
  return offset % kDirectIoAlignment == 0 &&
         reinterpret_cast<uintptr_t>(memory) % kDirectIoAlignment == 0;
}

}  // namespace

Status WritePastPageCache(int fd, uint64_t offset, std::span<const std::byte> source,
                          const std::filesystem::path& path_for_errors) {
  size_t done = 0;
  if (source.size() >= kWorthWaiting && IsAligned(offset, source.data())) {
    // A description of its own: others write through `fd` at the same time.
    const FileDescriptor direct(
        open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
    const size_t whole_pages = source.size() - source.size() % kDirectIoAlignment;
    while (direct.valid() && done < whole_pages) {
      const ssize_t put = pwrite(direct.get(), source.data() + done, whole_pages - done,
                                 static_cast<off_t>(offset + done));
      if (put < 0 && errno == EINTR) continue;
      // Whatever it is (a device with larger sectors, a full one), the ordinary way tells.
      if (put <= 0) break;
      done += static_cast<size_t>(put);
      if (put % static_cast<ssize_t>(kDirectIoAlignment) != 0) break;
    }
  }
  return WriteFully(fd, offset + done, source.subspan(done), path_for_errors);
}

}  // namespace penstock::cachefs
