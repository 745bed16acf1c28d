// RegionSums: adds up the pixels of a tile by regions, in one of two ways.

#ifndef PENSTOCK_READER_OPERATIONS_REGION_SUMS_H_
#define PENSTOCK_READER_OPERATIONS_REGION_SUMS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "penstock/reader/reduction.h"
#include "reader/operations/mask_regions.h"
#include "reader/operations/tile_size.h"

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

// The same for some pixels of the tile, one by one: [begin, end), counted from the beginning of the
// frame.
template <typename Pixel, typename Sum>
void AddPixelsToRegions(const MaskRegions& regions, const Tile& tile, size_t begin, size_t end,
                        Sum* sums) {
  for (size_t f = 0; begin < end && f < static_cast<size_t>(tile.frame_count); ++f) {
    const Pixel* const pixels = tile.Frame<Pixel>(static_cast<int64_t>(f));
    for (size_t p = begin; p < end; ++p) {
      const uint16_t region = regions.of_pixel[p];
      if (region == MaskRegions::kNone) continue;
      sums[f * regions.count + region] +=
          static_cast<Sum>(pixels[p - static_cast<size_t>(tile.first_pixel)]);
    }
  }
}

// The quickest way for uint8_t, uint16_t or float; null where products with `mask_count` masks are
// quicker. `regions` must outlive it.
template <typename Pixel>
std::unique_ptr<const RegionSums<Pixel>> MakeRegionSums(const MaskRegions& regions, TileSize tile,
                                                        size_t mask_count);

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_REGION_SUMS_H_
