// ExtentPeers: a place that is asked for an extent before the store is.

#ifndef PENSTOCK_CACHEFS_CACHE_EXTENT_PEERS_H_
#define PENSTOCK_CACHEFS_CACHE_EXTENT_PEERS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "cachefs/cache/block_source.h"

namespace penstock::cachefs {

class ExtentPeers {
 public:
  virtual ~ExtentPeers() = default;
  // True where `buffer`, which is as long as the extent, was filled; nobody has proved the bytes.
  // False: the store is to be asked. Blocking, in bounded time. Thread-safe.
  virtual bool Fetch(const BlockSource& source, int64_t extent, std::span<std::byte> buffer) = 0;
  // What Fetch gave did not match its checksum.
  virtual void Distrust(const BlockSource& source) = 0;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_EXTENT_PEERS_H_
