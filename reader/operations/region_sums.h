// RegionSums: adds up the pixels of a tile by regions, in one of two ways.

#ifndef PENSTOCK_READER_OPERATIONS_REGION_SUMS_H_
#define PENSTOCK_READER_OPERATIONS_REGION_SUMS_H_

#include <memory>
#include <type_traits>

#include "penstock/reader/reduction.h"
#include "reader/operations/mask_regions.h"

namespace penstock {

// Immutable, shared by all workers.
template <typename Pixel>
class RegionSums {
 public:
  using Sum = std::conditional_t<std::is_same_v<Pixel, float>, double, int64_t>;
  virtual ~RegionSums() = default;
  // sums[frame * regions.count + region] += the pixels of the tile's frame in the region. Exact for
  // integers; float32: partial sums of at most 4096 pixels in float32, then float64.
  virtual void Add(const Tile& tile, Sum* sums) const = 0;
};

// The quickest way for uint8_t, uint16_t or float; null where products with `mask_count` masks are
// quicker. `tile_pixels`: as in PassPlan. `regions` must outlive it.
template <typename Pixel>
std::unique_ptr<const RegionSums<Pixel>> MakeRegionSums(const MaskRegions& regions,
                                                        size_t tile_pixels, size_t mask_count);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_REGION_SUMS_H_
