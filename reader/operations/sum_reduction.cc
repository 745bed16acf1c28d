#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "penstock/reader/operations.h"
#include "reader/device/pixel_form.h"
#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/operations/frame_runs.h"

namespace penstock {

namespace {

// Sums of one partition.
class SumState : public Reduction::State {
 public:
  virtual void Reset() = 0;
  virtual void Add(const Tile& tile) = 0;
  virtual void AddTo(ResultArray& result) const = 0;
  // What a device has added up, into the empty state.
  virtual void Take(const FetchedSums& sums) = 0;

  int64_t frames = 0;
};

// 8- and 16-bit pixels: 32-bit sums, which halve the traffic to the L2 cache, emptied into 64-bit
// ones before they can overflow.
template <typename Pixel>
class NarrowSums final : public SumState {
 public:
  explicit NarrowSums(size_t pixels) : narrow_(pixels), wide_(pixels) {}

  void Reset() override {
    frames = frames_in_narrow_ = 0;
    std::fill(narrow_.begin(), narrow_.end(), 0u);
    std::fill(wide_.begin(), wide_.end(), uint64_t{0});
  }

  void Add(const Tile& tile) override {
    if (tile.first_pixel == 0) {  // a new group of frames: all pixels are equally far
      if (frames_in_narrow_ + tile.frame_count > kFrameLimit) Widen();
      frames_in_narrow_ += tile.frame_count;
      frames += CountValid(tile);
    }
    ForValidRuns<Pixel>(tile, tile.frame_count, [&](const auto& run) {
      kernels::AddFrames(run, narrow_.data() + tile.first_pixel);
    });
  }

  void AddTo(ResultArray& result) const override {
    auto& sums = std::get<std::vector<int64_t>>(result.values);
    for (size_t p = 0; p < sums.size(); ++p) {
      sums[p] += static_cast<int64_t>(wide_[p] + narrow_[p]);
    }
  }

  void Take(const FetchedSums& sums) override {
    frames = sums.frames;
    std::copy_n(sums.integers.begin(), wide_.size(), wide_.begin());
  }

 private:
  static constexpr int64_t kFrameLimit = UINT32_MAX / std::numeric_limits<Pixel>::max();

  void Widen() {
    for (size_t p = 0; p < wide_.size(); ++p) wide_[p] += narrow_[p];
    std::fill(narrow_.begin(), narrow_.end(), 0u);
    frames_in_narrow_ = 0;
  }

  int64_t frames_in_narrow_ = 0;
  kernels::AlignedVector<uint32_t> narrow_;
  std::vector<uint64_t> wide_;
};

template <typename Pixel, typename Sum>
class PlainSums final : public SumState {
 public:
  explicit PlainSums(size_t pixels) : sums_(pixels) {}

  void Reset() override {
    frames = 0;
    std::fill(sums_.begin(), sums_.end(), Sum{0});
  }

  void Add(const Tile& tile) override {
    if (tile.first_pixel == 0) frames += CountValid(tile);
    ForValidRuns<Pixel>(tile, tile.frame_count, [&](const auto& run) {
      Sum* const sums = sums_.data() + tile.first_pixel;
      if constexpr (std::is_same_v<Pixel, uint32_t> || std::is_same_v<Pixel, float>) {
        kernels::AddFrames(run, sums);
      } else {
        kernels::scalar::AddFrames(run, sums);
      }
    });
  }

  void AddTo(ResultArray& result) const override {
    using Total = std::conditional_t<std::is_integral_v<Sum>, int64_t, double>;
    auto& totals = std::get<std::vector<Total>>(result.values);
    for (size_t p = 0; p < totals.size(); ++p) totals[p] += static_cast<Total>(sums_[p]);
  }

  void Take(const FetchedSums& sums) override {
    frames = sums.frames;
    for (size_t p = 0; p < sums_.size(); ++p) {
      if constexpr (std::is_integral_v<Sum>) {
        sums_[p] = static_cast<Sum>(sums.integers[p]);
      } else {
        sums_[p] = sums.doubles[p];
      }
    }
  }

 private:
  kernels::AlignedVector<Sum> sums_;
};

std::unique_ptr<SumState> MakeSumState(ElementType element_type, size_t pixels) {
  switch (element_type) {
    case ElementType::kUint8:
      return std::make_unique<NarrowSums<uint8_t>>(pixels);
    case ElementType::kUint16:
      return std::make_unique<NarrowSums<uint16_t>>(pixels);
    case ElementType::kUint32:
      return std::make_unique<PlainSums<uint32_t, uint64_t>>(pixels);
    case ElementType::kFloat32:
      return std::make_unique<PlainSums<float, double>>(pixels);
    case ElementType::kInt8:
      return std::make_unique<PlainSums<int8_t, int64_t>>(pixels);
    case ElementType::kInt16:
      return std::make_unique<PlainSums<int16_t, int64_t>>(pixels);
    case ElementType::kInt32:
      return std::make_unique<PlainSums<int32_t, int64_t>>(pixels);
    case ElementType::kFloat64:
      return std::make_unique<PlainSums<double, double>>(pixels);
    default:
      return nullptr;
  }
}

}  // namespace

struct SumReduction::Impl {
  ElementType element_type = ElementType::kUint16;
  ResultArray result;
  int64_t frames = 0;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels;

  void ClearBadPixels() {
    std::visit(
        [this](auto& values) {
          using Values = std::decay_t<decltype(values)>;
          using Value = typename Values::value_type;
          constexpr Value kNone = std::is_integral_v<Value> ? Value{0} : Value(NAN);
          for (size_t p = 0; p < values.size(); ++p) {
            if ((*good_pixels)[p] == 0) values[p] = kNone;
          }
        },
        result.values);
  }
};

SumReduction::SumReduction() : impl_(std::make_unique<Impl>()) {}
SumReduction::~SumReduction() = default;

const ResultArray& SumReduction::result() const { return impl_->result; }
int64_t SumReduction::frames_summed() const { return impl_->frames; }

bool SumReduction::IsOrderFree() const { return IsInteger(impl_->element_type); }

Status SumReduction::Begin(const PassPlan& plan) {
  const ElementType type = plan.shape.element_type;
  if (MakeSumState(type, 0) == nullptr) {
    return Error::Unsupported(fmt::format("the sum of {} data", ZarrDataType(type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  impl_->element_type = type;
  impl_->frames = 0;
  impl_->good_pixels = plan.good_pixels;
  impl_->result.shape = {plan.shape.signal.rows, plan.shape.signal.columns};
  const auto pixels = static_cast<size_t>(plan.shape.signal.pixel_count());
  if (IsInteger(type)) {
    impl_->result.values.emplace<0>(pixels);
  } else {
    impl_->result.values.emplace<1>(pixels);
  }
  return Status::Ok();
}

std::unique_ptr<Reduction::State> SumReduction::MakeState() const {
  return MakeSumState(impl_->element_type, impl_->result.size());
}

void SumReduction::BeginPartition(State& state, const Partition&) const {
  static_cast<SumState&>(state).Reset();
}

void SumReduction::Process(State& state, const Tile& tile) const {
  static_cast<SumState&>(state).Add(tile);
}

void SumReduction::Merge(State& state, const Partition&) {
  const auto& mine = static_cast<const SumState&>(state);
  mine.AddTo(impl_->result);
  if (impl_->good_pixels) impl_->ClearBadPixels();
  impl_->frames += mine.frames;
}

Result<std::unique_ptr<DeviceForm>> SumReduction::MakeDeviceForm(
    const DeviceContext& context) const {
  return MakeSumForm(context, [](State& state, const FetchedSums& sums) {
    static_cast<SumState&>(state).Take(sums);
  });
}

}  // namespace penstock
