// A stack of masks of whole numbers for pixels that are packed 12 bits each.

#ifndef PENSTOCK_READER_OPERATIONS_PACKED_MASK_ENGINE_H_
#define PENSTOCK_READER_OPERATIONS_PACKED_MASK_ENGINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "penstock/reader/mask.h"
#include "penstock/reader/reduction.h"
#include "reader/masks/mask_stack.h"
#include "reader/operations/mask_engine.h"

namespace penstock {

struct WeightRange {
  int32_t lowest = 0;   // or 0
  int32_t highest = 0;  // the same
};

// Of all weights, where such a stack can have the mask: real, whole numbers of at most 16 bits with
// their sign.
std::optional<WeightRange> RangeForPackedPixels(const Mask& mask);

// `range`: of all masks. Precondition: plan.packed_run is not 0. Weights are taken in the plan's
// order of pixels; those of pixels that are not good count as 0. What is 0 in all masks is not
// read.
std::unique_ptr<const MaskEngine> MakePackedMaskEngine(MaskStack masks, const WeightRange& range,
                                                       const PassPlan& plan);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_PACKED_MASK_ENGINE_H_
