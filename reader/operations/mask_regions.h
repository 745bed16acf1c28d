// MaskRegions: a stack of masks as a few regions of equal weights. Disks, rings and segments, even
// many of them and one over another, cut the frame into few such parts; each pixel is then added up
// once, and not once per mask.

#ifndef PENSTOCK_READER_OPERATIONS_MASK_REGIONS_H_
#define PENSTOCK_READER_OPERATIONS_MASK_REGIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "penstock/reader/mask.h"
#include "reader/kernels/region_sums.h"
#include "reader/masks/mask_stack.h"

namespace penstock {

struct MaskRegions {
  static constexpr uint16_t kNone = UINT16_MAX;  // the weights are 0 in all masks

  std::vector<uint16_t> of_pixel;
  size_t count = 0;
  std::vector<double> weights;  // [region][mask]

  // Nothing where there are more than `most` (< kNone), or weights that are not finite.
  static std::optional<MaskRegions> Find(MaskStack masks, size_t most);
};

// The steps for the kernel. A region with many steps has several slots of its table.
struct RegionStepPlan {
  std::vector<kernels::RegionStep> steps;  // and kRegionStepsAhead more
  std::vector<uint32_t> first_step;        // of each whole vector of the frame, and behind the last
  std::vector<uint32_t> selections;        // bit i: pixel i of the vector is taken
  std::vector<uint16_t> region_of_slot;

  // `lanes`: pixels per vector. Nothing where it takes more than `most_steps`.
  static std::optional<RegionStepPlan> Make(const MaskRegions& regions, size_t lanes,
                                            size_t most_steps, size_t most_steps_per_slot);
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_MASK_REGIONS_H_
