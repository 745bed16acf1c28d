// Sums of pixels over regions that cut the frame into few parts: what each vector of pixels adds to
// which region is planned once, for all frames.

#ifndef PENSTOCK_READER_KERNELS_REGION_SUMS_H_
#define PENSTOCK_READER_KERNELS_REGION_SUMS_H_

#include <cstddef>
#include <cstdint>

#include "reader/kernels/kernels.h"

namespace penstock::kernels {

// Pixels that are taken together, on every machine, so that float sums are the same on all.
inline constexpr size_t kRegionVectorBytes = 32;
// Frames that share a pass over the steps.
inline constexpr size_t kRegionFrames = 4;
// So many steps behind the last one must be readable: copies of it, or others.
inline constexpr size_t kRegionStepsAhead = 64;

// Of the pixels of one vector, those of one region.
struct RegionStep {
  uint32_t vector = 0;  // counted from the beginning of the frame
  uint16_t region = 0;
  uint16_t selection = 0;
};

// One value per pixel of a vector: all bits or none, for 16-bit pixels 1 or 0.
template <typename Pixel>
struct RegionSteps {
  const RegionStep* steps = nullptr;
  size_t step_count = 0;
  const Pixel* selections = nullptr;  // of kRegionVectorBytes each
  size_t regions = 0;
  std::byte* table =
      nullptr;              // kRegionFrames * kRegionVectorBytes * regions, of no meaning between
  size_t first_vector = 0;  // where frames.first stands
};

// sums[f * sum_stride + region] += the region's pixels of frame f that the steps speak of.
// `frames.pixels` is not looked at. 8 bits: exact.
void AddToRegions(const FramePixels<uint8_t>& frames, const RegionSteps<uint8_t>& steps,
                  int64_t* sums, size_t sum_stride);
// sum(pixel - 32768): the caller adds the rest. Exact where no region has more than 32000 steps.
void AddToRegionsBiased(const FramePixels<uint16_t>& frames, const RegionSteps<uint16_t>& steps,
                        int64_t* sums, size_t sum_stride);
// Partial sums over all steps of a region in float32, in 8 lanes, then float64.
void AddToRegions(const FramePixels<float>& frames, const RegionSteps<float>& steps, double* sums,
                  size_t sum_stride);

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_REGION_SUMS_H_
