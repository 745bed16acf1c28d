// A stack of sparse masks, cut into chunks of used pixels for the kernel of sparse_kernels.h.

#ifndef PENSTOCK_READER_OPERATIONS_SPARSE_MASK_ENGINE_H_
#define PENSTOCK_READER_OPERATIONS_SPARSE_MASK_ENGINE_H_

#include <memory>
#include <span>

#include "penstock/base/result.h"
#include "penstock/reader/sparse_mask.h"
#include "reader/operations/mask_engine.h"

namespace penstock {

// Imaginary parts are passed over. `tile_pixels` as in PassPlan. kUnsupported for complex and
// 64-bit integer elements and for 2^32 entries or more.
Result<std::unique_ptr<const MaskEngine>> MakeSparseMaskEngine(std::span<const SparseMask> masks,
                                                               ElementType element_type,
                                                               int64_t tile_pixels);

// True where a dense stack is quicker: so many pixels have a weight that their share of the frame
// costs more than vectors of all pixels do.
bool IsBetterDense(const SparseMask& mask);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_SPARSE_MASK_ENGINE_H_
