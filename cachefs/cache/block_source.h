// BlockSource: everything that is needed to fetch one block and to prove its bytes. Immutable.
//
// Any other file of the store is cached in the same way: as one BlockSource with block == kNoBlock,
// whose generation is the state of the file (inode, size, times). Nothing tells the hashes of its
// extents beforehand; they are taken when the extents are fetched and hold from then on.

#ifndef PENSTOCK_CACHEFS_CACHE_BLOCK_SOURCE_H_
#define PENSTOCK_CACHEFS_CACHE_BLOCK_SOURCE_H_

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/dataset/block_layout.h"

namespace penstock::cachefs {

inline constexpr int64_t kNoBlock = -1;
// Found in the cache directory, and no record tells what it is.
inline constexpr int64_t kUnknownBlock = -2;

struct BlockSource {
  std::string id;          // 32 digits naming (dataset, generation, block): ReplicaId
  std::string dataset;     // path relative to the store; of an ordinary file its own path
  std::string generation;  // Dataset::generation()
  int64_t block = 0;
  std::string path;  // of the file, relative to the store
  uint64_t file_bytes = 0;
  std::vector<uint64_t> extent_checksum;  // of a block; empty for ordinary files
  FileIdentity identity;                  // of an ordinary file, in the store

  bool is_block() const { return block != kNoBlock; }
  int64_t extent_count() const {
    return static_cast<int64_t>((file_bytes + kExtentBytes - 1) / kExtentBytes);
  }
  uint64_t extent_start(int64_t extent) const {
    return static_cast<uint64_t>(extent) * kExtentBytes;
  }
  uint64_t extent_bytes(int64_t extent) const {
    return std::min(kExtentBytes, file_bytes - extent_start(extent));
  }
};

// Datasets of different generations never share a replica: the generation is part of the name.
std::string ReplicaId(const std::string& dataset, const std::string& generation, int64_t block);

// The top-level folder of the store in which a block of `dataset`, or (kNoBlock) the file
// `dataset`, lies; "" where it lies in the root itself.
std::string_view FolderOf(std::string_view dataset, int64_t block);

// Whether an ordinary file was left alone for this long, by its change time, which nobody can set.
// A younger one may still be being written: it is read through to the store and not kept.
bool IsSettled(const struct stat& status, std::chrono::milliseconds settle_time);

// An ordinary file in the state that `identity` (of the store) names.
std::shared_ptr<const BlockSource> MakeFileSource(const std::string& path,
                                                  const FileIdentity& identity);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_BLOCK_SOURCE_H_
