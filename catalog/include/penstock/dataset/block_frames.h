// BlockFrames: the pixels of one block file, raw or compressed, by plain reads in any order. For
// what compares, converts and checks; the reader library is for what is to be fast.
//
// What the file says is checked as it has to be for memory's sake, not against its checksums.

#ifndef PENSTOCK_DATASET_BLOCK_FRAMES_H_
#define PENSTOCK_DATASET_BLOCK_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// Not thread-safe.
class BlockFrames {
 public:
  struct Block {
    DatasetShape shape;
    BlockGrid grid;
    Compression compression = Compression::kNone;
    int64_t block = 0;
    uint64_t file_bytes = 0;
  };
  // kCorrupt where the file has another size, or a damaged index.
  static Result<BlockFrames> Open(const std::filesystem::path& path, const Block& block);

  // `count` frames from `first`, dataset-wide and in the block. Lost frames are zeros. kCorrupt
  // names file, offset and frames of a damaged chunk.
  Status Read(int64_t first, int64_t count, std::span<std::byte> pixels);

 private:
  BlockFrames() = default;
  Status ReadChunk(int64_t chunk, std::span<std::byte> pixels);

  std::filesystem::path path_;
  FileDescriptor fd_;
  Block block_;
  int64_t first_frame_ = 0;
  std::optional<ChunkIndex> index_;  // of a compressed block
  ChunkDecoder decoder_;
  std::vector<std::byte> stored_;
  std::vector<std::byte> chunk_;  // the one that was decoded last for a part of its frames
  int64_t decoded_ = -1;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_BLOCK_FRAMES_H_
