#include "ingest/pipeline/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "ingest/pipeline/preview.h"
#include "penstock/dataset/dataset_writer.h"
#include "penstock/dataset/frame_header.h"
#include "penstock/ingest/source_reader.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kTileBytes = uint64_t{2} << 20;
// A source's chunk is decoded as a whole up to this size; beyond it parts are decoded repeatedly.
constexpr uint64_t kMaxChunkTileBytes = uint64_t{32} << 20;
constexpr uint64_t kMiB = uint64_t{1} << 20;

int64_t TileFrames(uint64_t frame_bytes, int64_t block_frames, int64_t chunk_frames) {
  auto frames = static_cast<int64_t>(std::max<uint64_t>(1, kTileBytes / frame_bytes));
  if (chunk_frames > 1 && static_cast<uint64_t>(chunk_frames) <= kMaxChunkTileBytes / frame_bytes) {
    frames = (frames + chunk_frames - 1) / chunk_frames * chunk_frames;
  }
  return std::min(frames, block_frames);
}

}  // namespace

Result<MemoryPlan> PlanMemory(const DatasetShape& shape, const BlockGrid& grid,
                              const ChunkHint& chunks, Compression compression, int wanted_workers,
                              uint64_t memory_bytes) {
  const int64_t block_frames = grid.block_rows * grid.block_columns;
  MemoryPlan plan;
  plan.tile_frames = TileFrames(shape.frame_bytes(), block_frames, chunks.frames);
  const uint64_t tile = static_cast<uint64_t>(plan.tile_frames) * shape.frame_bytes();
  const auto pixels = static_cast<uint64_t>(shape.signal.pixel_count());
  // Block sum patterns are kept where they are small (layout rule: 1 % of the data), and then
  // collected as float64 before they are written.
  const uint64_t block_bytes = static_cast<uint64_t>(block_frames) * shape.frame_bytes();
  const uint64_t pattern_copy = pixels * 8 <= block_bytes / 100 ? pixels * 8 : 0;
  // The decoder's scratch is about a tile, beside what it reads ahead.
  plan.bytes_per_worker =
      BlockWriter::MemoryBytes(shape, grid, plan.tile_frames, compression) +
      std::max(tile, chunks.scratch_bytes) + SourceReader::kMemoryBytes +
      BlockStatistics::MemoryBytes(shape, block_frames) + pattern_copy +
      static_cast<uint64_t>(block_frames) * (sizeof(DiskSum) + 2 * sizeof(FrameHeader));
  // Once for all: image_key, what the pictures are made of, what the source keeps.
  const uint64_t shared = static_cast<uint64_t>(shape.frame_count()) * 4 +
                          Preview::MemoryBytes(shape) + chunks.shared_bytes;
  if (plan.bytes_per_worker + shared > memory_bytes) {
    return Error::Unsupported("the dataset needs more memory than the ingest may use")
        .Expected(fmt::format("at most {} MiB", memory_bytes / kMiB))
        .Found(fmt::format("{} MiB for {} frames of {} bytes in blocks of {}",
                           (plan.bytes_per_worker + shared) / kMiB, shape.frame_count(),
                           shape.frame_bytes(), block_frames))
        .Advice("check the shapes and the element type, or allow more with --memory");
  }
  const uint64_t most = std::min({(memory_bytes - shared) / plan.bytes_per_worker,
                                  static_cast<uint64_t>(grid.block_count()),
                                  static_cast<uint64_t>(std::max(1, wanted_workers))});
  plan.workers = static_cast<int>(most);
  plan.memory_bytes = shared + most * plan.bytes_per_worker;
  return plan;
}

}  // namespace penstock::ingest
