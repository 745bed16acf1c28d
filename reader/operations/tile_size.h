#ifndef PENSTOCK_READER_OPERATIONS_TILE_SIZE_H_
#define PENSTOCK_READER_OPERATIONS_TILE_SIZE_H_

#include <cstddef>

#include "penstock/reader/reduction.h"

namespace penstock {

// What the tiles of a pass have at most.
struct TileSize {
  size_t frames;
  size_t pixels;

  static TileSize Of(const PassPlan& plan) {
    return {static_cast<size_t>(plan.tile_frames), static_cast<size_t>(plan.tile_pixels)};
  }
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_TILE_SIZE_H_
