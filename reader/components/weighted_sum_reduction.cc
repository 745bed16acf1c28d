#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "penstock/reader/components.h"
#include "reader/kernels/weighted_kernels.h"
#include "reader/operations/frame_runs.h"

namespace penstock {

namespace {

struct SumState final : Reduction::State {
  std::vector<double> sums;
};

template <typename Pixel>
constexpr bool kHasKernel = std::is_same_v<Pixel, float> || sizeof(Pixel) <= 2;

}  // namespace

struct WeightedSumReduction::Impl {
  std::vector<double> weights;
  size_t count = 0;
  size_t pixels = 0;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels;
  ResultArray result;
};

WeightedSumReduction::WeightedSumReduction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WeightedSumReduction::~WeightedSumReduction() = default;
const ResultArray& WeightedSumReduction::result() const { return impl_->result; }

Result<std::unique_ptr<WeightedSumReduction>> WeightedSumReduction::Create(
    std::vector<double> weights, int64_t count) {
  if (count < 1 || weights.size() % static_cast<size_t>(count) != 0) {
    return Error::InvalidArgument("the weights of the frames have no rows")
        .Expected(fmt::format("a multiple of {}", count))
        .Found(fmt::format("{}", weights.size()));
  }
  auto impl = std::make_unique<Impl>();
  impl->weights = std::move(weights);
  impl->count = static_cast<size_t>(count);
  return std::unique_ptr<WeightedSumReduction>(new WeightedSumReduction(std::move(impl)));
}

Status WeightedSumReduction::Begin(const PassPlan& plan) {
  const auto frames = static_cast<size_t>(plan.shape.frame_count());
  if (impl_->weights.size() != frames * impl_->count) {
    return Error::InvalidArgument("the weights do not fit the scan")
        .Expected(fmt::format("{} frames", frames))
        .Found(fmt::format("{}", impl_->weights.size() / impl_->count));
  }
  const ElementType type = plan.shape.element_type;
  if (IsComplex(type) || (IsInteger(type) && ElementSize(type) == 8)) {
    return Error::Unsupported(fmt::format("weighted sums of {} data", ZarrDataType(type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  impl_->pixels = static_cast<size_t>(plan.shape.signal.pixel_count());
  impl_->good_pixels = plan.good_pixels;
  impl_->result = {
      {static_cast<int64_t>(impl_->count), plan.shape.signal.rows, plan.shape.signal.columns},
      std::vector<double>(impl_->count * impl_->pixels)};
  return Status::Ok();
}

std::unique_ptr<Reduction::State> WeightedSumReduction::MakeState() const {
  auto state = std::make_unique<SumState>();
  state->sums.resize(impl_->count * impl_->pixels);
  return state;
}

void WeightedSumReduction::BeginPartition(State& state, const Partition&) const {
  std::ranges::fill(static_cast<SumState&>(state).sums, 0);
}

void WeightedSumReduction::Process(State& state, const Tile& tile) const {
  auto& mine = static_cast<SumState&>(state);
  VisitElementType(tile.element_type, [&](auto zero) {
    using Pixel = decltype(zero);
    if constexpr (std::is_arithmetic_v<Pixel>) {
      ForValidRuns<Pixel>(tile, tile.frame_count, [&](const kernels::FramePixels<Pixel>& frames) {
        const auto offset = static_cast<size_t>(frames.first - tile.Frame<Pixel>(0)) /
                            (tile.frame_stride / sizeof(Pixel));
        const size_t first = static_cast<size_t>(tile.first_frame) + offset;
        const kernels::WeightedSums to{impl_->weights.data() + first * impl_->count, impl_->count,
                                       mine.sums.data() + tile.first_pixel, impl_->pixels};
        if constexpr (kHasKernel<Pixel>) {
          kernels::AddWeighted(frames, to);
        } else {
          kernels::scalar::AddWeighted(frames, to);
        }
      });
    }
  });
}

void WeightedSumReduction::Merge(State& state, const Partition&) {
  const auto& sums = static_cast<const SumState&>(state).sums;
  auto& result = std::get<std::vector<double>>(impl_->result.values);
  for (size_t i = 0; i < sums.size(); ++i) {
    const bool good =
        impl_->good_pixels == nullptr || (*impl_->good_pixels)[i % impl_->pixels] != 0;
    if (good) result[i] += sums[i];
  }
}

}  // namespace penstock
