// A small file of the store as a whole.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_READ_FILE_H_
#define PENSTOCK_CACHEFS_UPSTREAM_READ_FILE_H_

#include <cstdint>
#include <string>

#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// One file, whatever takes its name meanwhile. kUnsupported above `limit` bytes, kCorrupt where it
// is no regular file or shorter than its size. The upstream is told to keep it (Upstream::Keep).
Result<std::string> ReadUpstreamFile(Upstream& upstream, const std::string& path, uint64_t limit);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_READ_FILE_H_
