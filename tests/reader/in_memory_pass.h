// A pass over frames in memory, cut into tiles and partitions as the test wants: reductions are
// tested without files and without threads.

#ifndef PENSTOCK_TESTS_READER_IN_MEMORY_PASS_H_
#define PENSTOCK_TESTS_READER_IN_MEMORY_PASS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "penstock/reader/reduction.h"

namespace penstock {

struct PassCut {
  int64_t tile_frames = 32;
  int64_t tile_pixels = 1 << 20;  // a multiple of 256
  int64_t partition_frames = 1 << 20;
};

template <typename Pixel>
Status RunInMemory(Reduction& reduction, const DatasetShape& shape, const std::vector<Pixel>& data,
                   const std::vector<uint8_t>& valid, const PassCut& cut) {
  const int64_t frames = shape.frame_count();
  const int64_t pixels = shape.signal.pixel_count();
  PassPlan plan{shape, cut.tile_frames, cut.tile_pixels, 0, std::min(cut.partition_frames, frames)};
  plan.partition_count = (frames + plan.partition_frames - 1) / plan.partition_frames;
  PENSTOCK_RETURN_IF_ERROR(reduction.Begin(plan));
  const auto state = reduction.MakeState();
  for (int64_t index = 0; index < plan.partition_count; ++index) {
    const int64_t first = index * plan.partition_frames;
    const Partition partition{index, 0, {first, std::min(first + plan.partition_frames, frames)}};
    reduction.BeginPartition(*state, partition);
    for (int64_t f = first; f < partition.frames.last; f += cut.tile_frames) {
      for (int64_t p = 0; p < pixels; p += cut.tile_pixels) {
        Tile tile;
        tile.element_type = shape.element_type;
        tile.pixels = reinterpret_cast<const std::byte*>(data.data() + f * pixels + p);
        tile.frame_stride = shape.frame_bytes();
        tile.first_frame = f;
        tile.frame_count = std::min(cut.tile_frames, partition.frames.last - f);
        tile.first_pixel = p;
        tile.pixel_count = std::min(cut.tile_pixels, pixels - p);
        tile.valid = valid.data() + f;
        reduction.Process(*state, tile);
      }
    }
    reduction.Merge(*state, partition);
  }
  return Status::Ok();
}

}  // namespace penstock

#endif  // PENSTOCK_TESTS_READER_IN_MEMORY_PASS_H_
