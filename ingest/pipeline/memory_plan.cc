#include "ingest/pipeline/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "penstock/dataset/dataset_writer.h"

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
                              int64_t chunk_frames, int wanted_workers, uint64_t memory_bytes) {
  const int64_t block_frames = grid.block_rows * grid.block_columns;
  MemoryPlan plan;
  plan.tile_frames = TileFrames(shape.frame_bytes(), block_frames, chunk_frames);
  const uint64_t tile = static_cast<uint64_t>(plan.tile_frames) * shape.frame_bytes();
  const auto pixels = static_cast<uint64_t>(shape.signal.pixel_count());
  // The decoder's scratch is about a tile. A sum pattern is kept in an exact type and as float64,
  // and each frame of a block has its statistics.
  plan.bytes_per_worker = BlockWriter::MemoryBytes(shape, plan.tile_frames) + tile + 4 * kMiB +
                          pixels * (ElementSize(shape.element_type) <= 2 ? 12 : 16) +
                          static_cast<uint64_t>(block_frames) * 64;
  // Once for all: image_key and the pictures of the preview, the mean pattern.
  const uint64_t shared = static_cast<uint64_t>(shape.frame_count()) * 16 + pixels * 4;
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
  return plan;
}

}  // namespace penstock::ingest
