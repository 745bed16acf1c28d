#include "reader/operations/region_engine.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "reader/operations/mask_regions.h"
#include "reader/operations/region_sums.h"

namespace penstock {

namespace {

template <typename Pixel, typename Total>
class RegionEngine final : public MaskEngine {
 public:
  // Null where the masks one by one are quicker.
  static std::unique_ptr<const MaskEngine> Make(MaskRegions regions, size_t mask_count,
                                                TileSize tile) {
    // The regions have to stay where they are.
    std::unique_ptr<RegionEngine> engine(new RegionEngine(std::move(regions), mask_count));
    engine->sums_ = MakeRegionSums<Pixel>(engine->regions_, tile, mask_count);
    if (!engine->sums_) return nullptr;
    return engine;
  }

  bool is_exact() const override { return std::is_same_v<Total, int64_t>; }

  void Multiply(const Tile& tile, Total* totals) const override {
    const auto frames = static_cast<size_t>(tile.frame_count);
    std::vector<typename RegionSums<Pixel>::Sum> sums(frames * regions_.count);
    sums_->Add(tile, sums.data());
    for (size_t f = 0; f < frames; ++f) {
      for (const Weight& weight : weights_) {
        totals[f * mask_count_ + weight.mask] +=
            static_cast<Total>(sums[f * regions_.count + weight.region]) * weight.value;
      }
    }
  }
  using MaskEngine::Multiply;

 private:
  struct Weight {
    size_t region;
    size_t mask;
    Total value;
  };

  RegionEngine(MaskRegions regions, size_t mask_count)
      : regions_(std::move(regions)), mask_count_(mask_count) {
    bias_.resize(mask_count);
    for (size_t r = 0; r < regions_.count; ++r) {
      for (size_t k = 0; k < mask_count; ++k) {
        const double weight = regions_.weights[r * mask_count + k];
        if (weight != 0) weights_.push_back({r, k, static_cast<Total>(weight)});
      }
    }
  }

  const MaskRegions regions_;
  const size_t mask_count_;
  std::vector<Weight> weights_;  // those that are not 0
  std::unique_ptr<const RegionSums<Pixel>> sums_;
};

template <typename Pixel>
std::unique_ptr<const MaskEngine> Make(MaskRegions regions, size_t mask_count, bool exact,
                                       TileSize tile) {
  if constexpr (!std::is_same_v<Pixel, float>) {
    if (exact) {
      return RegionEngine<Pixel, int64_t>::Make(std::move(regions), mask_count, tile);
    }
  }
  return RegionEngine<Pixel, double>::Make(std::move(regions), mask_count, tile);
}

}  // namespace

std::optional<MaskRegions> FindFewRegions(MaskStack masks) {
  constexpr size_t kMostRegions = 1024;
  // The table of the sums, emptied and added up for each tile, must be small beside the tile.
  constexpr size_t kPixelsPerRegion = 64;
  return MaskRegions::Find(
      masks, std::min(kMostRegions, masks.front()->weights.size() / kPixelsPerRegion));
}

std::unique_ptr<const MaskEngine> MakeRegionEngine(MaskRegions regions, size_t mask_count,
                                                   ElementType element_type, bool exact,
                                                   TileSize tile) {
  switch (element_type) {
    case ElementType::kUint8:
      return Make<uint8_t>(std::move(regions), mask_count, exact, tile);
    case ElementType::kUint16:
      return Make<uint16_t>(std::move(regions), mask_count, exact, tile);
    case ElementType::kFloat32:
      return Make<float>(std::move(regions), mask_count, exact, tile);
    default:
      return nullptr;
  }
}

}  // namespace penstock
