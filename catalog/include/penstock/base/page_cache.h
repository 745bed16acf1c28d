// What of a file the kernel holds in memory.

#ifndef PENSTOCK_BASE_PAGE_CACHE_H_
#define PENSTOCK_BASE_PAGE_CACHE_H_

#include <cstdint>
#include <optional>

namespace penstock {

// Bytes of the range, in whole pages, that are in the page cache; nothing is read for it. None
// where the kernel does not tell: cachestat(2) is of Linux 6.5, and later ones answer the owner of
// a file and who may write it only. Of files on FUSE it tells the cache of FUSE, not that of the
// file behind it. Thread-safe.
std::optional<uint64_t> CachedBytes(int fd, uint64_t offset, uint64_t bytes);

}  // namespace penstock

#endif  // PENSTOCK_BASE_PAGE_CACHE_H_
