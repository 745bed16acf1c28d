#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "penstock/reader/operations.h"
#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/operations/frame_runs.h"

namespace penstock {

namespace {

// Extremes of one partition, or of all that were merged.
class ExtremesState : public Reduction::State {
 public:
  virtual void Reset() = 0;
  virtual void Add(const Tile& tile) = 0;
  virtual void Absorb(const ExtremesState& more) = 0;
  // NaN where no frame has a number.
  virtual double Minimum(size_t pixel) const = 0;
  virtual double Maximum(size_t pixel) const = 0;

  int64_t frames = 0;
};

template <typename Pixel>
class ExtremesOf final : public ExtremesState {
 public:
  explicit ExtremesOf(size_t pixels) : minima_(pixels), maxima_(pixels) { Reset(); }

  // A pixel that has seen nothing has a minimum above its maximum.
  void Reset() override {
    using Limits = std::numeric_limits<Pixel>;
    frames = 0;
    std::ranges::fill(minima_, Limits::has_infinity ? Limits::infinity() : Limits::max());
    std::ranges::fill(maxima_, Limits::has_infinity ? -Limits::infinity() : Limits::lowest());
  }

  void Add(const Tile& tile) override {
    if (tile.first_pixel == 0) frames += CountValid(tile);
    ForValidRuns<Pixel>(tile, tile.frame_count, [&](const auto& run) {
      Pixel* const minima = minima_.data() + tile.first_pixel;
      Pixel* const maxima = maxima_.data() + tile.first_pixel;
      if constexpr (std::is_unsigned_v<Pixel> || std::is_same_v<Pixel, float>) {
        kernels::TakeExtremes(run, minima, maxima);
      } else {
        kernels::scalar::TakeExtremes(run, minima, maxima);
      }
    });
  }

  void Absorb(const ExtremesState& more) override {
    const auto& theirs = static_cast<const ExtremesOf&>(more);
    for (size_t p = 0; p < minima_.size(); ++p) {
      minima_[p] = std::min(minima_[p], theirs.minima_[p]);
      maxima_[p] = std::max(maxima_[p], theirs.maxima_[p]);
    }
    frames += more.frames;
  }

  double Minimum(size_t pixel) const override { return Value(minima_, pixel); }
  double Maximum(size_t pixel) const override { return Value(maxima_, pixel); }

 private:
  double Value(const kernels::AlignedVector<Pixel>& values, size_t pixel) const {
    if (frames == 0 || minima_[pixel] > maxima_[pixel]) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    return static_cast<double>(values[pixel]);
  }

  kernels::AlignedVector<Pixel> minima_;
  kernels::AlignedVector<Pixel> maxima_;
};

std::unique_ptr<ExtremesState> MakeExtremes(ElementType element_type, size_t pixels) {
  switch (element_type) {
    case ElementType::kUint8:
      return std::make_unique<ExtremesOf<uint8_t>>(pixels);
    case ElementType::kUint16:
      return std::make_unique<ExtremesOf<uint16_t>>(pixels);
    case ElementType::kUint32:
      return std::make_unique<ExtremesOf<uint32_t>>(pixels);
    case ElementType::kFloat32:
      return std::make_unique<ExtremesOf<float>>(pixels);
    case ElementType::kInt8:
      return std::make_unique<ExtremesOf<int8_t>>(pixels);
    case ElementType::kInt16:
      return std::make_unique<ExtremesOf<int16_t>>(pixels);
    case ElementType::kInt32:
      return std::make_unique<ExtremesOf<int32_t>>(pixels);
    case ElementType::kFloat64:
      return std::make_unique<ExtremesOf<double>>(pixels);
    default:
      return nullptr;
  }
}

}  // namespace

struct ExtremesReduction::Impl {
  ElementType element_type = ElementType::kUint16;
  SignalShape signal;
  std::unique_ptr<ExtremesState> merged;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels;

  template <typename Value>
  ResultArray Image(Value&& value) const {
    std::vector<double> values(static_cast<size_t>(signal.pixel_count()),
                               std::numeric_limits<double>::quiet_NaN());
    for (size_t p = 0; merged != nullptr && p < values.size(); ++p) {
      if (good_pixels == nullptr || (*good_pixels)[p] != 0) values[p] = value(*merged, p);
    }
    return {{signal.rows, signal.columns}, std::move(values)};
  }
};

ExtremesReduction::ExtremesReduction() : impl_(std::make_unique<Impl>()) {}
ExtremesReduction::~ExtremesReduction() = default;

ResultArray ExtremesReduction::Minimum() const {
  return impl_->Image([](const ExtremesState& state, size_t p) { return state.Minimum(p); });
}
ResultArray ExtremesReduction::Maximum() const {
  return impl_->Image([](const ExtremesState& state, size_t p) { return state.Maximum(p); });
}
int64_t ExtremesReduction::frames_seen() const {
  return impl_->merged == nullptr ? 0 : impl_->merged->frames;
}

bool ExtremesReduction::IsOrderFree() const { return true; }

Status ExtremesReduction::Begin(const PassPlan& plan) {
  impl_->element_type = plan.shape.element_type;
  impl_->signal = plan.shape.signal;
  impl_->good_pixels = plan.good_pixels;
  impl_->merged =
      MakeExtremes(impl_->element_type, static_cast<size_t>(plan.shape.signal.pixel_count()));
  if (impl_->merged == nullptr) {
    return Error::Unsupported(
               fmt::format("minimum and maximum of {} data", ZarrDataType(impl_->element_type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  return Status::Ok();
}

std::unique_ptr<Reduction::State> ExtremesReduction::MakeState() const {
  return MakeExtremes(impl_->element_type, static_cast<size_t>(impl_->signal.pixel_count()));
}

void ExtremesReduction::BeginPartition(State& state, const Partition&) const {
  static_cast<ExtremesState&>(state).Reset();
}

void ExtremesReduction::Process(State& state, const Tile& tile) const {
  static_cast<ExtremesState&>(state).Add(tile);
}

void ExtremesReduction::Merge(State& state, const Partition&) {
  impl_->merged->Absorb(static_cast<const ExtremesState&>(state));
}

}  // namespace penstock
