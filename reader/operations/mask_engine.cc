#include "reader/operations/mask_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <type_traits>
#include <utility>

#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/operations/region_engine.h"

namespace penstock {

namespace {

// What decides which kernel may be used.
struct StackProperties {
  bool binary = true;
  bool integer = true;
  double lowest_weight = 0;       // or 0
  double highest_weight = 0;      // or 0
  double maximum_weight = 0;      // absolute
  double maximum_total = 0;       // of absolute weights over one mask
  std::vector<int64_t> totals{};  // of weights per mask; only where integer
};

constexpr double kLargestExactWeight = 9007199254740992.0;  // 2^53
constexpr double kInt64Limit = 9.2e18;                      // below 2^63

// Takes in a weight of one mask, which `pixels` of its pixels have.
class Examiner {
 public:
  explicit Examiner(size_t masks) : totals_(masks) { found_.totals.resize(masks); }

  void Take(size_t mask, double weight, double pixels) {
    const double magnitude = std::abs(weight);
    found_.binary = found_.binary && (weight == 0 || weight == 1);
    found_.integer =
        found_.integer && weight == std::floor(weight) && magnitude <= kLargestExactWeight;
    found_.lowest_weight = std::min(found_.lowest_weight, weight);
    found_.highest_weight = std::max(found_.highest_weight, weight);
    totals_[mask].magnitude += magnitude * pixels;
    totals_[mask].weight += weight * pixels;
  }

  StackProperties Found() {
    found_.maximum_weight = std::max(found_.highest_weight, -found_.lowest_weight);
    for (size_t k = 0; k < totals_.size(); ++k) {
      found_.maximum_total = std::max(found_.maximum_total, totals_[k].magnitude);
    }
    for (size_t k = 0; found_.integer && k < totals_.size(); ++k) {
      // Beyond 2^53 float64 does not know all integers, but nobody asks for the total.
      if (totals_[k].magnitude <= kLargestExactWeight) {
        found_.totals[k] = static_cast<int64_t>(totals_[k].weight);
      }
    }
    return found_;
  }

 private:
  struct Total {
    double magnitude = 0;
    double weight = 0;
  };
  StackProperties found_;
  std::vector<Total> totals_;
};

StackProperties Examine(MaskStack masks) {
  Examiner examiner(masks.size());
  for (size_t k = 0; k < masks.size(); ++k) {
    for (const double weight : masks[k]->weights) examiner.Take(k, weight, 1);
  }
  return examiner.Found();
}

// The same, from few weights instead of one for every pixel and mask.
StackProperties Examine(const MaskRegions& regions, size_t mask_count) {
  std::vector<double> pixels(regions.count);
  for (const uint16_t region : regions.of_pixel) {
    if (region != MaskRegions::kNone) ++pixels[region];
  }
  Examiner examiner(mask_count);
  for (size_t r = 0; r < regions.count; ++r) {
    for (size_t k = 0; k < mask_count; ++k) {
      examiner.Take(k, regions.weights[r * mask_count + k], pixels[r]);
    }
  }
  return examiner.Found();
}

// Packs the weights as MaskValue and calls `kernel(FramePixels<Pixel>, MaskRun<MaskValue, Total>)`.
template <typename Pixel, typename MaskValue, typename Total, typename Kernel>
class PackedEngine final : public MaskEngine {
 public:
  template <typename Pack>
  PackedEngine(MaskStack masks, Pack&& pack, Kernel kernel, const std::vector<int64_t>& bias = {})
      : mask_count_(masks.size()),
        row_stride_(SpreadStride(masks.front()->weights.size())),
        kernel_(std::move(kernel)) {
    bias_ = bias;
    bias_.resize(mask_count_);
    values_.resize(mask_count_ * row_stride_ + kSets / sizeof(MaskValue));
    const size_t aside =
        (2 * kSets - reinterpret_cast<uintptr_t>(values_.data()) % kSets + kFirstRow) % kSets;
    first_ = values_.data() + aside / sizeof(MaskValue);
    for (size_t k = 0; k < mask_count_; ++k) {
      std::transform(masks[k]->weights.begin(), masks[k]->weights.end(), first_ + k * row_stride_,
                     pack);
    }
  }

  bool is_exact() const override { return std::is_same_v<Total, int64_t>; }

  void Multiply(const Tile& tile, Total* totals) const override {
    std::vector<const MaskValue*> rows(mask_count_);
    for (size_t k = 0; k < mask_count_; ++k) {
      rows[k] = first_ + k * row_stride_ + static_cast<size_t>(tile.first_pixel);
    }
    kernel_(kernels::FramePixels<Pixel>{tile.Frame<Pixel>(0), tile.frame_stride / sizeof(Pixel),
                                        static_cast<size_t>(tile.frame_count),
                                        static_cast<size_t>(tile.pixel_count)},
            kernels::MaskRun<MaskValue, Total>{rows.data(), mask_count_, totals, mask_count_});
  }
  using MaskEngine::Multiply;

 private:
  // The sets of the L1 cache repeat after 4 KiB. Frames of 2^n bytes, which begin with a page, are
  // all in the same ones and leave no place there: the first mask begins elsewhere.
  static constexpr size_t kSets = 4096;
  static constexpr size_t kFirstRow = 1024;

  // Masks of 2^n pixels one after another would meet in the same sets, too. Rows begin 9 lines
  // further instead.
  static size_t SpreadStride(size_t pixels) {
    constexpr size_t kStep = 9 * 64;
    const size_t bytes = pixels * sizeof(MaskValue);
    return (bytes + (kSets + kStep - bytes % kSets) % kSets + sizeof(MaskValue) - 1) /
           sizeof(MaskValue);
  }

  size_t mask_count_;
  size_t row_stride_;
  kernels::AlignedVector<MaskValue> values_;
  MaskValue* first_ = nullptr;  // [mask][pixel], rows row_stride_ apart
  Kernel kernel_;
};

template <typename Pixel, typename MaskValue, typename Total, typename Pack, typename Kernel>
std::unique_ptr<const MaskEngine> MakeEngine(MaskStack masks, Pack&& pack, Kernel kernel,
                                             const std::vector<int64_t>& bias = {}) {
  return std::make_unique<PackedEngine<Pixel, MaskValue, Total, Kernel>>(
      masks, std::forward<Pack>(pack), std::move(kernel), bias);
}

template <typename T>
T PackValue(double weight) {
  return static_cast<T>(weight);
}
template <typename T>
T PackSelection(double weight) {
  return weight != 0 ? static_cast<T>(~T{0}) : T{0};
}

// The path of types and weights without a kernel of their own.
template <typename Pixel>
std::unique_ptr<const MaskEngine> MakeScalarEngine(MaskStack masks, bool exact) {
  const auto kernel = [](const auto& frames, const auto& run) {
    kernels::scalar::MaskProduct(frames, run);
  };
  if (exact) return MakeEngine<Pixel, int64_t, int64_t>(masks, &PackValue<int64_t>, kernel);
  return MakeEngine<Pixel, double, double>(masks, &PackValue<double>, kernel);
}

template <typename Pixel>
std::unique_ptr<const MaskEngine> MakeFloatEngine(MaskStack masks) {
  return MakeEngine<Pixel, float, double>(
      masks, &PackValue<float>,
      [](const auto& frames, const auto& run) { kernels::MaskProduct(frames, run); });
}

constexpr double kLargestShortWeight = 32767;

std::unique_ptr<const MaskEngine> MakeEngineU8(MaskStack masks, const StackProperties& stack,
                                               bool exact) {
  if (!exact) return MakeFloatEngine<uint8_t>(masks);
  if (stack.binary) {
    return MakeEngine<uint8_t, uint8_t, int64_t>(
        masks, &PackSelection<uint8_t>,
        [](const auto& frames, const auto& run) { kernels::MaskProduct(frames, run); });
  }
  if (stack.maximum_weight > kLargestShortWeight) return MakeScalarEngine<uint8_t>(masks, true);
  const auto maximum = static_cast<int32_t>(stack.maximum_weight);
  const auto kernel = [maximum](const auto& frames, const auto& run) {
    kernels::MaskProduct(frames, run, maximum);
  };
  if (stack.lowest_weight >= -128 && stack.highest_weight <= 127) {
    return MakeEngine<uint8_t, int8_t, int64_t>(masks, &PackValue<int8_t>, kernel);
  }
  return MakeEngine<uint8_t, int16_t, int64_t>(masks, &PackValue<int16_t>, kernel);
}

std::unique_ptr<const MaskEngine> MakeEngineU16(MaskStack masks, const StackProperties& stack,
                                                bool exact) {
  if (!exact) return MakeFloatEngine<uint16_t>(masks);
  if (stack.maximum_weight > kLargestShortWeight) return MakeScalarEngine<uint16_t>(masks, true);
  const auto maximum = static_cast<int32_t>(stack.maximum_weight);
  std::vector<int64_t> bias(masks.size());
  for (size_t k = 0; k < bias.size(); ++k) bias[k] = 32768 * stack.totals[k];
  return MakeEngine<uint16_t, int16_t, int64_t>(
      masks, &PackValue<int16_t>,
      [maximum](const auto& frames, const auto& run) {
        kernels::BiasedMaskProduct(frames, run, maximum);
      },
      bias);
}

std::unique_ptr<const MaskEngine> MakeEngineU32(MaskStack masks, const StackProperties& stack,
                                                bool exact) {
  if (!exact || !stack.binary) return MakeScalarEngine<uint32_t>(masks, exact);
  return MakeEngine<uint32_t, uint32_t, int64_t>(
      masks, &PackSelection<uint32_t>,
      [](const auto& frames, const auto& run) { kernels::MaskProduct(frames, run); });
}

}  // namespace

void MaskEngine::Multiply(const Tile&, int64_t*) const { std::abort(); }
void MaskEngine::Multiply(const Tile&, double*) const { std::abort(); }
void MaskEngine::Multiply(const PackedTile&, int64_t*) const { std::abort(); }

Result<std::unique_ptr<const MaskEngine>> MaskEngine::Make(MaskStack masks,
                                                           ElementType element_type,
                                                           TileSize tile) {
  std::optional<MaskRegions> regions = FindFewRegions(masks);
  const StackProperties stack = regions ? Examine(*regions, masks.size()) : Examine(masks);
  // The largest sum that data of this type can give, at every step of the way.
  const double largest = std::ldexp(1.0, static_cast<int>(8 * ElementSize(element_type)));
  const bool exact =
      IsInteger(element_type) && stack.integer && largest * stack.maximum_total < kInt64Limit;
  if (regions) {
    auto engine = MakeRegionEngine(std::move(*regions), masks.size(), element_type, exact, tile);
    if (engine) return engine;
  }
  switch (element_type) {
    case ElementType::kUint8:
      return MakeEngineU8(masks, stack, exact);
    case ElementType::kUint16:
      return MakeEngineU16(masks, stack, exact);
    case ElementType::kUint32:
      return MakeEngineU32(masks, stack, exact);
    case ElementType::kFloat32:
      return MakeFloatEngine<float>(masks);
    case ElementType::kInt8:
      return MakeScalarEngine<int8_t>(masks, exact);
    case ElementType::kInt16:
      return MakeScalarEngine<int16_t>(masks, exact);
    case ElementType::kInt32:
      return MakeScalarEngine<int32_t>(masks, exact);
    case ElementType::kFloat64:
      return MakeScalarEngine<double>(masks, false);
    default:
      return Error::Unsupported(fmt::format("masks on {} data", ZarrDataType(element_type)))
          .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
}

}  // namespace penstock
