#include "reader/operations/region_run_sums.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/region_runs.h"
#include "reader/operations/region_run_plan.h"

namespace penstock {

namespace {

constexpr size_t kLanesOfSum = 8;

template <typename Pixel>
class RunSums final : public RegionSums<Pixel> {
 public:
  RunSums(const MaskRegions& regions, RegionRunPlan plan)
      : regions_(regions), plan_(std::move(plan)) {}

  void Add(const Tile& tile, int64_t* sums) const override {
    constexpr size_t kPixels = kernels::kRunVectorBytes / sizeof(Pixel);
    const auto begin = static_cast<size_t>(tile.first_pixel);
    const size_t end = begin + static_cast<size_t>(tile.pixel_count);
    const size_t all = regions_.of_pixel.size();
    const size_t chunks = plan_.chunks.size() - 1;
    const size_t first = (begin + plan_.chunk_pixels - 1) / plan_.chunk_pixels;
    const size_t last = std::max(first, end == all ? chunks : end / plan_.chunk_pixels);
    if (first >= chunks || first == last)
      return AddPixelsToRegions<Pixel>(regions_, tile, begin, end, sums);
    const auto frames = static_cast<size_t>(tile.frame_count);
    for (size_t f = 0; f < frames; f += kernels::kRunFrames) {
      AddChunks(tile, {f, std::min(f + kernels::kRunFrames, frames)}, {first, last},
                sums + f * regions_.count);
    }
    AddBias(first, last, frames, sums);
    AddPixelsToRegions<Pixel>(regions_, tile, begin, first * plan_.chunk_pixels, sums);
    AddPixelsToRegions<Pixel>(regions_, tile,
                              last == chunks ? all / kPixels * kPixels : last * plan_.chunk_pixels,
                              end, sums);
  }

 private:
  // From the first one to before the last.
  struct Range {
    size_t first;
    size_t last;
  };

  // At most kRunFrames frames of the tile.
  void AddChunks(const Tile& tile, Range frames, Range chunks, int64_t* sums) const {
    // One per worker, reused.
    thread_local kernels::AlignedVector<int64_t> lanes;
    const size_t count = regions_.count;
    const size_t frame_count = frames.last - frames.first;
    lanes.assign(frame_count * count * kLanesOfSum, 0);
    for (size_t c = chunks.first; c < chunks.last; ++c) {
      const size_t skipped = c * plan_.chunk_pixels - static_cast<size_t>(tile.first_pixel);
      const RegionRunPlan::Chunk& chunk = plan_.chunks[c];
      const kernels::FramePixels<Pixel> pixels{
          tile.Frame<Pixel>(static_cast<int64_t>(frames.first)) + skipped,
          tile.frame_stride / sizeof(Pixel), frame_count, plan_.chunk_pixels};
      const kernels::RegionRuns runs{.runs = plan_.runs.data() + chunk.first_run,
                                     .run_count = plan_.chunks[c + 1].first_run - chunk.first_run,
                                     .steps = plan_.steps.data() + chunk.first_step};
      if constexpr (kIsBiased) {
        kernels::AddRunsBiased(pixels, runs, lanes.data(), count);
      } else {
        kernels::AddRuns(pixels, runs, lanes.data(), count);
      }
    }
    for (size_t i = 0; i < frame_count * count; ++i) {
      for (size_t lane = 0; lane < kLanesOfSum; ++lane) sums[i] += lanes[i * kLanesOfSum + lane];
    }
  }

  void AddBias(size_t first, size_t last, size_t frames, int64_t* sums) const {
    if constexpr (kIsBiased) {
      for (size_t r = plan_.chunks[first].first_run; r < plan_.chunks[last].first_run; ++r) {
        for (size_t f = 0; f < frames; ++f) {
          sums[f * regions_.count + plan_.runs[r].region] +=
              int64_t{32768} * plan_.pixels_of_run[r];
        }
      }
    }
  }

  static constexpr bool kIsBiased = sizeof(Pixel) == 2;

  const MaskRegions& regions_;
  const RegionRunPlan plan_;
};

}  // namespace

template <typename Pixel>
std::unique_ptr<const RegionSums<Pixel>> MakeRegionRunSums(const MaskRegions& regions,
                                                           size_t tile_pixels,
                                                           double most_products) {
  if (!kernels::RegionRunsAreQuick()) return nullptr;
  auto plan = RegionRunPlan::Make(regions, kernels::kRunVectorBytes / sizeof(Pixel), tile_pixels,
                                  most_products);
  if (!plan) return nullptr;
  return std::make_unique<RunSums<Pixel>>(regions, std::move(*plan));
}

template std::unique_ptr<const RegionSums<uint8_t>> MakeRegionRunSums(const MaskRegions&, size_t,
                                                                      double);
template std::unique_ptr<const RegionSums<uint16_t>> MakeRegionRunSums(const MaskRegions&, size_t,
                                                                       double);

}  // namespace penstock
