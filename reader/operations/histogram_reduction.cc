#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "penstock/reader/operations.h"
#include "reader/kernels/kernels.h"
#include "reader/operations/pixel_runs.h"

namespace penstock {

namespace {

constexpr int64_t kMostBins = int64_t{1} << 24;

// Where the counts of a histogram are: [0] below, [1 + b] bin b, then above, then NaN.
using Counts = std::vector<int64_t>;

// What one worker counts, for one type of pixels.
class CountState : public Reduction::State {
 public:
  virtual void Reset() = 0;
  virtual void Count(const Tile& tile, const PixelRuns& pixels) = 0;
  virtual void AddTo(Counts& totals) = 0;
};

// Calls count(pixels, how many) for every run of chosen pixels of every valid frame.
template <typename Pixel, typename Use>
void ForPixels(const Tile& tile, const PixelRuns& pixels, Use&& use) {
  for (int64_t f = 0; f < tile.frame_count; ++f) {
    if (tile.valid[f] == 0) continue;
    const Pixel* const frame = tile.Frame<Pixel>(f);
    pixels.ForTile(tile, [&](size_t offset, size_t count) { use(frame + offset, count); });
  }
}

// The bin of a value: the arithmetic gives a guess, the edges decide.
class Bins {
 public:
  explicit Bins(const HistogramBins& bins) : count_(static_cast<size_t>(bins.count)) {
    edges_.resize(count_ + 1);
    const double width = (bins.high - bins.low) / static_cast<double>(bins.count);
    for (size_t b = 0; b < count_; ++b) edges_[b] = bins.low + static_cast<double>(b) * width;
    edges_[count_] = bins.high;
    scale_ = static_cast<double>(count_) / (bins.high - bins.low);
  }

  size_t count() const { return count_; }
  const std::vector<double>& edges() const { return edges_; }

  // The place among Counts.
  size_t PlaceOf(double x) const {
    if (std::isnan(x)) return count_ + 2;
    if (x < edges_.front()) return 0;
    if (x > edges_.back()) return count_ + 1;
    const double guess = (x - edges_.front()) * scale_;
    size_t bin = std::min(static_cast<size_t>(std::max(guess, 0.0)), count_ - 1);
    while (x < edges_[bin]) --bin;
    while (bin + 1 < count_ && x >= edges_[bin + 1]) ++bin;
    return 1 + bin;
  }

 private:
  size_t count_;
  std::vector<double> edges_;
  double scale_ = 0;
};

// 8 and 16 bits: every value has a count of its own until the end.
template <typename Pixel>
class ValueCounts final : public CountState {
 public:
  explicit ValueCounts(const Bins& bins) : bins_(bins), narrow_(kValues), wide_(kValues) {}

  void Reset() override {
    std::ranges::fill(narrow_, 0u);
    std::ranges::fill(wide_, int64_t{0});
    counted_ = 0;
  }

  void Count(const Tile& tile, const PixelRuns& pixels) override {
    using Unsigned = std::make_unsigned_t<Pixel>;
    ForPixels<Unsigned>(tile, pixels, [&](const Unsigned* first, size_t count) {
      if (counted_ + count > UINT32_MAX) Widen();
      counted_ += count;
      kernels::CountValues(first, count, narrow_.data());
    });
  }

  void AddTo(Counts& totals) override {
    Widen();
    for (size_t v = 0; v < kValues; ++v) {
      if (wide_[v] == 0) continue;
      const auto value = static_cast<Pixel>(v);  // of a signed type the bits were counted
      totals[bins_.PlaceOf(static_cast<double>(value))] += wide_[v];
    }
  }

 private:
  static constexpr size_t kValues = size_t{1} << (8 * sizeof(Pixel));

  void Widen() {
    for (size_t v = 0; v < kValues; ++v) wide_[v] += std::exchange(narrow_[v], 0u);
    counted_ = 0;
  }

  const Bins& bins_;
  std::vector<uint32_t> narrow_;
  std::vector<int64_t> wide_;
  size_t counted_ = 0;
};

class FloatCounts final : public CountState {
 public:
  explicit FloatCounts(const Bins& bins) : narrow_(bins.count() + 3), wide_(bins.count() + 3) {
    for (const double edge : bins.edges()) edges_.push_back(NotBelow(edge));
    // The last bin takes its upper bound in.
    if (static_cast<double>(edges_.back()) == bins.edges().back()) {
      edges_.back() = std::nextafter(edges_.back(), std::numeric_limits<float>::infinity());
    }
    bins_ = {.count = bins.count(),
             .low = static_cast<float>(bins.edges().front()),
             .scale = static_cast<float>(static_cast<double>(bins.count()) /
                                         (bins.edges().back() - bins.edges().front())),
             .width = ExactWidth(bins),
             .edges = edges_.data()};
  }

  void Reset() override {
    std::ranges::fill(narrow_, 0u);
    std::ranges::fill(wide_, int64_t{0});
    counted_ = 0;
  }

  void Count(const Tile& tile, const PixelRuns& pixels) override {
    ForPixels<float>(tile, pixels, [&](const float* first, size_t count) {
      if (counted_ + count > UINT32_MAX) Widen();
      counted_ += count;
      kernels::CountBins(first, count, bins_, narrow_.data());
    });
  }

  void AddTo(Counts& totals) override {
    Widen();
    for (size_t i = 0; i < wide_.size(); ++i) totals[i] += wide_[i];
  }

 private:
  // kernels::UniformBins::width.
  float ExactWidth(const Bins& bins) const {
    const auto low = static_cast<float>(bins.edges().front());
    const auto width = static_cast<float>((bins.edges().back() - bins.edges().front()) /
                                          static_cast<double>(bins.count()));
    for (size_t b = 0; b < bins.count(); ++b) {
      const auto number = static_cast<float>(b);
      const volatile float product = number * width;  // rounded, whatever the compiler may fuse
      if (low + product != edges_[b] || std::fma(number, width, low) != edges_[b]) return 0;
    }
    return width;
  }

  // The smallest float32 that is not below x.
  static float NotBelow(double x) {
    const auto nearest = static_cast<float>(x);
    if (static_cast<double>(nearest) >= x) return nearest;
    return std::nextafter(nearest, std::numeric_limits<float>::infinity());
  }

  void Widen() {
    for (size_t i = 0; i < wide_.size(); ++i) wide_[i] += std::exchange(narrow_[i], 0u);
    counted_ = 0;
  }

  std::vector<float> edges_;
  kernels::UniformBins bins_;
  std::vector<uint32_t> narrow_;
  Counts wide_;
  size_t counted_ = 0;
};

template <typename Pixel>
class PlainCounts final : public CountState {
 public:
  explicit PlainCounts(const Bins& bins) : bins_(bins), counts_(bins.count() + 3) {}

  void Reset() override { std::ranges::fill(counts_, int64_t{0}); }
  void Count(const Tile& tile, const PixelRuns& pixels) override {
    ForPixels<Pixel>(tile, pixels, [&](const Pixel* first, size_t count) {
      for (size_t i = 0; i < count; ++i) ++counts_[bins_.PlaceOf(static_cast<double>(first[i]))];
    });
  }
  void AddTo(Counts& totals) override {
    for (size_t i = 0; i < counts_.size(); ++i) totals[i] += counts_[i];
  }

 private:
  const Bins& bins_;
  Counts counts_;
};

std::unique_ptr<CountState> MakeCounts(ElementType element_type, const Bins& bins) {
  switch (element_type) {
    case ElementType::kUint8:
      return std::make_unique<ValueCounts<uint8_t>>(bins);
    case ElementType::kInt8:
      return std::make_unique<ValueCounts<int8_t>>(bins);
    case ElementType::kUint16:
      return std::make_unique<ValueCounts<uint16_t>>(bins);
    case ElementType::kInt16:
      return std::make_unique<ValueCounts<int16_t>>(bins);
    case ElementType::kUint32:
      return std::make_unique<PlainCounts<uint32_t>>(bins);
    case ElementType::kInt32:
      return std::make_unique<PlainCounts<int32_t>>(bins);
    case ElementType::kFloat32:
      return std::make_unique<FloatCounts>(bins);
    case ElementType::kFloat64:
      return std::make_unique<PlainCounts<double>>(bins);
    default:
      return nullptr;
  }
}

}  // namespace

struct HistogramReduction::Impl {
  explicit Impl(const HistogramBins& given) : bins(given) {}

  const Bins bins;
  std::optional<Mask> region;
  ElementType element_type = ElementType::kUint16;
  PixelRuns pixels;
  Counts totals;
};

HistogramReduction::HistogramReduction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HistogramReduction::~HistogramReduction() = default;

Result<std::unique_ptr<HistogramReduction>> HistogramReduction::Create(const HistogramBins& bins,
                                                                       std::optional<Mask> region) {
  if (bins.count < 1 || bins.count > kMostBins || !std::isfinite(bins.low) ||
      !std::isfinite(bins.high) || !std::isfinite(bins.high - bins.low) || bins.high <= bins.low) {
    return Error::InvalidArgument("these are no bins of a histogram")
        .Expected(
            fmt::format("1 to {} bins between two numbers, the second above the first", kMostBins))
        .Found(fmt::format("{} bins from {} to {}", bins.count, bins.low, bins.high));
  }
  auto impl = std::make_unique<Impl>(bins);
  for (size_t b = 0; b < impl->bins.count(); ++b) {
    if (impl->bins.edges()[b] >= impl->bins.edges()[b + 1]) {
      return Error::InvalidArgument("the bins of the histogram are too narrow for float64")
          .Found(fmt::format("{} bins from {} to {}", bins.count, bins.low, bins.high));
    }
  }
  impl->region = std::move(region);
  return std::unique_ptr<HistogramReduction>(new HistogramReduction(std::move(impl)));
}

ResultArray HistogramReduction::Edges() const {
  return {{static_cast<int64_t>(impl_->bins.edges().size())}, impl_->bins.edges()};
}
ResultArray HistogramReduction::BinCounts() const {
  const auto count = static_cast<ptrdiff_t>(impl_->bins.count());
  std::vector<int64_t> counts(impl_->bins.count());
  if (!impl_->totals.empty()) std::copy_n(impl_->totals.begin() + 1, count, counts.begin());
  return {{count}, std::move(counts)};
}
int64_t HistogramReduction::below() const { return At(0); }
int64_t HistogramReduction::above() const { return At(impl_->bins.count() + 1); }
int64_t HistogramReduction::not_numbers() const { return At(impl_->bins.count() + 2); }
int64_t HistogramReduction::At(size_t place) const {
  return impl_->totals.empty() ? 0 : impl_->totals[place];
}

bool HistogramReduction::IsOrderFree() const { return true; }

Status HistogramReduction::Begin(const PassPlan& plan) {
  const SignalShape& signal = plan.shape.signal;
  if (impl_->region && impl_->region->shape != signal) {
    return Error::InvalidArgument("the region of the histogram does not fit the frames")
        .Expected(fmt::format("{} x {} pixels", signal.rows, signal.columns))
        .Found(fmt::format("{} x {}", impl_->region->shape.rows, impl_->region->shape.columns));
  }
  impl_->element_type = plan.shape.element_type;
  if (MakeCounts(impl_->element_type, impl_->bins) == nullptr) {
    return Error::Unsupported(
               fmt::format("the histogram of {} data", ZarrDataType(impl_->element_type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  impl_->pixels = PixelRuns(signal.pixel_count(), [&](int64_t pixel) {
    const auto p = static_cast<size_t>(pixel);
    return (plan.good_pixels == nullptr || (*plan.good_pixels)[p] != 0) &&
           (!impl_->region || impl_->region->weights[p] != 0);
  });
  impl_->totals.assign(impl_->bins.count() + 3, 0);
  return Status::Ok();
}

std::unique_ptr<Reduction::State> HistogramReduction::MakeState() const {
  return MakeCounts(impl_->element_type, impl_->bins);
}

void HistogramReduction::BeginPartition(State& state, const Partition&) const {
  static_cast<CountState&>(state).Reset();
}

void HistogramReduction::Process(State& state, const Tile& tile) const {
  static_cast<CountState&>(state).Count(tile, impl_->pixels);
}

void HistogramReduction::Merge(State& state, const Partition&) {
  static_cast<CountState&>(state).AddTo(impl_->totals);
}

}  // namespace penstock
