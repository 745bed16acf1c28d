#include "reader/operations/region_sums.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/region_runs.h"
#include "reader/kernels/region_sums.h"
#include "reader/operations/byte_bins.h"
#include "reader/operations/region_run_sums.h"

namespace penstock {

namespace {

using kernels::kRegionVectorBytes;

template <typename Pixel>
constexpr size_t kLanes = kRegionVectorBytes / sizeof(Pixel);

// What a step, and a vector whose pixels go to their bins one by one, cost in products of a vector
// with a mask (tools/bench, AVX2).
constexpr double kStepInProducts = 3.5;
// With fewer masks the memory is the limit; a stack is then worth so many.
constexpr double kFewMasks = 3;
template <typename Pixel>
constexpr double kBinnedVectorInProducts = sizeof(Pixel) == 1   ? 11.5
                                           : sizeof(Pixel) == 2 ? 8
                                                                : 4;
// Where regions can be taken in runs of steps, which the processor foresees less well than bins:
// bins are quicker from so many on (AMD Zen 4, rings over frames of 128 x 128 to 512 x 512).
template <typename Pixel>
double BinnedVectorInRuns(TileSize tile) {
  if (sizeof(Pixel) == 1) return tile.frames >= kernels::kSlotFrames ? 7 : 11.5;
  return 6;
}

// Of a 16-bit region, whose int32 lanes take up to 65536 per step; of a float32 region: 4096
// pixels.
template <typename Pixel>
constexpr size_t kMostStepsPerSlot = std::is_same_v<Pixel, float> ? 512 : 32000;
// AddToBins has these limits.
template <typename Pixel>
constexpr size_t kMostPixelsPerSlot = std::is_same_v<Pixel, float> ? 4096 : 65536;

template <typename Sum>
void AddSlots(const std::vector<uint16_t>& region_of_slot, size_t frames, size_t regions,
              const std::vector<Sum>& of_slots, Sum* sums) {
  const size_t slots = region_of_slot.size();
  for (size_t f = 0; f < frames; ++f) {
    for (size_t slot = 0; slot < slots; ++slot) {
      if (region_of_slot[slot] == MaskRegions::kNone) continue;
      sums[f * regions + region_of_slot[slot]] += of_slots[f * slots + slot];
    }
  }
}

// Vector by vector, for regions of many neighbours.
template <typename Pixel>
class StepSums final : public RegionSums<Pixel> {
 public:
  using typename RegionSums<Pixel>::Sum;

  StepSums(const MaskRegions& regions, RegionStepPlan plan)
      : regions_(regions), plan_(std::move(plan)) {
    for (const uint32_t selection : plan_.selections) {
      selected_.push_back(std::popcount(selection));
      for (size_t i = 0; i < kLanes<Pixel>; ++i) {
        selections_.push_back(Selected((selection >> i & 1) != 0));
      }
    }
  }

  void Add(const Tile& tile, Sum* sums) const override {
    const auto begin = static_cast<size_t>(tile.first_pixel);
    const size_t end = begin + static_cast<size_t>(tile.pixel_count);
    const size_t first = (begin + kLanes<Pixel> - 1) / kLanes<Pixel>;
    const size_t last = end / kLanes<Pixel>;
    // Emptying the table and adding it up has to pay.
    if (last <= first || last - first < plan_.region_of_slot.size()) {
      AddPixelsToRegions<Pixel>(regions_, tile, begin, end, sums);
      return;
    }
    AddVectors(tile, first, last, sums);
    AddPixelsToRegions<Pixel>(regions_, tile, begin, first * kLanes<Pixel>, sums);
    AddPixelsToRegions<Pixel>(regions_, tile, last * kLanes<Pixel>, end, sums);
  }

 private:
  struct alignas(kRegionVectorBytes) Vector {
    std::byte bytes[kRegionVectorBytes];
  };

  static Pixel Selected(bool selected) {
    if constexpr (std::is_same_v<Pixel, uint16_t>) return selected ? 1 : 0;
    if constexpr (std::is_same_v<Pixel, uint8_t>) return selected ? 0xff : 0;
    if constexpr (std::is_same_v<Pixel, float>) {
      return std::bit_cast<float>(selected ? 0xffffffffU : 0U);
    }
  }

  void AddVectors(const Tile& tile, size_t first, size_t last, Sum* sums) const {
    const auto frames = static_cast<size_t>(tile.frame_count);
    const size_t slots = plan_.region_of_slot.size();
    const size_t first_step = plan_.first_step[first];
    const size_t last_step = plan_.first_step[last];
    // One per worker, reused.
    thread_local kernels::AlignedVector<Vector> table;
    table.resize(std::max(table.size(), slots * kernels::kRegionFrames));
    std::vector<Sum> of_slots(frames * slots);
    const size_t skipped = first * kLanes<Pixel> - static_cast<size_t>(tile.first_pixel);
    const kernels::FramePixels<Pixel> pixels{tile.Frame<Pixel>(0) + skipped,
                                             tile.frame_stride / sizeof(Pixel), frames,
                                             (last - first) * kLanes<Pixel>};
    const kernels::RegionSteps<Pixel> steps{.steps = plan_.steps.data() + first_step,
                                            .step_count = last_step - first_step,
                                            .selections = selections_.data(),
                                            .regions = slots,
                                            .table = table.data()->bytes,
                                            .first_vector = first};
    if constexpr (std::is_same_v<Pixel, uint16_t>) {
      kernels::AddToRegionsBiased(pixels, steps, of_slots.data(), slots);
      std::vector<int64_t> taken(slots);
      for (size_t s = first_step; s < last_step; ++s) {
        taken[plan_.steps[s].region] += selected_[plan_.steps[s].selection];
      }
      for (size_t f = 0; f < frames; ++f) {
        for (size_t slot = 0; slot < slots; ++slot) {
          of_slots[f * slots + slot] += 32768 * taken[slot];
        }
      }
    } else {
      kernels::AddToRegions(pixels, steps, of_slots.data(), slots);
    }
    AddSlots(plan_.region_of_slot, frames, regions_.count, of_slots, sums);
  }

  const MaskRegions& regions_;
  const RegionStepPlan plan_;
  kernels::AlignedVector<Pixel> selections_;
  std::vector<int> selected_;  // pixels of each
};

// Pixel by pixel, eight frames at once or sixteen, for regions that are cut up.
template <typename Pixel>
class BinnedSums final : public RegionSums<Pixel> {
 public:
  using typename RegionSums<Pixel>::Sum;

  BinnedSums(const MaskRegions& regions, TileSize tile) : regions_(regions) {
    struct Slot {
      uint32_t number = UINT32_MAX;
      size_t pixels = 0;
    };
    std::vector<Slot> slots(regions.count + 1);  // the last one: of no region
    slots_of_pixels_.reserve(regions.of_pixel.size());
    for (const uint16_t region : regions.of_pixel) {
      Slot& slot = slots[std::min<size_t>(region, regions.count)];
      if (slot.number == UINT32_MAX || slot.pixels == kMostPixelsPerSlot<Pixel>) {
        slot = {.number = static_cast<uint32_t>(region_of_slot_.size())};
        region_of_slot_.push_back(region);
      }
      ++slot.pixels;
      slots_of_pixels_.push_back(slot.number);
    }
    if constexpr (std::is_same_v<Pixel, uint8_t>) {
      const std::vector<uint32_t> bins(regions.of_pixel.begin(), regions.of_pixel.end());
      byte_bins_ = ByteBins::Make(bins, regions.count, tile);
    }
  }

  void Add(const Tile& tile, Sum* sums) const override {
    kernels::FramePixels<Pixel> pixels{tile.Frame<Pixel>(0), tile.frame_stride / sizeof(Pixel),
                                       static_cast<size_t>(tile.frame_count),
                                       static_cast<size_t>(tile.pixel_count)};
    if constexpr (std::is_same_v<Pixel, uint8_t>) {
      if (byte_bins_ && byte_bins_->IsWorth(pixels.pixels)) {
        const size_t done =
            byte_bins_->Add(pixels, static_cast<size_t>(tile.first_pixel), sums, regions_.count);
        pixels.first += done * pixels.frame_stride;
        pixels.frames -= done;
        sums += done * regions_.count;
        if (pixels.frames == 0) return;
      }
    }
    AddEight(pixels, static_cast<size_t>(tile.first_pixel), sums);
  }

 private:
  // Eight frames at once.
  void AddEight(const kernels::FramePixels<Pixel>& pixels, size_t first_pixel, Sum* sums) const {
    using Narrow = std::conditional_t<std::is_same_v<Pixel, float>, float, uint32_t>;
    const size_t frames = pixels.frames;
    const size_t slots = region_of_slot_.size();
    // One per worker, reused.
    thread_local kernels::AlignedVector<Narrow> table;
    table.resize(std::max(table.size(), kernels::kBinTables * slots * kernels::kBinFrames));
    std::vector<Sum> of_slots(frames * slots);
    kernels::AddToBins(pixels, slots_of_pixels_.data() + first_pixel,
                       kernels::BinTable<Narrow>{table.data(), slots}, of_slots.data(), slots);
    AddSlots(region_of_slot_, frames, regions_.count, of_slots, sums);
  }

  const MaskRegions& regions_;
  std::optional<ByteBins> byte_bins_;  // of 8-bit pixels
  std::vector<uint32_t> slots_of_pixels_;
  std::vector<uint16_t> region_of_slot_;
};

}  // namespace

template <typename Pixel>
std::unique_ptr<const RegionSums<Pixel>> MakeRegionSums(const MaskRegions& regions, TileSize tile,
                                                        size_t mask_count) {
  const double vectors =
      static_cast<double>(regions.of_pixel.size()) / static_cast<double>(kLanes<Pixel>);
  const double binned = vectors * kBinnedVectorInProducts<Pixel>;
  const double masks = vectors * static_cast<double>(mask_count);
  if constexpr (!std::is_same_v<Pixel, float>) {
    if (kernels::RegionRunsAreQuick()) {
      constexpr double kVectorsOfRunVector =
          static_cast<double>(kernels::kRunVectorBytes) / kRegionVectorBytes;
      const double worth =
          binned < masks ? std::min(masks, vectors * BinnedVectorInRuns<Pixel>(tile)) : masks;
      const double most = worth / kVectorsOfRunVector;
      if (auto runs = MakeRegionRunSums<Pixel>(regions, tile.pixels, most)) return runs;
      return binned < masks ? std::make_unique<BinnedSums<Pixel>>(regions, tile) : nullptr;
    }
  }
  const double worth = std::max(masks, vectors * kFewMasks);
  const auto most_steps = static_cast<size_t>(std::min(worth, binned) / kStepInProducts);
  if (auto plan =
          RegionStepPlan::Make(regions, kLanes<Pixel>, most_steps, kMostStepsPerSlot<Pixel>)) {
    return std::make_unique<StepSums<Pixel>>(regions, std::move(*plan));
  }
  return binned < worth ? std::make_unique<BinnedSums<Pixel>>(regions, tile) : nullptr;
}

template std::unique_ptr<const RegionSums<uint8_t>> MakeRegionSums(const MaskRegions&, TileSize,
                                                                   size_t);
template std::unique_ptr<const RegionSums<uint16_t>> MakeRegionSums(const MaskRegions&, TileSize,
                                                                    size_t);
template std::unique_ptr<const RegionSums<float>> MakeRegionSums(const MaskRegions&, TileSize,
                                                                 size_t);

}  // namespace penstock
