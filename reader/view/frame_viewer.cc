#include "reader/view/frame_viewer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "reader/kernels/view_kernels.h"
#include "reader/view/frame_view_state.h"

namespace penstock {

namespace {

// Sums of a bin are taken in it.
template <typename Seen>
using SumOf = std::conditional_t<std::is_same_v<Seen, uint16_t>, uint32_t, Seen>;

// Stored: of the dataset. Work: corrected and moved. Seen: binned.
template <typename Stored, typename Work, typename Seen>
class ViewerOf final : public FrameViewer {
 public:
  explicit ViewerOf(const FrameView::State& view)
      : view_(view), columns_(view.stored.signal.columns) {
    const auto pixels = static_cast<size_t>(view.stored.signal.pixel_count());
    if constexpr (!std::is_same_v<Work, Stored> || std::is_floating_point_v<Work>) {
      if (view.has_correction() || !std::is_same_v<Work, Stored>) {
        dark_.assign(view.dark.begin(), view.dark.end());
        dark_.resize(pixels);
      }
    }
    if constexpr (std::is_floating_point_v<Work>) {
      if (!dark_.empty()) {
        gain_.assign(view.gain.begin(), view.gain.end());
        gain_.resize(pixels, Work{1});
      }
    }
  }

  void See(int64_t frame, const std::byte* stored, int64_t first_pixel, int64_t pixel_count,
           std::byte* out) override {
    stored_ = reinterpret_cast<const Stored*>(stored);
    if (view_.has_shifts()) SetShift(static_cast<size_t>(frame));
    auto* to = reinterpret_cast<Seen*>(out);
    const int64_t columns = view_.seen.signal.columns;
    const int64_t end = first_pixel + pixel_count;
    for (int64_t pixel = first_pixel; pixel < end;) {
      const int64_t column = pixel % columns;
      const int64_t count = std::min(columns - column, end - pixel);
      SeeRow(pixel / columns, column, count, to);
      to += count;
      pixel += count;
    }
  }

 private:
  void SetShift(size_t frame) {
    const double down = std::floor(view_.shifts.rows[frame]);
    const double along = std::floor(view_.shifts.columns[frame]);
    row_shift_ = static_cast<int64_t>(down);
    column_shift_ = static_cast<int64_t>(along);
    down_ = static_cast<Work>(view_.shifts.rows[frame] - down);
    along_ = static_cast<Work>(view_.shifts.columns[frame] - along);
  }

  void SeeRow(int64_t row, int64_t column, int64_t count, Seen* out) {
    const int64_t bin = view_.bin;
    const int64_t first_row = view_.window.first_row + row * bin;
    const int64_t first_column = view_.window.first_column + column * bin;
    if (bin == 1) {
      if constexpr (std::is_same_v<Work, Seen>) Moved(first_row, first_column, count, out);
      return;
    }
    const int64_t wide = count * bin;
    line_.resize(static_cast<size_t>(wide));
    sums_.assign(static_cast<size_t>(wide), SumOf<Seen>{0});
    for (int64_t i = 0; i < bin; ++i) {
      Moved(first_row + i, first_column, wide, line_.data());
      AddLine(wide);
    }
    const SumOf<Seen>* from = sums_.data();
    for (int64_t c = 0; c < count; ++c) {
      SumOf<Seen> sum = 0;
      for (int64_t i = 0; i < bin; ++i) sum += *from++;
      out[c] = static_cast<Seen>(sum);
    }
  }

  void AddLine(int64_t count) {
    if constexpr (requires { kernels::AddRow(line_.data(), size_t{1}, sums_.data()); }) {
      kernels::AddRow(line_.data(), static_cast<size_t>(count), sums_.data());
    } else {
      for (int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<size_t>(i);
        sums_[at] += static_cast<SumOf<Seen>>(line_[at]);
      }
    }
  }

  // Corrected pixels of a row where the shift of the frame takes them from.
  void Moved(int64_t row, int64_t column, int64_t count, Work* out) {
    if (!view_.has_shifts()) return Corrected(row, column, count, out);
    if constexpr (std::is_floating_point_v<Work>) {
      if (!view_.whole_shifts) {
        near_.resize(static_cast<size_t>(count) + 1);
        far_.resize(static_cast<size_t>(count) + 1);
        Bounded(row + row_shift_, column + column_shift_, count + 1, near_.data());
        Bounded(row + row_shift_ + 1, column + column_shift_, count + 1, far_.data());
        kernels::Interpolate(near_.data(), far_.data(), along_, down_, static_cast<size_t>(count),
                             out);
        return;
      }
    }
    Bounded(row + row_shift_, column + column_shift_, count, out);
  }

  // Zero beyond the frame.
  void Bounded(int64_t row, int64_t column, int64_t count, Work* out) {
    const bool inside = row >= 0 && row < view_.stored.signal.rows;
    const int64_t first = inside ? std::clamp<int64_t>(-column, 0, count) : count;
    const int64_t last = inside ? std::clamp<int64_t>(columns_ - column, first, count) : count;
    std::fill_n(out, first, Work{0});
    if (last > first) Corrected(row, column + first, last - first, out + first);
    std::fill_n(out + last, count - last, Work{0});
  }

  void Corrected(int64_t row, int64_t column, int64_t count, Work* out) {
    const int64_t first = row * columns_ + column;
    const auto size = static_cast<size_t>(count);
    if constexpr (std::is_same_v<Work, Stored>) {
      if (dark_.empty()) {
        std::memcpy(out, stored_ + first, size * sizeof(Stored));
      } else if constexpr (std::is_floating_point_v<Work>) {
        Linear(first, size, out);
      }
    } else if constexpr (std::is_floating_point_v<Work>) {
      Linear(first, size, out);
    } else {
      kernels::SubtractDark(stored_ + first, dark_.data() + first, size, out);
    }
    if (!view_.replaced.empty()) Replace(row, first, first + count, out);
  }

  void Linear(int64_t first, size_t count, Work* out) {
    if constexpr (std::is_same_v<Work, float>) {
      kernels::Correct(stored_ + first, dark_.data() + first, gain_.data() + first, count, out);
    } else {
      for (size_t i = 0; i < count; ++i) out[i] = ValueOf(first + static_cast<int64_t>(i));
    }
  }

  Work ValueOf(int64_t pixel) const {
    const auto at = static_cast<size_t>(pixel);
    if (dark_.empty()) return static_cast<Work>(stored_[at]);
    const auto difference = static_cast<Work>(static_cast<Work>(stored_[at]) - dark_[at]);
    if constexpr (std::is_floating_point_v<Work>) return difference * gain_[at];
    return difference;
  }

  void Replace(int64_t row, int64_t first, int64_t last, Work* out) {
    const auto begin = view_.replaced.begin();
    auto pixel = begin + static_cast<ptrdiff_t>(view_.row_replaced[static_cast<size_t>(row)]);
    const auto end =
        begin + static_cast<ptrdiff_t>(view_.row_replaced[static_cast<size_t>(row) + 1]);
    for (; pixel != end && pixel->pixel < last; ++pixel) {
      if (pixel->pixel < first) continue;
      double sum = 0;
      for (const int64_t source : view_.SourcesOf(*pixel))
        sum += static_cast<double>(ValueOf(source));
      if (pixel->source_count > 0) sum /= static_cast<double>(pixel->source_count);
      out[pixel->pixel - first] = static_cast<Work>(sum);
    }
  }

  const FrameView::State& view_;
  const int64_t columns_;
  std::vector<Work> dark_;  // empty: nothing to correct
  std::vector<Work> gain_;
  const Stored* stored_ = nullptr;  // the frame of this call
  int64_t row_shift_ = 0;
  int64_t column_shift_ = 0;
  Work down_ = 0;  // the fractions of its shift
  Work along_ = 0;
  std::vector<Work> line_;
  std::vector<Work> near_;
  std::vector<Work> far_;
  std::vector<SumOf<Seen>> sums_;
};

template <typename Stored>
std::unique_ptr<FrameViewer> MakeNarrow(const FrameView::State& view) {
  switch (view.work) {
    case ElementType::kInt32:
      return std::make_unique<ViewerOf<Stored, int32_t, int32_t>>(view);
    case ElementType::kFloat32:
      return std::make_unique<ViewerOf<Stored, float, float>>(view);
    case ElementType::kFloat64:
      return std::make_unique<ViewerOf<Stored, double, double>>(view);
    default:
      break;
  }
  switch (view.seen.element_type) {
    case ElementType::kInt32:
      return std::make_unique<ViewerOf<Stored, Stored, int32_t>>(view);
    case ElementType::kUint32:
      return std::make_unique<ViewerOf<Stored, Stored, uint32_t>>(view);
    case ElementType::kUint16:
      return std::make_unique<ViewerOf<Stored, Stored, uint16_t>>(view);
    default:
      return std::make_unique<ViewerOf<Stored, Stored, Stored>>(view);
  }
}

template <typename Stored>
std::unique_ptr<FrameViewer> MakeWide(const FrameView::State& view) {
  if (view.work == ElementType::kFloat64) {
    return std::make_unique<ViewerOf<Stored, double, double>>(view);
  }
  return std::make_unique<ViewerOf<Stored, Stored, Stored>>(view);
}

}  // namespace

std::unique_ptr<FrameViewer> FrameViewer::Make(const FrameView& view) {
  const FrameView::State& state = view.state();
  switch (state.stored.element_type) {
    case ElementType::kUint8:
      return MakeNarrow<uint8_t>(state);
    case ElementType::kInt8:
      return MakeNarrow<int8_t>(state);
    case ElementType::kUint16:
      return MakeNarrow<uint16_t>(state);
    case ElementType::kInt16:
      return MakeNarrow<int16_t>(state);
    case ElementType::kUint32:
      return MakeWide<uint32_t>(state);
    case ElementType::kInt32:
      return MakeWide<int32_t>(state);
    case ElementType::kFloat32:
      return std::make_unique<ViewerOf<float, float, float>>(state);
    default:
      return std::make_unique<ViewerOf<double, double, double>>(state);
  }
}

}  // namespace penstock
