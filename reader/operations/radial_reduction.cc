#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <type_traits>
#include <utility>

#include "penstock/reader/radial.h"
#include "reader/device/bin_form.h"
#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/kernels.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/operations/byte_bins.h"

namespace penstock {

namespace {

constexpr int64_t kMostBins = int64_t{1} << 24;
// Of one bin in one call of the kernel.
constexpr uint32_t kMostExact = 65537;
constexpr uint32_t kMostFloat = 4096;

// Sums of the frames of one partition, [frame][bin], and one bin more for pixels in none.
class RadialState : public Reduction::State {
 public:
  virtual void Reset() = 0;
  // Of the first frames of the tile, as many as it takes; returns their number. Only of 8-bit
  // pixels.
  virtual int64_t AddBytes(const Tile& /*tile*/, const ByteBins& /*bins*/) { return 0; }
  virtual void Add(const Tile& tile, const uint32_t* bins, int64_t pixels, int64_t offset) = 0;
  // What a device has added up, into the empty state.
  virtual void Take(const FetchedTotals& fetched) = 0;

  int64_t first_frame = 0;
  std::vector<uint8_t> valid;
};

template <typename Total>
class SumsOf : public RadialState {
 public:
  SumsOf(size_t frames, size_t bins) : totals(frames * bins), bins_(bins) { valid.resize(frames); }

  void Reset() override {
    std::ranges::fill(totals, Total{0});
    std::ranges::fill(valid, uint8_t{0});
  }

  void Take(const FetchedTotals& fetched) override {
    std::ranges::copy(fetched.valid, valid.begin());
    // No device adds up complex numbers.
    if constexpr (std::is_arithmetic_v<Total>) {
      const auto& sums = std::get<std::span<const Total>>(fetched.values);
      const size_t wanted = bins_ - 1;
      for (size_t f = 0; f < fetched.valid.size(); ++f) {
        std::copy_n(sums.begin() + static_cast<ptrdiff_t>(f * wanted), wanted,
                    totals.begin() + static_cast<ptrdiff_t>(f * bins_));
      }
    }
  }

  std::vector<Total> totals;

 protected:
  template <typename Pixel>
  kernels::FramePixels<Pixel> PixelsOf(const Tile& tile, int64_t pixels, int64_t offset) const {
    return {tile.Frame<Pixel>(0) + offset, tile.frame_stride / sizeof(Pixel),
            static_cast<size_t>(tile.frame_count), static_cast<size_t>(pixels)};
  }
  Total* TotalsOf(const Tile& tile) {
    return totals.data() + static_cast<size_t>(tile.first_frame - first_frame) * bins_;
  }

  const size_t bins_;
};

template <typename Pixel, typename Narrow, typename Total>
class FastSums final : public SumsOf<Total> {
 public:
  FastSums(size_t frames, size_t bins)
      : SumsOf<Total>(frames, bins), narrow_(kernels::kBinTables * bins * kernels::kBinFrames) {}

  void Add(const Tile& tile, const uint32_t* bins, int64_t pixels, int64_t offset) override {
    kernels::AddToBins(this->template PixelsOf<Pixel>(tile, pixels, offset), bins,
                       kernels::BinTable<Narrow>{narrow_.data(), this->bins_}, this->TotalsOf(tile),
                       this->bins_);
  }

  int64_t AddBytes(const Tile& tile, const ByteBins& bins) override {
    if constexpr (std::is_same_v<Pixel, uint8_t>) {
      const auto pixels = this->template PixelsOf<Pixel>(tile, tile.pixel_count, 0);
      if (!bins.IsWorth(pixels.pixels)) return 0;
      return static_cast<int64_t>(bins.Add(pixels, static_cast<size_t>(tile.first_pixel),
                                           this->TotalsOf(tile), this->bins_));
    }
    return 0;
  }

 private:
  kernels::AlignedVector<Narrow> narrow_;
};

template <typename Pixel, typename Total>
class PlainSums final : public SumsOf<Total> {
 public:
  using SumsOf<Total>::SumsOf;

  void Add(const Tile& tile, const uint32_t* bins, int64_t pixels, int64_t offset) override {
    kernels::scalar::AddToBins(this->template PixelsOf<Pixel>(tile, pixels, offset), bins,
                               this->TotalsOf(tile), this->bins_);
  }
};

std::unique_ptr<RadialState> MakeSums(ElementType element_type, size_t frames, size_t bins) {
  switch (element_type) {
    case ElementType::kUint8:
      return std::make_unique<FastSums<uint8_t, uint32_t, int64_t>>(frames, bins);
    case ElementType::kUint16:
      return std::make_unique<FastSums<uint16_t, uint32_t, int64_t>>(frames, bins);
    case ElementType::kUint32:
      return std::make_unique<PlainSums<uint32_t, int64_t>>(frames, bins);
    case ElementType::kInt8:
      return std::make_unique<PlainSums<int8_t, int64_t>>(frames, bins);
    case ElementType::kInt16:
      return std::make_unique<PlainSums<int16_t, int64_t>>(frames, bins);
    case ElementType::kInt32:
      return std::make_unique<PlainSums<int32_t, int64_t>>(frames, bins);
    case ElementType::kFloat32:
      return std::make_unique<FastSums<float, float, double>>(frames, bins);
    case ElementType::kFloat64:
      return std::make_unique<PlainSums<double, double>>(frames, bins);
    default:
      return nullptr;
  }
}

// Up to the furthest corner, whose pixel still belongs to the last ring.
double OuterOf(const PolarGrid& grid, SignalShape shape) {
  if (grid.outer > 0) return grid.outer;
  const auto furthest = [](double centre, int64_t length) {
    return std::max(std::abs(centre), std::abs(static_cast<double>(length - 1) - centre));
  };
  const double corner = std::hypot(furthest(grid.centre_row, shape.rows),
                                   furthest(grid.centre_column, shape.columns));
  return std::nextafter(std::max(corner, grid.inner), std::numeric_limits<double>::infinity());
}

}  // namespace

struct RadialReduction::Impl {
  PolarGrid grid;
  std::optional<Mask> selection;
  ElementType element_type = ElementType::kUint16;
  double outer = 0;
  std::vector<uint32_t> bins;         // per pixel; bin_count(): none
  std::vector<int64_t> counts;        // pixels per bin
  std::vector<int64_t> pieces;        // pixels where a new call of the kernel begins
  std::optional<ByteBins> byte_bins;  // of 8-bit pixels
  ResultArray result;
  size_t partition_frames = 0;

  size_t bin_count() const { return static_cast<size_t>(grid.rings * grid.sectors); }

  uint32_t BinOf(double row, double column) const {
    const double dy = row - grid.centre_row;
    const double dx = column - grid.centre_column;
    const double ring =
        (std::hypot(dy, dx) - grid.inner) / (outer - grid.inner) * static_cast<double>(grid.rings);
    if (!(ring >= 0) || ring >= static_cast<double>(grid.rings)) {
      return static_cast<uint32_t>(bin_count());
    }
    double turn = std::atan2(dy, dx) / (2 * std::numbers::pi);
    if (turn < 0) turn += 1;
    const auto sector =
        std::min(static_cast<int64_t>(turn * static_cast<double>(grid.sectors)), grid.sectors - 1);
    return static_cast<uint32_t>(sector * grid.rings + static_cast<int64_t>(ring));
  }

  void MapPixels(const PassPlan& plan) {
    const SignalShape& shape = plan.shape.signal;
    outer = OuterOf(grid, shape);
    bins.clear();
    counts.assign(bin_count() + 1, 0);
    for (int64_t row = 0; row < shape.rows; ++row) {
      for (int64_t column = 0; column < shape.columns; ++column) {
        const size_t p = bins.size();
        const bool wanted = (plan.good_pixels == nullptr || (*plan.good_pixels)[p] != 0) &&
                            (!selection || selection->weights[p] != 0);
        bins.push_back(wanted ? BinOf(static_cast<double>(row), static_cast<double>(column))
                              : static_cast<uint32_t>(bin_count()));
        ++counts[bins.back()];
      }
    }
    counts.pop_back();
  }

  // Cuts the pixels where a bin would get too many for the narrow sums.
  void CutPixels() {
    const uint32_t most = IsInteger(element_type) ? kMostExact : kMostFloat;
    std::vector<uint32_t> filled(bin_count() + 1, 0);
    pieces = {0};
    for (size_t p = 0; p < bins.size(); ++p) {
      // What is in no bin may be anything.
      if (bins[p] == bin_count() || ++filled[bins[p]] <= most) continue;
      std::ranges::fill(filled, 0u);
      filled[bins[p]] = 1;
      pieces.push_back(static_cast<int64_t>(p));
    }
    pieces.push_back(static_cast<int64_t>(bins.size()));
  }
};

RadialReduction::RadialReduction(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RadialReduction::~RadialReduction() = default;

Result<std::unique_ptr<RadialReduction>> RadialReduction::Create(const PolarGrid& grid,
                                                                 std::optional<Mask> selection) {
  const bool finite = std::isfinite(grid.centre_row) && std::isfinite(grid.centre_column) &&
                      std::isfinite(grid.inner) && std::isfinite(grid.outer);
  if (!finite || grid.inner < 0 || grid.outer < 0 || (grid.outer > 0 && grid.outer <= grid.inner)) {
    return Error::InvalidArgument("these are no rings")
        .Expected("a centre, and an outer radius above the inner one, in pixels")
        .Found(fmt::format("centre ({}, {}), radii {} to {}", grid.centre_row, grid.centre_column,
                           grid.inner, grid.outer));
  }
  if (grid.rings < 1 || grid.sectors < 1 || grid.rings > kMostBins / grid.sectors) {
    return Error::InvalidArgument("wrong number of rings or sectors")
        .Expected(fmt::format("at least 1 of each, at most {} bins", kMostBins))
        .Found(fmt::format("{} rings, {} sectors", grid.rings, grid.sectors));
  }
  auto impl = std::make_unique<Impl>();
  impl->grid = grid;
  impl->selection = std::move(selection);
  return std::unique_ptr<RadialReduction>(new RadialReduction(std::move(impl)));
}

const ResultArray& RadialReduction::sums() const { return impl_->result; }

ResultArray RadialReduction::Means() const {
  ResultArray means{impl_->result.shape, impl_->result.AsDoubles()};
  auto& values = std::get<std::vector<double>>(means.values);
  const size_t bins = impl_->bin_count();
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t pixels = impl_->counts[i % bins];
    values[i] = pixels > 0 ? values[i] / static_cast<double>(pixels)
                           : std::numeric_limits<double>::quiet_NaN();
  }
  return means;
}

ResultArray RadialReduction::PixelCounts() const {
  const PolarGrid& grid = impl_->grid;
  std::vector<int64_t> shape = {grid.rings};
  if (grid.sectors > 1) shape.insert(shape.begin(), grid.sectors);
  return {std::move(shape), impl_->counts};
}

ResultArray RadialReduction::Radii() const {
  const auto rings = static_cast<size_t>(impl_->grid.rings);
  const double width = (impl_->outer - impl_->grid.inner) / static_cast<double>(rings);
  std::vector<double> radii(rings);
  for (size_t b = 0; b < rings; ++b) {
    radii[b] = impl_->grid.inner + (static_cast<double>(b) + 0.5) * width;
  }
  return {{impl_->grid.rings}, std::move(radii)};
}

bool RadialReduction::IsOrderFree() const { return true; }  // every frame has its own values

Status RadialReduction::Begin(const PassPlan& plan) {
  const SignalShape& signal = plan.shape.signal;
  if (impl_->selection && impl_->selection->shape != signal) {
    return Error::InvalidArgument("the selection of pixels does not fit the frames")
        .Expected(fmt::format("{} x {} pixels", signal.rows, signal.columns))
        .Found(
            fmt::format("{} x {}", impl_->selection->shape.rows, impl_->selection->shape.columns));
  }
  impl_->element_type = plan.shape.element_type;
  if (MakeSums(impl_->element_type, 0, 0) == nullptr) {
    return Error::Unsupported(
               fmt::format("radial integration of {} data", ZarrDataType(impl_->element_type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  impl_->MapPixels(plan);
  impl_->CutPixels();
  impl_->byte_bins.reset();
  if (impl_->element_type == ElementType::kUint8) {
    impl_->byte_bins = ByteBins::Make(impl_->bins, impl_->bin_count(), TileSize::Of(plan));
  }
  impl_->partition_frames = static_cast<size_t>(plan.partition_frames);
  const ScanShape& scan = plan.shape.scan;
  std::vector<int64_t> shape = {scan.columns};
  if (!scan.is_series) shape.insert(shape.begin(), scan.rows);
  if (impl_->grid.sectors > 1) shape.push_back(impl_->grid.sectors);
  shape.push_back(impl_->grid.rings);
  impl_->result.shape = std::move(shape);
  const size_t size = static_cast<size_t>(scan.frame_count()) * impl_->bin_count();
  if (IsInteger(impl_->element_type)) {
    impl_->result.values.emplace<0>(size, 0);
  } else {
    impl_->result.values.emplace<1>(size, std::numeric_limits<double>::quiet_NaN());
  }
  return Status::Ok();
}

std::unique_ptr<Reduction::State> RadialReduction::MakeState() const {
  return MakeSums(impl_->element_type, impl_->partition_frames, impl_->bin_count() + 1);
}

void RadialReduction::BeginPartition(State& state, const Partition& partition) const {
  auto& mine = static_cast<RadialState&>(state);
  mine.Reset();
  mine.first_frame = partition.frames.first;
}

void RadialReduction::Process(State& state, const Tile& tile) const {
  auto& mine = static_cast<RadialState&>(state);
  std::copy_n(tile.valid, tile.frame_count,
              mine.valid.begin() + static_cast<ptrdiff_t>(tile.first_frame - mine.first_frame));
  Tile rest = tile;
  if (impl_->byte_bins) {
    const int64_t done = mine.AddBytes(tile, *impl_->byte_bins);
    rest.pixels += static_cast<size_t>(done) * tile.frame_stride;
    rest.first_frame += done;
    rest.frame_count -= done;
    if (rest.frame_count == 0) return;
  }
  const int64_t end = tile.first_pixel + tile.pixel_count;
  auto piece = std::ranges::upper_bound(impl_->pieces, tile.first_pixel);
  for (int64_t pixel = tile.first_pixel; pixel < end; ++piece) {
    const int64_t last = std::min(*piece, end);
    mine.Add(rest, impl_->bins.data() + pixel, last - pixel, pixel - tile.first_pixel);
    pixel = last;
  }
}

void RadialReduction::Merge(State& state, const Partition& partition) {
  const auto& mine = static_cast<const RadialState&>(state);
  const size_t bins = impl_->bin_count();
  std::visit(
      [&](auto& result) {
        using Total = typename std::decay_t<decltype(result)>::value_type;
        const auto& totals = static_cast<const SumsOf<Total>&>(mine).totals;
        const int64_t frames = partition.frames.last - partition.frames.first;
        for (int64_t f = 0; f < frames; ++f) {
          if (mine.valid[static_cast<size_t>(f)] == 0) continue;
          std::copy_n(
              totals.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(f) * (bins + 1)), bins,
              result.begin() +
                  static_cast<ptrdiff_t>(static_cast<size_t>(partition.frames.first + f) * bins));
        }
      },
      impl_->result.values);
}

Result<std::unique_ptr<DeviceForm>> RadialReduction::MakeDeviceForm(
    const DeviceContext& context) const {
  return MakeBinForm(context, impl_->bins, impl_->bin_count(),
                     [](State& state, const FetchedTotals& totals) {
                       static_cast<RadialState&>(state).Take(totals);
                     });
}

}  // namespace penstock
