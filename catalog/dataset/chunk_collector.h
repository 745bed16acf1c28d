// ChunkCollector: frames until an inner chunk of the block is full, which is then compressed.

#ifndef PENSTOCK_DATASET_CHUNK_COLLECTOR_H_
#define PENSTOCK_DATASET_CHUNK_COLLECTOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/result.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// Not thread-safe.
class ChunkCollector {
 public:
  static uint64_t MemoryBytes(const DatasetShape& shape, const BlockGrid& grid,
                              int64_t tile_frames);
  // kUnsupported for frames that are too large to be compressed.
  static Result<ChunkCollector> Create(const DatasetShape& shape, const BlockGrid& grid,
                                       Compression compression, int64_t tile_frames);

  // Room for the next `frames` frames, at most tile_frames; valid until the next call of Add.
  std::byte* Room() { return pixels_.data() + present_.size() * frame_bytes_; }

  // The frames in the room are there; or, whatever is in it, so many (any number) are lost. Chunks
  // that are full now go to `write`, in order; those without any frame do not.
  using Writer = std::function<Status(std::span<const std::byte> stored)>;
  Status Add(int64_t frames, const Writer& write);
  Status AddMissing(int64_t frames, const Writer& write);

  // Of every full chunk so far, 0 for those without a frame.
  const std::vector<uint64_t>& stored_bytes() const { return stored_bytes_; }

 private:
  ChunkCollector() = default;
  Status WriteFullChunks(const Writer& write);

  Compression compression_ = Compression::kLz4;
  size_t element_bytes_ = 1;
  size_t frame_bytes_ = 0;
  size_t chunk_frames_ = 1;
  int64_t tile_frames_ = 1;
  AlignedBuffer pixels_;
  AlignedBuffer compressed_;
  std::vector<bool> present_;  // of the frames in pixels_
  std::vector<uint64_t> stored_bytes_;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_CHUNK_COLLECTOR_H_
