// Writing extents of replicas past the page cache.

#ifndef PENSTOCK_CACHEFS_CACHE_WRITE_PAST_PAGE_CACHE_H_
#define PENSTOCK_CACHEFS_CACHE_WRITE_PAST_PAGE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "penstock/base/result.h"

namespace penstock::cachefs {

// Writes all of `source` at `offset`. Whole pages of large writes go past the page cache where the
// file system can: the copy there costs as much of the processor as everything else of a fetch,
// pushes out what others read, and has to be written all the same. The rest (less than a page at
// the end of a file), small writes and memory or offsets that are not aligned to 4096 go through
// it. `fd` is open for writing; on return O_DIRECT is not set on it. Nothing is synced. Errors
// name `path_for_errors`. Any number of threads may write different parts of a file.
Status WritePastPageCache(int fd, uint64_t offset, std::span<const std::byte> source,
                          const std::filesystem::path& path_for_errors);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_WRITE_PAST_PAGE_CACHE_H_
