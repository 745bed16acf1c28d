// How many workers and how many frames at once fit into the memory that an ingest may use.

#ifndef PENSTOCK_INGEST_PIPELINE_MEMORY_PLAN_H_
#define PENSTOCK_INGEST_PIPELINE_MEMORY_PLAN_H_

#include <cstdint>

#include "penstock/base/result.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/geometry.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

struct MemoryPlan {
  int workers = 1;
  int64_t tile_frames = 1;
  uint64_t bytes_per_worker = 0;
  uint64_t memory_bytes = 0;  // of all workers and what they share
};

// Decoded frames per tile fill about 2 MiB, so that hashing and statistics find them in the cache.
// `chunks`: how the source stores them together. kUnsupported for
// frames of which not even one worker can hold what it needs.
Result<MemoryPlan> PlanMemory(const DatasetShape& shape, const BlockGrid& grid,
                              const ChunkHint& chunks, Compression compression, int wanted_workers,
                              uint64_t memory_bytes);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_MEMORY_PLAN_H_
