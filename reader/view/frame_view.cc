#include "penstock/reader/frame_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "reader/view/frame_view_state.h"

namespace penstock {

namespace {

constexpr int64_t kLargestBin = 256;

bool IsWhole(double value) { return value == std::floor(value); }
bool AllWhole(const std::vector<double>& values) { return std::ranges::all_of(values, &IsWhole); }

Status CheckValues(const std::vector<double>& values, int64_t count, std::string_view what) {
  if (values.empty()) return Status::Ok();
  if (values.size() != static_cast<size_t>(count)) {
    return Error::InvalidArgument(fmt::format("the {} do not fit the dataset", what))
        .Expected(fmt::format("{} of them", count))
        .Found(fmt::format("{}", values.size()));
  }
  const auto bad = std::ranges::find_if_not(values, [](double v) { return std::isfinite(v); });
  if (bad != values.end()) {
    return Error::InvalidArgument(fmt::format("the {} are not all finite", what))
        .Found(fmt::format("{} at position {}", *bad, bad - values.begin()));
  }
  return Status::Ok();
}

Result<PixelWindow> WindowIn(SignalShape signal, const PixelWindow& crop) {
  const PixelWindow window{
      std::max<int64_t>(crop.first_row, 0), std::min(crop.last_row, signal.rows),
      std::max<int64_t>(crop.first_column, 0), std::min(crop.last_column, signal.columns)};
  if (window.first_row >= window.last_row || window.first_column >= window.last_column) {
    return Error::InvalidArgument("the window has no pixel in the frame")
        .Expected(fmt::format("rows 0 to {}, columns 0 to {}", signal.rows, signal.columns))
        .Found(fmt::format("rows {} to {}, columns {} to {}", crop.first_row, crop.last_row,
                           crop.first_column, crop.last_column));
  }
  return window;
}

Result<SignalShape> BinnedShape(const PixelWindow& window, int64_t bin) {
  const int64_t rows = window.last_row - window.first_row;
  const int64_t columns = window.last_column - window.first_column;
  if (bin < 1 || bin > kLargestBin) {
    return Error::InvalidArgument("wrong size of bins")
        .Expected(fmt::format("1 to {}", kLargestBin))
        .Found(fmt::format("{}", bin));
  }
  if (rows % bin != 0 || columns % bin != 0) {
    return Error::InvalidArgument("the frame can't be cut into whole bins")
        .Expected(fmt::format("rows and columns that are multiples of {}", bin))
        .Found(fmt::format("{} x {}", rows, columns))
        .Advice(rows < bin || columns < bin ? "choose smaller bins"
                                            : fmt::format("crop the frame to {} x {} pixels",
                                                          rows / bin * bin, columns / bin * bin));
  }
  return SignalShape{rows / bin, columns / bin};
}

// The smallest square about the pixel that has a pixel which may be used.
void AddSources(SignalShape signal, int64_t pixel, const std::vector<uint8_t>& usable,
                std::vector<int64_t>& sources) {
  const int64_t row = pixel / signal.columns;
  const int64_t column = pixel % signal.columns;
  const size_t before = sources.size();
  for (int64_t reach = 1; sources.size() == before; ++reach) {
    for (int64_t r = std::max<int64_t>(row - reach, 0); r <= std::min(row + reach, signal.rows - 1);
         ++r) {
      for (int64_t c = std::max<int64_t>(column - reach, 0);
           c <= std::min(column + reach, signal.columns - 1); ++c) {
        const int64_t other = r * signal.columns + c;
        if (usable[static_cast<size_t>(other)] != 0) sources.push_back(other);
      }
    }
  }
}

// The types of corrected and of seen pixels.
struct Types {
  ElementType work;
  ElementType seen;
};

Types ChooseTypes(const FrameView::State& view) {
  const ElementType stored = view.stored.element_type;
  const bool corrected = view.has_correction();
  const bool whole =
      AllWhole(view.dark) && view.gain.empty() && !view.has_dead && view.whole_shifts;
  const bool binned = view.bin > 1;
  if (stored == ElementType::kFloat32 || stored == ElementType::kFloat64) return {stored, stored};
  if (ElementSize(stored) == 4) {
    if (!corrected && view.whole_shifts && !binned) return {stored, stored};
    return {ElementType::kFloat64, ElementType::kFloat64};
  }
  if (!whole) return {ElementType::kFloat32, ElementType::kFloat32};
  const auto pixels = static_cast<double>(view.bin * view.bin);
  if (corrected) {
    double largest = 65536;
    for (const double value : view.dark) largest = std::max(largest, 65536 + std::abs(value));
    if (largest * pixels >= 2147483648.0) return {ElementType::kFloat64, ElementType::kFloat64};
    return {ElementType::kInt32, ElementType::kInt32};
  }
  if (!binned) return {stored, stored};
  if (IsSigned(stored)) return {stored, ElementType::kInt32};
  if (stored == ElementType::kUint8 && pixels <= 256) return {stored, ElementType::kUint16};
  return {stored, ElementType::kUint32};
}

}  // namespace

bool FrameViewOptions::is_plain() const {
  return correction.dark.empty() && correction.gain.empty() && correction.dead.empty() &&
         shifts.rows.empty() && shifts.columns.empty() && bin == 1 && crop.first_row <= 0 &&
         crop.first_column <= 0 && crop.last_row == INT64_MAX && crop.last_column == INT64_MAX;
}

Result<SignalShape> SeenSignal(SignalShape stored, const FrameViewOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(const PixelWindow window, WindowIn(stored, options.crop));
  return BinnedShape(window, options.bin);
}

FrameView::FrameView(std::unique_ptr<const State> state) : state_(std::move(state)) {}
FrameView::~FrameView() = default;
const DatasetShape& FrameView::stored() const { return state_->stored; }
const DatasetShape& FrameView::seen() const { return state_->seen; }
const std::shared_ptr<const std::vector<uint8_t>>& FrameView::good_pixels() const {
  return state_->good_pixels;
}

Result<std::shared_ptr<const FrameView>> FrameView::Create(
    const DatasetShape& stored, const FrameViewOptions& options,
    const std::shared_ptr<const std::vector<uint8_t>>& good_pixels) {
  const ElementType type = stored.element_type;
  if (IsComplex(type) || (IsInteger(type) && ElementSize(type) == 8)) {
    return Error::Unsupported(fmt::format("another view of {} data", ZarrDataType(type)))
        .Expected("integer data of 8, 16 or 32 bits, float32 or float64");
  }
  const SignalShape signal = stored.signal;
  const int64_t pixels = signal.pixel_count();
  auto state = std::make_unique<State>();
  PENSTOCK_RETURN_IF_ERROR(CheckValues(options.correction.dark, pixels, "dark values"));
  PENSTOCK_RETURN_IF_ERROR(CheckValues(options.correction.gain, pixels, "gains"));
  PENSTOCK_RETURN_IF_ERROR(CheckValues(options.shifts.rows, stored.frame_count(), "shifts"));
  PENSTOCK_RETURN_IF_ERROR(CheckValues(options.shifts.columns, stored.frame_count(), "shifts"));
  const std::vector<uint8_t>& dead = options.correction.dead;
  if (options.shifts.rows.size() != options.shifts.columns.size() ||
      (!dead.empty() && dead.size() != static_cast<size_t>(pixels))) {
    return Error::InvalidArgument("shifts or dead pixels do not fit the dataset")
        .Expected(fmt::format("two shifts per frame, {} flags of pixels", pixels))
        .Found(fmt::format("{} and {} shifts, {} flags", options.shifts.rows.size(),
                           options.shifts.columns.size(), dead.size()));
  }
  state->stored = stored;
  state->dark = options.correction.dark;
  state->gain = options.correction.gain;
  state->shifts = options.shifts;
  // Far enough to see nothing of the frame, and near enough for whole numbers to stay such.
  for (auto* shifts : {&state->shifts.rows, &state->shifts.columns}) {
    for (double& shift : *shifts) shift = std::clamp(shift, -1e9, 1e9);
    state->whole_shifts = state->whole_shifts && AllWhole(*shifts);
  }
  state->bin = options.bin;
  PENSTOCK_ASSIGN_OR_RETURN(state->window, WindowIn(signal, options.crop));
  state->seen = stored;
  PENSTOCK_ASSIGN_OR_RETURN(state->seen.signal, BinnedShape(state->window, options.bin));

  const auto flag = [&](const std::vector<uint8_t>& flags, int64_t p) {
    return !flags.empty() && flags[static_cast<size_t>(p)] != 0;
  };
  std::vector<uint8_t> usable(static_cast<size_t>(pixels));
  for (int64_t p = 0; p < pixels; ++p) {
    const auto at = static_cast<size_t>(p);
    state->has_dead = state->has_dead || flag(dead, p);
    usable[at] = !flag(dead, p) && (good_pixels == nullptr || (*good_pixels)[at] != 0);
  }
  if (std::ranges::find(usable, 1) == usable.end()) {
    return Error::InvalidArgument("every pixel is dead").Expected("one that may be used");
  }
  const bool zeroes_marked = state->has_shifts() && good_pixels != nullptr;
  for (int64_t p = 0; p < pixels; ++p) {
    if (p % signal.columns == 0) state->row_replaced.push_back(state->replaced.size());
    const bool is_dead = flag(dead, p);
    if (!is_dead && !(zeroes_marked && usable[static_cast<size_t>(p)] == 0)) continue;
    const size_t first = state->sources.size();
    if (is_dead) AddSources(signal, p, usable, state->sources);
    state->replaced.push_back({p, first, state->sources.size() - first});
  }
  state->row_replaced.push_back(state->replaced.size());
  const Types types = ChooseTypes(*state);
  state->work = types.work;
  state->seen.element_type = types.seen;

  if (good_pixels != nullptr && !state->has_shifts()) {
    auto good = std::make_shared<std::vector<uint8_t>>();
    for (int64_t r = 0; r < state->seen.signal.rows; ++r) {
      for (int64_t c = 0; c < state->seen.signal.columns; ++c) {
        uint8_t all = 1;
        for (int64_t i = 0; i < state->bin * state->bin; ++i) {
          const int64_t row = state->window.first_row + r * state->bin + i / state->bin;
          const int64_t column = state->window.first_column + c * state->bin + i % state->bin;
          const int64_t p = row * signal.columns + column;
          if (usable[static_cast<size_t>(p)] == 0 && !flag(dead, p)) all = 0;
        }
        good->push_back(all);
      }
    }
    if (std::ranges::find(*good, 0) != good->end()) state->good_pixels = std::move(good);
  }
  return std::shared_ptr<const FrameView>(new FrameView(std::move(state)));
}

bool FrameView::IsFoldable() const {
  if (state_->has_shifts()) return false;
  if (IsInteger(state_->stored.element_type)) return true;
  return !state_->has_dead && state_->window.first_row == 0 && state_->window.first_column == 0 &&
         state_->window.last_row == state_->stored.signal.rows &&
         state_->window.last_column == state_->stored.signal.columns;
}

namespace {

// use(stored pixel, weight) for every stored pixel that the seen one is a sum of.
template <typename Use>
void ForStoredPixels(const FrameView::State& view, int64_t seen, Use&& use) {
  const int64_t columns = view.stored.signal.columns;
  const int64_t first_row = view.window.first_row + seen / view.seen.signal.columns * view.bin;
  const int64_t first_column =
      view.window.first_column + seen % view.seen.signal.columns * view.bin;
  for (int64_t row = first_row; row < first_row + view.bin; ++row) {
    for (int64_t column = first_column; column < first_column + view.bin; ++column) {
      const int64_t pixel = row * columns + column;
      const auto replaced =
          std::ranges::lower_bound(view.replaced, pixel, {}, &FrameView::State::Replaced::pixel);
      if (replaced == view.replaced.end() || replaced->pixel != pixel) {
        use(pixel, 1.0);
        continue;
      }
      for (const int64_t source : view.SourcesOf(*replaced)) {
        use(source, 1.0 / static_cast<double>(replaced->source_count));
      }
    }
  }
}

double GainOf(const FrameView::State& view, int64_t pixel) {
  return view.gain.empty() ? 1 : view.gain[static_cast<size_t>(pixel)];
}
double DarkOf(const FrameView::State& view, int64_t pixel) {
  return view.dark.empty() ? 0 : view.dark[static_cast<size_t>(pixel)];
}

}  // namespace

FrameView::Folded<SparseMask> FrameView::Fold(const SparseMask& seen) const {
  Folded<SparseMask> folded{{seen.name, state_->stored.signal, {}, {}}};
  for (size_t e = 0; e < seen.pixels.size(); ++e) {
    ForStoredPixels(*state_, seen.pixels[e], [&](int64_t pixel, double share) {
      const double factor = share * GainOf(*state_, pixel);
      folded.mask.pixels.push_back(pixel);
      folded.mask.weights.push_back(seen.weights[e] * factor);
      folded.constant -= seen.weights[e] * factor * DarkOf(*state_, pixel);
      if (!seen.is_complex()) return;
      folded.mask.imaginary.push_back(seen.imaginary[e] * factor);
      folded.imaginary_constant -= seen.imaginary[e] * factor * DarkOf(*state_, pixel);
    });
  }
  return folded;
}

FrameView::Folded<Mask> FrameView::Fold(const Mask& seen) const {
  Folded<Mask> folded{{seen.name, state_->stored.signal, {}}};
  const auto pixels = static_cast<size_t>(state_->stored.signal.pixel_count());
  folded.mask.weights.resize(pixels);
  if (seen.is_complex()) folded.mask.imaginary.resize(pixels);
  for (size_t p = 0; p < seen.weights.size(); ++p) {
    const double imaginary = seen.is_complex() ? seen.imaginary[p] : 0;
    if (seen.weights[p] == 0 && imaginary == 0) continue;
    ForStoredPixels(*state_, static_cast<int64_t>(p), [&](int64_t pixel, double share) {
      const auto at = static_cast<size_t>(pixel);
      const double factor = share * GainOf(*state_, pixel);
      folded.mask.weights[at] += seen.weights[p] * factor;
      folded.constant -= seen.weights[p] * factor * DarkOf(*state_, pixel);
      if (!seen.is_complex()) return;
      folded.mask.imaginary[at] += imaginary * factor;
      folded.imaginary_constant -= imaginary * factor * DarkOf(*state_, pixel);
    });
  }
  return folded;
}

}  // namespace penstock
