#include "catalog/dataset/chunk_collector.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace penstock {

namespace {

uint64_t PixelBytes(const DatasetShape& shape, const BlockGrid& grid, int64_t tile_frames) {
  return static_cast<uint64_t>(tile_frames + grid.inner_columns - 1) * shape.frame_bytes();
}

uint64_t CompressedBytes(const DatasetShape& shape, const BlockGrid& grid) {
  return StoredChunkLimit(static_cast<uint64_t>(grid.inner_columns) * shape.frame_bytes());
}

}  // namespace

uint64_t ChunkCollector::MemoryBytes(const DatasetShape& shape, const BlockGrid& grid,
                                     int64_t tile_frames) {
  // Blosc transposes and compresses in memory of its own.
  return PixelBytes(shape, grid, tile_frames) + CompressedBytes(shape, grid) +
         4 * kCompressionBlockBytes;
}

Result<ChunkCollector> ChunkCollector::Create(const DatasetShape& shape, const BlockGrid& grid,
                                              Compression compression, int64_t tile_frames) {
  if (static_cast<uint64_t>(grid.inner_columns) * shape.frame_bytes() > kLargestCompressedChunk) {
    return Error::Unsupported("the frames are too large to be compressed")
        .Expected("at most " + std::to_string(kLargestCompressedChunk) + " bytes")
        .Found(std::to_string(shape.frame_bytes()))
        .Advice("store them uncompressed");
  }
  ChunkCollector collector;
  collector.compression_ = compression;
  collector.element_bytes_ = ElementSize(shape.element_type);
  collector.frame_bytes_ = shape.frame_bytes();
  collector.chunk_frames_ = static_cast<size_t>(grid.inner_columns);
  collector.tile_frames_ = tile_frames;
  PENSTOCK_ASSIGN_OR_RETURN(collector.pixels_,
                            AlignedBuffer::Allocate(PixelBytes(shape, grid, tile_frames)));
  PENSTOCK_ASSIGN_OR_RETURN(collector.compressed_,
                            AlignedBuffer::Allocate(CompressedBytes(shape, grid)));
  return collector;
}

Status ChunkCollector::Add(int64_t frames, const Writer& write) {
  present_.insert(present_.end(), static_cast<size_t>(frames), true);
  return WriteFullChunks(write);
}

Status ChunkCollector::AddMissing(int64_t frames, const Writer& write) {
  while (frames > 0) {
    const int64_t count = std::min(frames, tile_frames_);
    std::memset(Room(), 0, static_cast<size_t>(count) * frame_bytes_);
    present_.insert(present_.end(), static_cast<size_t>(count), false);
    PENSTOCK_RETURN_IF_ERROR(WriteFullChunks(write));
    frames -= count;
  }
  return {};
}

Status ChunkCollector::WriteFullChunks(const Writer& write) {
  size_t done = 0;
  for (; present_.size() - done >= chunk_frames_; done += chunk_frames_) {
    const auto first = present_.begin() + static_cast<ptrdiff_t>(done);
    const auto last = first + static_cast<ptrdiff_t>(chunk_frames_);
    if (std::find(first, last, true) == last) {
      stored_bytes_.push_back(0);
      continue;
    }
    PENSTOCK_ASSIGN_OR_RETURN(
        const size_t stored,
        CompressChunk(compression_, element_bytes_,
                      pixels_.span().subspan(done * frame_bytes_, chunk_frames_ * frame_bytes_),
                      compressed_.span()));
    PENSTOCK_RETURN_IF_ERROR(write(compressed_.span().first(stored)));
    stored_bytes_.push_back(stored);
  }
  if (done == 0) return {};
  present_.erase(present_.begin(), present_.begin() + static_cast<ptrdiff_t>(done));
  std::memmove(pixels_.data(), pixels_.data() + done * frame_bytes_,
               present_.size() * frame_bytes_);
  return {};
}

}  // namespace penstock
