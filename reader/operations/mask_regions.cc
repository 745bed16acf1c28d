#include "reader/operations/mask_regions.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock {

namespace {

// Regions so far and the weight in one more mask: a region of both.
class Splitter {
 public:
  uint32_t Split(uint32_t region, double weight) {
    const uint64_t bits = std::bit_cast<uint64_t>(weight);
    // Neighbours are alike.
    if (region == last_region_ && bits == last_bits_) return last_result_;
    last_region_ = region;
    last_bits_ = bits;
    const auto [at, is_new] =
        results_.try_emplace({region, bits}, static_cast<uint32_t>(results_.size()));
    if (is_new) parts_.push_back({region, weight});
    return last_result_ = at->second;
  }

  struct Part {
    uint32_t of;
    double weight;
  };
  const std::vector<Part>& parts() const { return parts_; }

 private:
  struct Hash {
    size_t operator()(const std::pair<uint32_t, uint64_t>& key) const {
      return (key.second ^ (uint64_t{key.first} << 32)) * 0x9E3779B97F4A7C15U >> 16;
    }
  };
  std::unordered_map<std::pair<uint32_t, uint64_t>, uint32_t, Hash> results_;
  std::vector<Part> parts_;
  uint32_t last_region_ = UINT32_MAX;
  uint64_t last_bits_ = 0;
  uint32_t last_result_ = 0;
};

}  // namespace

std::optional<MaskRegions> MaskRegions::Find(std::span<const Mask> masks, size_t most) {
  const size_t pixels = masks.front().weights.size();
  std::vector<uint32_t> of_pixel(pixels);
  std::vector<std::vector<double>> rows(1);
  for (const Mask& mask : masks) {
    Splitter splitter;
    for (size_t p = 0; p < pixels; ++p) {
      const double weight = mask.weights[p] + 0.0;  // -0 is 0
      of_pixel[p] = splitter.Split(of_pixel[p], weight);
      // One more for what is in no mask.
      if (splitter.parts().size() > most + 1 || !std::isfinite(weight)) return std::nullopt;
    }
    std::vector<std::vector<double>> finer;
    finer.reserve(splitter.parts().size());
    for (const Splitter::Part& part : splitter.parts()) {
      finer.push_back(rows[part.of]);
      finer.back().push_back(part.weight);
    }
    rows = std::move(finer);
  }
  MaskRegions regions;
  std::vector<uint16_t> numbers(rows.size(), kNone);
  for (size_t r = 0; r < rows.size(); ++r) {
    if (std::ranges::all_of(rows[r], [](double weight) { return weight == 0; })) continue;
    numbers[r] = static_cast<uint16_t>(regions.count++);
    regions.weights.insert(regions.weights.end(), rows[r].begin(), rows[r].end());
  }
  if (regions.count > most) return std::nullopt;
  regions.of_pixel.resize(pixels);
  std::ranges::transform(of_pixel, regions.of_pixel.begin(),
                         [&](uint32_t r) { return numbers[r]; });
  return regions;
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
