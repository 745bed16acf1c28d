// RegionRunPlan: the steps for kernels/region_runs.h.

#ifndef PENSTOCK_READER_OPERATIONS_REGION_RUN_PLAN_H_
#define PENSTOCK_READER_OPERATIONS_REGION_RUN_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "reader/kernels/region_runs.h"
#include "reader/operations/mask_regions.h"

namespace penstock {

struct RegionRunPlan {
  struct Chunk {
    size_t first_run = 0;
    size_t first_step = 0;
  };
  size_t chunk_pixels = 0;    // of all but the last
  std::vector<Chunk> chunks;  // and one behind the last; of the frame's whole vectors
  std::vector<kernels::RegionRun> runs;
  std::vector<kernels::RunStep> steps;
  std::vector<uint32_t> pixels_of_run;

  // `lanes`: pixels per vector. Chunks end where tiles of `tile_pixels` do. Nothing where it would
  // cost more than `most_products` products of such a vector with a mask.
  static std::optional<RegionRunPlan> Make(const MaskRegions& regions, size_t lanes,
                                           size_t tile_pixels, double most_products);
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_REGION_RUN_PLAN_H_
