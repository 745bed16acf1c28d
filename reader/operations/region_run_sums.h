#ifndef PENSTOCK_READER_OPERATIONS_REGION_RUN_SUMS_H_
#define PENSTOCK_READER_OPERATIONS_REGION_RUN_SUMS_H_

#include <cstddef>
#include <memory>

#include "reader/operations/region_sums.h"

namespace penstock {

// Region after region (kernels/region_runs.h), for uint8_t and uint16_t. Null where this machine
// has other kernels that are quicker, and where it costs more than `most_products` products of a
// vector of kRunVectorBytes with a mask. Tiles begin with multiples of `tile_pixels` (others are
// summed slowly). `regions` must outlive it.
template <typename Pixel>
std::unique_ptr<const RegionSums<Pixel>> MakeRegionRunSums(const MaskRegions& regions,
                                                           size_t tile_pixels,
                                                           double most_products);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_REGION_RUN_SUMS_H_
