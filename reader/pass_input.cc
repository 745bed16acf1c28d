#include "reader/pass_input.h"

#include <algorithm>
#include <numeric>

namespace penstock {

namespace {

constexpr int64_t kTilePixelUnit = 256;
constexpr int64_t kMaximumTileFrames = 4096;
// Few frames with long runs of pixels are read fastest. A stack of masks for large frames does not
// fit the L2 cache, so that more frames have to share each of its tiles.
constexpr int64_t kTileFrames = 8;
// Kernels take frames by eight or sixteen at once, and the rest of a tile at a fraction of the
// rate.
constexpr int64_t kFramesAtOnce = 16;
constexpr size_t kTileBytes = size_t{1} << 20;
constexpr size_t kTileBytesOfSeveral = kTileBytes / 2;
constexpr int64_t kTileFramesOfLargeFrames = 32;
constexpr int64_t kLargeFrame = int64_t{2} << 20;

int64_t FramesThatFit(int64_t frames) {
  return frames < kFramesAtOnce ? frames / kTileFrames * kTileFrames
                                : frames / kFramesAtOnce * kFramesAtOnce;
}

}  // namespace

int64_t TilePixelsOfWholeFrame(const DatasetShape& shape) {
  const int64_t pixels = shape.signal.pixel_count();
  return (pixels + kTilePixelUnit - 1) / kTilePixelUnit * kTilePixelUnit;
}

PassPlan MakePlan(const PassInput& input, const DatasetShape& shape, const PassOptions& options,
                  size_t reductions) {
  PassPlan plan;
  plan.shape = shape;
  const size_t chosen_bytes = options.tile_bytes > 0 ? options.tile_bytes
                              : reductions > 1       ? kTileBytesOfSeveral
                                                     : kTileBytes;
  const auto tile_bytes = static_cast<int64_t>(std::max<size_t>(chosen_bytes, 4096));
  const auto frame_bytes = static_cast<int64_t>(input.shape.frame_bytes());
  const auto element_bytes = static_cast<int64_t>(ElementSize(shape.element_type));
  const int64_t wanted = options.tile_frames > 0     ? options.tile_frames
                         : input.tile_frames > 0     ? input.tile_frames
                         : frame_bytes < kLargeFrame ? kTileFrames
                                                     : kTileFramesOfLargeFrames;
  plan.tile_frames = std::clamp(std::max(wanted, FramesThatFit(tile_bytes / frame_bytes)),
                                int64_t{1}, kMaximumTileFrames);
  int64_t pixels = tile_bytes / plan.tile_frames / element_bytes;
  if (input.tile_pixels > 0) pixels = std::min(pixels, input.tile_pixels);
  const int64_t unit = std::lcm(kTilePixelUnit, std::max<int64_t>(input.pixel_unit, 1));
  plan.tile_pixels = std::max(pixels / unit, int64_t{1}) * unit;
  if (plan.tile_pixels >= shape.signal.pixel_count())
    plan.tile_pixels = TilePixelsOfWholeFrame(shape);
  const int64_t frames = static_cast<int64_t>(options.partition_bytes) / frame_bytes;
  plan.partition_frames = std::max(frames / plan.tile_frames, int64_t{1}) * plan.tile_frames;
  return plan;
}

}  // namespace penstock
