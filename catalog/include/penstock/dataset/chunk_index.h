// A compressed block file, layout version 2 (docs/layout.md has the byte-level page): the inner
// chunks one after the other from byte 0, without gaps, then the Zarr v3 shard index: (offset,
// nbytes) of every inner chunk of the FULL block shape, 2^64-1 twice where absent, and its crc32c.
//
// ChunkIndex: where the inner chunks of one are. Immutable and thread-safe. Nothing of the file is
// believed: the checksum must be right, and the chunks must lie one after the other from byte 0 to
// the index, none larger than it can be.

#ifndef PENSTOCK_DATASET_CHUNK_INDEX_H_
#define PENSTOCK_DATASET_CHUNK_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// The same blocks with the inner chunks that raw blocks (kNone), or compressed ones, have: the
// largest of at most 2 MiB of frames, or kCompressedChunkBytes, that divide both the scan row and
// the block's columns; at least one frame.
BlockGrid GridFor(const DatasetShape& shape, BlockGrid grid, Compression compression);

// Of the index of a compressed block file. Precondition: kMostChunksPerBlock.
uint64_t ChunkIndexBytes(const BlockGrid& grid);
// What a compressed block file has at most.
uint64_t LargestCompressedBlock(const DatasetShape& shape, const BlockGrid& grid, int64_t block);
// The same of all blocks of a dataset, raw or compressed.
uint64_t LargestBlock(const DatasetShape& shape, const BlockGrid& grid, Compression compression);
// With more, a grid is not one of compressed blocks: what is computed from it could overflow.
inline constexpr int64_t kMostChunksPerBlock = int64_t{1} << 40;

// The index. `stored_bytes[i]`: of the block's inner chunk i in C order, 0 for an absent one.
std::string MakeChunkIndex(const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                           const std::vector<uint64_t>& stored_bytes);

class ChunkIndex {
 public:
  // `index`: the last ChunkIndexBytes of a file of `file_bytes`. kCorrupt names the file, the
  // offset, what was expected and what was found.
  static Result<ChunkIndex> Parse(const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                                  uint64_t file_bytes, std::span<const std::byte> index,
                                  const std::filesystem::path& path_for_errors);
  // Reads it from the block file, which must have that size.
  static Result<ChunkIndex> Read(int fd, const DatasetShape& shape, const BlockGrid& grid,
                                 int64_t block, uint64_t file_bytes,
                                 const std::filesystem::path& path_for_errors);

  int64_t chunk_count() const { return static_cast<int64_t>(starts_.size()) - 1; }
  int64_t chunk_frames() const { return chunk_frames_; }
  uint64_t chunk_bytes() const { return chunk_bytes_; }  // of pixels

  // Chunks count in scan order; `frame` is dataset-wide and in the block.
  int64_t ChunkOfFrame(int64_t frame) const { return (frame - first_frame_) / chunk_frames_; }
  FrameRange FramesOf(int64_t chunk) const;
  // File offsets. An absent chunk (all of its frames are lost) has no bytes.
  uint64_t begin(int64_t chunk) const { return starts_[static_cast<size_t>(chunk)]; }
  uint64_t end(int64_t chunk) const { return starts_[static_cast<size_t>(chunk) + 1]; }
  bool is_absent(int64_t chunk) const { return begin(chunk) == end(chunk); }
  // Dataset-wide frame numbers whose chunks touch the extent; empty where it holds only the index.
  FrameRange FramesOfExtent(int64_t extent) const;
  // What the index takes in memory.
  uint64_t memory_bytes() const { return starts_.capacity() * sizeof(uint64_t) + sizeof *this; }

 private:
  ChunkIndex() = default;

  int64_t first_frame_ = 0;
  int64_t chunk_frames_ = 1;
  uint64_t chunk_bytes_ = 0;
  std::vector<uint64_t> starts_;  // of every chunk, then the end of the last one
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_CHUNK_INDEX_H_
