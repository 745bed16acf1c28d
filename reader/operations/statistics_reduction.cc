#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
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

__extension__ typedef unsigned __int128 Uint128;

// Moments of any number of frames: of one partition, or of all of them.
class Moments : public Reduction::State {
 public:
  virtual void Reset() = 0;
  virtual void Add(const Tile& tile) = 0;
  // What a device has found, into the empty object.
  virtual void Take(const FetchedMoments& moments) = 0;
  // Precondition: `other` is of the same class.
  virtual void Absorb(const Moments& other) = 0;
  virtual double MeanOf(size_t pixel) const = 0;
  virtual double VarianceOf(size_t pixel) const = 0;  // of the population
  virtual std::optional<int64_t> ExactSumOf(size_t /*pixel*/) const { return std::nullopt; }

  int64_t frames = 0;
};

// 8- and 16-bit pixels: exact sums and sums of squares. `Square` is the type of the sums of squares
// in the kernel, emptied into 64 bits in time like the sums.
template <typename Pixel, typename Square>
class ExactMoments final : public Moments {
 public:
  explicit ExactMoments(size_t pixels)
      : sums_(pixels), squares_(pixels), wide_sums_(pixels), wide_squares_(pixels) {}

  void Reset() override {
    frames = frames_in_narrow_ = 0;
    std::fill(sums_.begin(), sums_.end(), 0u);
    std::fill(squares_.begin(), squares_.end(), Square{0});
    std::fill(wide_sums_.begin(), wide_sums_.end(), uint64_t{0});
    std::fill(wide_squares_.begin(), wide_squares_.end(), uint64_t{0});
  }

  void Add(const Tile& tile) override {
    if (tile.first_pixel == 0) {
      if (frames_in_narrow_ + tile.frame_count > kFrameLimit) Widen();
      frames_in_narrow_ += tile.frame_count;
      frames += CountValid(tile);
    }
    ForValidRuns<Pixel>(tile, tile.frame_count, [&](const auto& run) {
      kernels::AddMoments(run, sums_.data() + tile.first_pixel, squares_.data() + tile.first_pixel);
    });
  }

  void Take(const FetchedMoments& moments) override {
    frames = moments.frames;
    std::copy_n(moments.exact_sums.begin(), wide_sums_.size(), wide_sums_.begin());
    std::copy_n(moments.exact_squares.begin(), wide_squares_.size(), wide_squares_.begin());
  }

  void Absorb(const Moments& other) override {
    const auto& more = static_cast<const ExactMoments&>(other);
    for (size_t p = 0; p < wide_sums_.size(); ++p) {
      wide_sums_[p] += more.SumOf(p);
      wide_squares_[p] += more.SquareOf(p);
    }
    frames += other.frames;
  }

  double MeanOf(size_t pixel) const override {
    return static_cast<double>(SumOf(pixel)) / static_cast<double>(frames);
  }

  std::optional<int64_t> ExactSumOf(size_t pixel) const override {
    return static_cast<int64_t>(SumOf(pixel));
  }

  double VarianceOf(size_t pixel) const override {
    const Uint128 sum = SumOf(pixel);
    const Uint128 scaled = static_cast<Uint128>(frames) * SquareOf(pixel) - sum * sum;
    const auto count = static_cast<double>(frames);
    return static_cast<double>(scaled) / (count * count);
  }

 private:
  static constexpr uint64_t kMaximum = std::numeric_limits<Pixel>::max();
  static constexpr int64_t kFrameLimit = static_cast<int64_t>(std::min<uint64_t>(
      UINT32_MAX / kMaximum, std::numeric_limits<Square>::max() / (kMaximum * kMaximum)));

  uint64_t SumOf(size_t pixel) const { return wide_sums_[pixel] + sums_[pixel]; }
  uint64_t SquareOf(size_t pixel) const { return wide_squares_[pixel] + squares_[pixel]; }

  void Widen() {
    for (size_t p = 0; p < sums_.size(); ++p) {
      wide_sums_[p] += sums_[p];
      wide_squares_[p] += squares_[p];
    }
    std::fill(sums_.begin(), sums_.end(), 0u);
    std::fill(squares_.begin(), squares_.end(), Square{0});
    frames_in_narrow_ = 0;
  }

  int64_t frames_in_narrow_ = 0;
  kernels::AlignedVector<uint32_t> sums_;
  kernels::AlignedVector<Square> squares_;
  std::vector<uint64_t> wide_sums_;
  std::vector<uint64_t> wide_squares_;
};

// Everything else: float64 moments about the first valid frame.
template <typename Pixel>
class ShiftedMoments final : public Moments {
 public:
  explicit ShiftedMoments(size_t pixels) : shift_(pixels), sums_(pixels), squares_(pixels) {}

  void Reset() override {
    frames = 0;
    shift_group_ = -1;
    std::fill(sums_.begin(), sums_.end(), 0.0);
    std::fill(squares_.begin(), squares_.end(), 0.0);
  }

  void Add(const Tile& tile) override {
    const int64_t valid = CountValid(tile);
    if (tile.first_pixel == 0) {
      if (frames == 0 && valid > 0) shift_group_ = tile.first_frame;
      frames += valid;
    }
    if (valid == 0) return;
    if (tile.first_frame == shift_group_) TakeShift(tile);
    ForValidRuns<Pixel>(tile, tile.frame_count, [&](const auto& run) {
      const size_t at = static_cast<size_t>(tile.first_pixel);
      if constexpr (std::is_same_v<Pixel, uint32_t> || std::is_same_v<Pixel, float>) {
        kernels::AddShiftedMoments(run, shift_.data() + at, sums_.data() + at,
                                   squares_.data() + at);
      } else {
        kernels::scalar::AddShiftedMoments(run, shift_.data() + at, sums_.data() + at,
                                           squares_.data() + at);
      }
    });
  }

  void Take(const FetchedMoments& moments) override {
    frames = moments.frames;
    std::copy_n(moments.shift.begin(), shift_.size(), shift_.begin());
    std::copy_n(moments.sums.begin(), sums_.size(), sums_.begin());
    std::copy_n(moments.squares.begin(), squares_.size(), squares_.begin());
  }

  void Absorb(const Moments& other) override {
    const auto& more = static_cast<const ShiftedMoments&>(other);
    if (more.frames == 0) return;
    const auto before = static_cast<double>(frames);
    const auto added = static_cast<double>(more.frames);
    for (size_t p = 0; p < sums_.size(); ++p) {
      const double their_mean = more.MeanOf(p);
      const double their_squares = more.SquaresAboutMean(p);
      if (frames == 0) {
        shift_[p] = their_mean;
        squares_[p] = their_squares;
        continue;
      }
      const double difference = their_mean - shift_[p];
      shift_[p] += difference * (added / (before + added));
      squares_[p] += their_squares + difference * difference * (before * added / (before + added));
    }
    frames += more.frames;
  }

  // The merged object keeps the mean in shift_, the squares about it, and sums of zero.
  double MeanOf(size_t pixel) const override {
    return shift_[pixel] + sums_[pixel] / static_cast<double>(frames);
  }
  double VarianceOf(size_t pixel) const override {
    return SquaresAboutMean(pixel) / static_cast<double>(frames);
  }

 private:
  double SquaresAboutMean(size_t pixel) const {
    const double about =
        squares_[pixel] - sums_[pixel] * sums_[pixel] / static_cast<double>(frames);
    return about < 0 ? 0 : about;  // not max(): NaN stays NaN
  }

  void TakeShift(const Tile& tile) {
    const auto first = std::find_if(tile.valid, tile.valid + tile.frame_count,
                                    [](uint8_t valid) { return valid != 0; });
    const Pixel* const frame = tile.Frame<Pixel>(first - tile.valid);
    for (int64_t p = 0; p < tile.pixel_count; ++p) {
      const auto value = static_cast<double>(frame[p]);
      shift_[static_cast<size_t>(tile.first_pixel + p)] = std::isfinite(value) ? value : 0;
    }
  }

  int64_t shift_group_ = -1;  // first frame of the tiles that the shift is taken from
  kernels::AlignedVector<double> shift_;
  kernels::AlignedVector<double> sums_;
  kernels::AlignedVector<double> squares_;
};

std::unique_ptr<Moments> MakeMoments(ElementType element_type, size_t pixels) {
  switch (element_type) {
    case ElementType::kUint8:
      return std::make_unique<ExactMoments<uint8_t, uint32_t>>(pixels);
    case ElementType::kUint16:
      return std::make_unique<ExactMoments<uint16_t, uint64_t>>(pixels);
    case ElementType::kUint32:
      return std::make_unique<ShiftedMoments<uint32_t>>(pixels);
    case ElementType::kFloat32:
      return std::make_unique<ShiftedMoments<float>>(pixels);
    case ElementType::kInt8:
      return std::make_unique<ShiftedMoments<int8_t>>(pixels);
    case ElementType::kInt16:
      return std::make_unique<ShiftedMoments<int16_t>>(pixels);
    case ElementType::kInt32:
      return std::make_unique<ShiftedMoments<int32_t>>(pixels);
    case ElementType::kFloat64:
      return std::make_unique<ShiftedMoments<double>>(pixels);
    default:
      return nullptr;
  }
}

}  // namespace

struct StatisticsReduction::Impl {
  ElementType element_type = ElementType::kUint16;
  SignalShape signal;
  std::unique_ptr<Moments> merged;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels;

  template <typename Value>
  ResultArray Image(Value&& value) const {
    const auto pixels = static_cast<size_t>(signal.pixel_count());
    std::vector<double> values(pixels, std::numeric_limits<double>::quiet_NaN());
    if (merged != nullptr && merged->frames > 0) {
      for (size_t p = 0; p < pixels; ++p) {
        if (good_pixels == nullptr || (*good_pixels)[p] != 0) values[p] = value(*merged, p);
      }
    }
    return {{signal.rows, signal.columns}, std::move(values)};
  }
};

StatisticsReduction::StatisticsReduction() : impl_(std::make_unique<Impl>()) {}
StatisticsReduction::~StatisticsReduction() = default;

ResultArray StatisticsReduction::Mean() const {
  return impl_->Image([](const Moments& moments, size_t p) { return moments.MeanOf(p); });
}

ResultArray StatisticsReduction::Variance() const {
  return impl_->Image([](const Moments& moments, size_t p) { return moments.VarianceOf(p); });
}

ResultArray StatisticsReduction::StandardDeviation() const {
  return impl_->Image(
      [](const Moments& moments, size_t p) { return std::sqrt(moments.VarianceOf(p)); });
}

std::optional<ResultArray> StatisticsReduction::ExactSum() const {
  const Moments* const merged = impl_->merged.get();
  if (merged == nullptr || !merged->ExactSumOf(0)) return std::nullopt;
  std::vector<int64_t> sums(static_cast<size_t>(impl_->signal.pixel_count()));
  for (size_t p = 0; p < sums.size(); ++p) {
    if (impl_->good_pixels == nullptr || (*impl_->good_pixels)[p] != 0) {
      sums[p] = *merged->ExactSumOf(p);
    }
  }
  return ResultArray{{impl_->signal.rows, impl_->signal.columns}, std::move(sums)};
}

int64_t StatisticsReduction::frames_seen() const {
  return impl_->merged == nullptr ? 0 : impl_->merged->frames;
}

bool StatisticsReduction::HasExactSum(ElementType type) {
  return type == ElementType::kUint8 || type == ElementType::kUint16;
}

bool StatisticsReduction::IsOrderFree() const { return HasExactSum(impl_->element_type); }

Status StatisticsReduction::Begin(const PassPlan& plan) {
  impl_->element_type = plan.shape.element_type;
  impl_->signal = plan.shape.signal;
  impl_->good_pixels = plan.good_pixels;
  impl_->merged =
      MakeMoments(impl_->element_type, static_cast<size_t>(plan.shape.signal.pixel_count()));
  if (impl_->merged == nullptr) {
    return Error::Unsupported(
               fmt::format("the deviation of {} data", ZarrDataType(impl_->element_type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  return Status::Ok();
}

std::unique_ptr<Reduction::State> StatisticsReduction::MakeState() const {
  return MakeMoments(impl_->element_type, static_cast<size_t>(impl_->signal.pixel_count()));
}

void StatisticsReduction::BeginPartition(State& state, const Partition&) const {
  static_cast<Moments&>(state).Reset();
}

void StatisticsReduction::Process(State& state, const Tile& tile) const {
  static_cast<Moments&>(state).Add(tile);
}

void StatisticsReduction::Merge(State& state, const Partition&) {
  impl_->merged->Absorb(static_cast<const Moments&>(state));
}

Result<std::unique_ptr<DeviceForm>> StatisticsReduction::MakeDeviceForm(
    const DeviceContext& context) const {
  return MakeMomentForm(context, [](State& state, const FetchedMoments& moments) {
    static_cast<Moments&>(state).Take(moments);
  });
}

}  // namespace penstock
