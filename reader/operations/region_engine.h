#ifndef PENSTOCK_READER_OPERATIONS_REGION_ENGINE_H_
#define PENSTOCK_READER_OPERATIONS_REGION_ENGINE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "penstock/base/element_type.h"
#include "penstock/reader/mask.h"
#include "reader/masks/mask_stack.h"
#include "reader/operations/mask_engine.h"
#include "reader/operations/mask_regions.h"
#include "reader/operations/tile_size.h"

namespace penstock {

// The regions of the stack, if there are few enough to work with.
std::optional<MaskRegions> FindFewRegions(MaskStack masks);

// The stack of `mask_count` masks by its regions. `exact`: integer totals. Null where the elements
// have no kernel for it, or where mask after mask is quicker.
std::unique_ptr<const MaskEngine> MakeRegionEngine(MaskRegions regions, size_t mask_count,
                                                   ElementType element_type, bool exact,
                                                   TileSize tile);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_REGION_ENGINE_H_
