// Sums of pixels over regions, region after region: the steps of a chunk of pixels are sorted by
// region, so that a region's sum stays in registers meanwhile. It takes vectors of which any pixels
// can be selected by a few bits, as with AVX-512; elsewhere region_sums.h is quicker.

#ifndef PENSTOCK_READER_KERNELS_REGION_RUNS_H_
#define PENSTOCK_READER_KERNELS_REGION_RUNS_H_

#include <cstddef>
#include <cstdint>

#include "reader/kernels/kernels.h"

namespace penstock::kernels {

inline constexpr size_t kRunVectorBytes = 64;
// Of a chunk, at most: what the int32 sums of one run can take, and what the L1 cache holds of four
// frames.
inline constexpr size_t kRunChunkVectors = 64;
inline constexpr size_t kRunFrames = 4;  // that share a pass over the steps

// Of the pixels of one vector, those of the run's region.
struct RunStep {
  uint64_t selected = 0;  // bit i: pixel i of the vector
  uint32_t offset = 0;    // bytes of the vector from the beginning of the chunk
};

// Steps that follow one another, all of one region and one chunk.
struct RegionRun {
  uint16_t region = 0;
  uint16_t steps = 0;
};

struct RegionRuns {
  const RegionRun* runs = nullptr;  // of this chunk
  size_t run_count = 0;
  const RunStep* steps = nullptr;  // of these runs
};

// Adds up the pixels of one chunk: frame f begins at first + f * frame_stride, its sums at
// lanes + f * lane_stride * 8; of each region 8 lanes, a cache line, that add up to the sum. 16
// bits: to the sum of pixel - 32768. Exact. At most kRunFrames frames. `next`: the pixels that come
// next in the first frame, to be fetched ahead.
void AddRuns(const FramePixels<uint8_t>& frames, const RegionRuns& runs, int64_t* lanes,
             size_t lane_stride);
void AddRunsBiased(const FramePixels<uint16_t>& frames, const RegionRuns& runs, int64_t* lanes,
                   size_t lane_stride);

// Whether this machine has what this takes.
bool RegionRunsAreQuick();

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_REGION_RUNS_H_
