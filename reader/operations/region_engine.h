#ifndef PENSTOCK_READER_OPERATIONS_REGION_ENGINE_H_
#define PENSTOCK_READER_OPERATIONS_REGION_ENGINE_H_

#include <memory>
#include <span>

#include "penstock/base/element_type.h"
#include "penstock/reader/mask.h"
#include "reader/operations/mask_engine.h"

namespace penstock {

// The stack by its regions (mask_regions.h). `exact`: integer totals. Null where the elements have
// no kernel for it, or where mask after mask is quicker.
std::unique_ptr<const MaskEngine> MakeRegionEngine(std::span<const Mask> masks,
                                                   ElementType element_type, bool exact,
                                                   size_t tile_pixels);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_REGION_ENGINE_H_
