// ReadAhead: fetches the blocks that a sequential reader of a dataset wants next.
//
// It looks at which blocks are opened (by whatever way: passed through, served, leased) and begins
// with the next ones as soon as two have been opened in order; several readers that share a dataset
// among them count as one. What they ask for themselves goes first. Thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_READ_AHEAD_H_
#define PENSTOCK_CACHEFS_CACHE_READ_AHEAD_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"

namespace penstock::cachefs {

class ReadAhead {
 public:
  // At most `most_blocks` ahead of the reader; 0: none. The references must outlive it.
  ReadAhead(DatasetRegistry& registry, BlockCache& cache, int most_blocks)
      : registry_(registry), cache_(cache), most_blocks_(most_blocks) {}

  // Does not wait for the store.
  void Opened(const BlockSource& block);

 private:
  struct Reader {
    std::string generation;
    int64_t newest = 0;  // the block farthest on
    int in_order = 0;    // how many have been opened in order before it
  };

  // How many blocks ahead of `block` are wanted.
  int64_t Follow(const BlockSource& block);

  DatasetRegistry& registry_;
  BlockCache& cache_;
  const int64_t most_blocks_;
  std::mutex mutex_;
  std::unordered_map<std::string, Reader> readers_;  // by dataset
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_READ_AHEAD_H_
