// The valid frames of a tile as runs that a kernel can take at once.

#ifndef PENSTOCK_READER_OPERATIONS_FRAME_RUNS_H_
#define PENSTOCK_READER_OPERATIONS_FRAME_RUNS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "penstock/reader/reduction.h"
#include "reader/kernels/kernels.h"

namespace penstock {

// Calls use(FramePixels<Pixel>) for every run of valid frames, at most `longest` frames each.
template <typename Pixel, typename Use>
void ForValidRuns(const Tile& tile, int64_t longest, Use&& use) {
  int64_t frame = 0;
  while (frame < tile.frame_count) {
    if (tile.valid[frame] == 0) {
      ++frame;
      continue;
    }
    int64_t end = frame + 1;
    while (end < tile.frame_count && tile.valid[end] != 0 && end - frame < longest) ++end;
    use(kernels::FramePixels<Pixel>{tile.Frame<Pixel>(frame), tile.frame_stride / sizeof(Pixel),
                                    static_cast<size_t>(end - frame),
                                    static_cast<size_t>(tile.pixel_count)});
    frame = end;
  }
}

inline int64_t CountValid(const Tile& tile) {
  return std::count_if(tile.valid, tile.valid + tile.frame_count,
                       [](uint8_t valid) { return valid != 0; });
}

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_FRAME_RUNS_H_
