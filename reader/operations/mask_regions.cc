#include "reader/operations/mask_regions.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock {

namespace {

// Cuts regions finer, mask after mask. What a mask does not touch stays as it is: masks are mostly
// zeros, and there may be many of them.
class Cutter {
 public:
  explicit Cutter(size_t pixels) : of_pixel_(pixels), parts_(1) {}

  // False: more than `most` regions of some weight, or a weight that is not finite.
  bool Cut(size_t mask, const std::vector<double>& weights, size_t most) {
    finer_.clear();
    last_region_ = UINT32_MAX;
    const size_t before = parts_.size();
    for (size_t p = 0; p < weights.size(); ++p) {
      const double weight = weights[p];
      if (weight == 0) continue;
      of_pixel_[p] = Finer(of_pixel_[p], weight, mask);
      // All of these have a pixel.
      if (parts_.size() - before > most || !std::isfinite(weight)) return false;
    }
    return true;
  }

  // Those that still have pixels, in the order of their first; kNone: of no weight.
  std::optional<MaskRegions> Regions(size_t mask_count, size_t most) const {
    constexpr uint32_t kUnseen = UINT32_MAX;
    std::vector<uint32_t> numbers(parts_.size(), kUnseen);
    numbers[0] = MaskRegions::kNone;
    MaskRegions regions;
    regions.of_pixel.reserve(of_pixel_.size());
    for (const uint32_t region : of_pixel_) {
      if (numbers[region] == kUnseen) {
        if (regions.count == most) return std::nullopt;
        numbers[region] = static_cast<uint32_t>(regions.count++);
        const size_t row = regions.weights.size();
        regions.weights.resize(row + mask_count);
        for (uint32_t part = region; part != 0; part = parts_[part].of) {
          regions.weights[row + parts_[part].mask] = parts_[part].weight;
        }
      }
      regions.of_pixel.push_back(static_cast<uint16_t>(numbers[region]));
    }
    return regions;
  }

 private:
  // The region `of` where the mask has that weight. 0: no weight in any mask.
  struct Part {
    uint32_t of = 0;
    size_t mask = 0;
    double weight = 0;
  };

  uint32_t Finer(uint32_t region, double weight, size_t mask) {
    const uint64_t bits = std::bit_cast<uint64_t>(weight);
    // Neighbours are alike.
    if (region == last_region_ && bits == last_bits_) return last_result_;
    last_region_ = region;
    last_bits_ = bits;
    const auto [at, is_new] =
        finer_.try_emplace({region, bits}, static_cast<uint32_t>(parts_.size()));
    if (is_new) parts_.push_back({region, mask, weight});
    return last_result_ = at->second;
  }

  struct Hash {
    size_t operator()(const std::pair<uint32_t, uint64_t>& key) const {
      return (key.second ^ (uint64_t{key.first} << 32)) * 0x9E3779B97F4A7C15U >> 16;
    }
  };

  std::vector<uint32_t> of_pixel_;
  std::vector<Part> parts_;
  std::unordered_map<std::pair<uint32_t, uint64_t>, uint32_t, Hash> finer_;  // by the present mask
  uint32_t last_region_ = UINT32_MAX;
  uint64_t last_bits_ = 0;
  uint32_t last_result_ = 0;
};

}  // namespace

std::optional<MaskRegions> MaskRegions::Find(MaskStack masks, size_t most) {
  Cutter cutter(masks.front()->weights.size());
  for (size_t k = 0; k < masks.size(); ++k) {
    if (!cutter.Cut(k, masks[k]->weights, most)) return std::nullopt;
  }
  return cutter.Regions(masks.size(), most);
}

std::optional<RegionStepPlan> RegionStepPlan::Make(const MaskRegions& regions, size_t lanes,
                                                   size_t most_steps, size_t most_steps_per_slot) {
  constexpr size_t kMostSelections = 4096;  // 128 KiB of them
  const size_t vectors = regions.of_pixel.size() / lanes;
  RegionStepPlan plan;
  plan.first_step.reserve(vectors + 1);
  std::unordered_map<uint32_t, uint16_t> selections;
  struct Slot {
    uint16_t number = MaskRegions::kNone;
    size_t steps = 0;
  };
  std::vector<Slot> slots(regions.count);
  for (size_t v = 0; v < vectors; ++v) {
    plan.first_step.push_back(static_cast<uint32_t>(plan.steps.size()));
    const std::span<const uint16_t> pixels = std::span(regions.of_pixel).subspan(v * lanes, lanes);
    uint32_t done = 0;
    for (size_t i = 0; i < lanes; ++i) {
      const uint16_t region = pixels[i];
      if (region == MaskRegions::kNone || (done >> i & 1) != 0) continue;
      uint32_t selection = 0;
      for (size_t j = i; j < lanes; ++j) {
        if (pixels[j] == region) selection |= uint32_t{1} << j;
      }
      done |= selection;
      const auto [number, is_new] =
          selections.try_emplace(selection, static_cast<uint16_t>(selections.size()));
      if (is_new) plan.selections.push_back(selection);
      Slot& slot = slots[region];
      if (slot.number == MaskRegions::kNone || slot.steps == most_steps_per_slot) {
        slot = {.number = static_cast<uint16_t>(plan.region_of_slot.size())};
        plan.region_of_slot.push_back(region);
      }
      ++slot.steps;
      plan.steps.push_back(
          {.vector = static_cast<uint32_t>(v), .region = slot.number, .selection = number->second});
    }
    if (plan.steps.size() > most_steps || selections.size() > kMostSelections ||
        plan.region_of_slot.size() >= MaskRegions::kNone) {
      return std::nullopt;
    }
  }
  plan.first_step.push_back(static_cast<uint32_t>(plan.steps.size()));
  const kernels::RegionStep last = plan.steps.empty() ? kernels::RegionStep() : plan.steps.back();
  plan.steps.insert(plan.steps.end(), kernels::kRegionStepsAhead, last);
  return plan;
}

}  // namespace penstock
