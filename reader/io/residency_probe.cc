#include "reader/io/residency_probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "penstock/base/page_cache.h"

namespace penstock {

namespace {

constexpr uint64_t kPage = 4096;
constexpr int kProbes = 16;

bool IsOnFuse(int fd) {
  constexpr auto kFuse = uint32_t{0x65735546};  // linux/magic.h
  struct statfs system {};
  return fstatfs(fd, &system) != 0 || static_cast<uint32_t>(system.f_type) == kFuse;
}

}  // namespace

void ResidencyProbe::Reset() {
  counts_.reset();
  random_.Close();
}

double ResidencyProbe::Share(int fd, uint64_t begin, uint64_t end) {
  if (begin == end) return 1;
  if (!counts_) counts_ = may_count_ && !IsOnFuse(fd) && CachedBytes(fd, begin, 1).has_value();
  if (!*counts_) return ShareOfSomePages(fd, begin, end);
  const uint64_t cached = CachedBytes(fd, begin, end - begin).value_or(0);
  return std::min(static_cast<double>(cached) / static_cast<double>(end - begin), 1.0);
}

double ResidencyProbe::ShareOfSomePages(int fd, uint64_t begin, uint64_t end) {
  if (!random_.valid()) {
    // Advice belongs to the open file, which may be shared with another process.
    auto opened = OpenFile(fmt::format("/proc/self/fd/{}", fd), O_RDONLY);
    if (!opened.ok()) return -1;
    random_ = std::move(opened).value();
    posix_fadvise(random_.get(), 0, 0, POSIX_FADV_RANDOM);
  }
  int resident = 0;
  std::uniform_int_distribution<uint64_t> page(begin / kPage, (end - 1) / kPage);
  for (int probe = 0; probe < kProbes; ++probe) {
    char byte = 0;
    const iovec vector{&byte, 1};
    const auto offset = static_cast<off_t>(page(places_) * kPage);
    const ssize_t count = preadv2(random_.get(), &vector, 1, offset, RWF_NOWAIT);
    if (count == 1) {
      ++resident;
    } else if (count == 0 || errno != EAGAIN) {
      return -1;
    }
  }
  return static_cast<double>(resident) / kProbes;
}

}  // namespace penstock
