// BlockSource: everything that is needed to fetch one block and to prove its bytes. Immutable.

#ifndef PENSTOCK_CACHEFS_CACHE_BLOCK_SOURCE_H_
#define PENSTOCK_CACHEFS_CACHE_BLOCK_SOURCE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {

struct BlockSource {
  std::string id;          // 32 digits naming (dataset, generation, block): ReplicaId
  std::string dataset;     // path relative to the store
  std::string generation;  // Dataset::generation()
  int64_t block = 0;
  std::string path;  // of the block file, relative to the store
  uint64_t file_bytes = 0;
  std::vector<uint64_t> extent_checksum;

  int64_t extent_count() const { return static_cast<int64_t>(extent_checksum.size()); }
  uint64_t extent_start(int64_t extent) const {
    return static_cast<uint64_t>(extent) * kExtentBytes;
  }
  uint64_t extent_bytes(int64_t extent) const {
    return std::min(kExtentBytes, file_bytes - extent_start(extent));
  }
};

// Datasets of different generations never share a replica: the generation is part of the name.
std::string ReplicaId(const std::string& dataset, const std::string& generation, int64_t block);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_BLOCK_SOURCE_H_
