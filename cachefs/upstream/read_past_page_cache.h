// ReadPastPageCache: bytes of the store that are to be kept elsewhere need not fill the memory of
// this machine as well.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_READ_PAST_PAGE_CACHE_H_
#define PENSTOCK_CACHEFS_UPSTREAM_READ_PAST_PAGE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "penstock/base/result.h"

namespace penstock::cachefs {

// ReadSome (file.h), of a descriptor that nobody else uses. What the page cache has is taken from
// there; otherwise it is read with O_DIRECT, which saves a copy and the pages, where `offset` and
// the memory are aligned to kDirectIoAlignment and the file system takes it and can say what the
// page cache has. Afterwards O_DIRECT is not set on `fd`.
Result<size_t> ReadPastPageCache(int fd, uint64_t offset, std::span<std::byte> destination,
                                 const std::filesystem::path& path_for_errors);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_READ_PAST_PAGE_CACHE_H_
