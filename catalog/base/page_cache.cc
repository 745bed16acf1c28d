#include "penstock/base/page_cache.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace penstock {

namespace {

constexpr uint64_t kPageBytes = 4096;

// Not in the headers of older systems.
constexpr long kCachestatCall = 451;
struct CachestatRange {
  uint64_t offset;
  uint64_t bytes;
};
struct Cachestat {
  uint64_t cached_pages;
  uint64_t dirty_pages;
  uint64_t writeback_pages;
  uint64_t evicted_pages;
  uint64_t recently_evicted_pages;
};

}  // namespace

std::optional<uint64_t> CachedBytes(int fd, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return 0;  // to the kernel that means: to the end
  CachestatRange range{offset, bytes};
  Cachestat result{};
  if (syscall(kCachestatCall, fd, &range, &result, 0) != 0) return std::nullopt;
  return result.cached_pages * kPageBytes;
}

}  // namespace penstock
