#include "reader/operations/region_run_plan.h"

#include <algorithm>
#include <bit>
#include <span>

namespace penstock {

namespace {

// In products of a vector with a mask, measured (penstock_bench_kernels, AVX-512 with VNNI): a
// step, and what a run costs besides (a branch that is not foreseen, the way of the sums to
// memory).
constexpr double kStepInProducts = 1.2;
constexpr double kRunInProducts = 6;

struct Step {
  uint16_t region;
  kernels::RunStep step;
};

// The steps of one vector, in the order of their first pixels.
void AddSteps(std::span<const uint16_t> region_of_pixel, uint32_t offset,
              std::vector<Step>& steps) {
  uint64_t done = 0;
  for (size_t i = 0; i < region_of_pixel.size(); ++i) {
    const uint16_t region = region_of_pixel[i];
    if (region == MaskRegions::kNone || (done >> i & 1) != 0) continue;
    uint64_t selected = 0;
    for (size_t j = i; j < region_of_pixel.size(); ++j) {
      if (region_of_pixel[j] == region) selected |= uint64_t{1} << j;
    }
    done |= selected;
    steps.push_back({region, {.selected = selected, .offset = offset}});
  }
}

// The most vectors of which tiles are multiples; a tile of the whole frame is cut anywhere.
size_t VectorsOfChunk(size_t lanes, size_t tile_pixels, size_t frame_pixels) {
  size_t vectors = kernels::kRunChunkVectors;
  if (tile_pixels >= frame_pixels) return vectors;
  while (vectors > 1 && tile_pixels % (vectors * lanes) != 0) --vectors;
  return vectors;
}

}  // namespace

std::optional<RegionRunPlan> RegionRunPlan::Make(const MaskRegions& regions, size_t lanes,
                                                 size_t tile_pixels, double most_products) {
  const size_t vectors = regions.of_pixel.size() / lanes;
  const size_t vectors_of_chunk = VectorsOfChunk(lanes, tile_pixels, regions.of_pixel.size());
  RegionRunPlan plan;
  plan.chunk_pixels = vectors_of_chunk * lanes;
  std::vector<Step> steps;
  for (size_t first = 0; first < vectors; first += vectors_of_chunk) {
    plan.chunks.push_back({plan.runs.size(), plan.steps.size()});
    steps.clear();
    for (size_t v = first; v < std::min(first + vectors_of_chunk, vectors); ++v) {
      const auto offset = static_cast<uint32_t>((v - first) * kernels::kRunVectorBytes);
      AddSteps(std::span(regions.of_pixel).subspan(v * lanes, lanes), offset, steps);
    }
    std::ranges::stable_sort(steps, {}, &Step::region);
    const size_t first_run = plan.runs.size();
    for (const Step& each : steps) {
      if (plan.runs.size() == first_run || plan.runs.back().region != each.region) {
        plan.runs.push_back({.region = each.region});
        plan.pixels_of_run.push_back(0);
      }
      ++plan.runs.back().steps;
      plan.pixels_of_run.back() += static_cast<uint32_t>(std::popcount(each.step.selected));
      plan.steps.push_back(each.step);
    }
    if (static_cast<double>(plan.steps.size()) * kStepInProducts +
            static_cast<double>(plan.runs.size()) * kRunInProducts >
        most_products) {
      return std::nullopt;
    }
  }
  plan.chunks.push_back({plan.runs.size(), plan.steps.size()});
  return plan;
}

}  // namespace penstock
