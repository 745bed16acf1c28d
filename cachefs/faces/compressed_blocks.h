// CompressedBlocks: the frames of a dataset's compressed blocks as they were before, decoded when
// they are read. What was decoded last is kept, so that reads smaller than an inner chunk do not
// decode it again and again.

#ifndef PENSTOCK_CACHEFS_FACES_COMPRESSED_BLOCKS_H_
#define PENSTOCK_CACHEFS_FACES_COMPRESSED_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/geometry.h"

namespace penstock::cachefs {

// Of one face that is open. Reads under way keep it alive; the cache must outlive it. Thread-safe.
class CompressedBlocks : public std::enable_shared_from_this<CompressedBlocks> {
 public:
  CompressedBlocks(const DatasetShape& shape, const BlockGrid& grid, BlockCache& cache);

  // Bytes [offset, offset + size) of the block's frames, all of which must be there. As
  // BlockCache::Read: the callback runs exactly once, in this thread where the stored bytes are
  // local.
  void Read(const ReplicaPin& pin, uint64_t offset, size_t size, BlockCache::ReadCallback callback);

 private:
  // One inner chunk. Whoever comes first decodes it, the others wait.
  struct Chunk {
    int64_t block = 0;
    int64_t number = 0;
    std::mutex mutex;
    std::vector<std::byte> pixels;  // empty: not decoded yet
  };
  using Index = std::shared_ptr<const ChunkIndex>;

  Index FindIndex(int64_t block);
  Result<Index> KeepIndex(const BlockSource& source, std::span<const std::byte> bytes);
  std::shared_ptr<Chunk> ChunkOf(int64_t block, int64_t number);
  void ReadChunks(const ReplicaPin& pin, const Index& index, uint64_t offset, size_t size,
                  BlockCache::ReadCallback callback);

  const DatasetShape shape_;
  const BlockGrid grid_;
  const size_t most_chunks_;
  BlockCache& cache_;

  std::mutex mutex_;
  // The latest first.
  std::list<std::pair<int64_t, Index>> indices_;
  std::list<std::shared_ptr<Chunk>> chunks_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_COMPRESSED_BLOCKS_H_
