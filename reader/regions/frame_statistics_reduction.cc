#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "penstock/reader/region_statistics.h"

namespace penstock {

namespace {

// The same piece of every frame of a partition: what one tile has of them.
struct Piece {
  int64_t first_pixel = 0;
  std::vector<uint32_t> good;                   // offsets in the tile; empty where all are
  int64_t pixel_count = 0;                      // good ones
  std::unique_ptr<BlockStatistics> statistics;  // [frame of the partition]
};

struct StatisticsState final : Reduction::State {
  std::vector<Piece> pieces;
  std::vector<std::byte> compact;  // the good pixels of one frame of a tile
  std::vector<uint8_t> valid;
  int64_t first_frame = 0;
};

template <typename T>
T& As(FrameStatistics::Number& number) {
  if constexpr (std::is_floating_point_v<T>) {
    return number.as_float;
  } else if constexpr (std::is_signed_v<T>) {
    return number.as_int;
  } else {
    return number.as_uint;
  }
}

// Number's member for pixels of this type.
template <typename Pixel>
using Wide = std::conditional_t<std::is_floating_point_v<Pixel>, double,
                                std::conditional_t<std::is_signed_v<Pixel>, int64_t, uint64_t>>;

template <typename T>
void Combine(FrameStatistics& into, FrameStatistics part, bool is_first) {
  if (is_first) {
    into = part;
    return;
  }
  // A NaN stands for a piece that has no number.
  const auto is_nan = [](T value) { return value != value; };
  T& minimum = As<T>(into.minimum);
  T& maximum = As<T>(into.maximum);
  if (is_nan(minimum) || As<T>(part.minimum) < minimum) minimum = As<T>(part.minimum);
  if (is_nan(maximum) || As<T>(part.maximum) > maximum) maximum = As<T>(part.maximum);
  As<T>(into.sum) += As<T>(part.sum);
  into.sum_of_squares_exact += part.sum_of_squares_exact;
  into.sum_of_squares += part.sum_of_squares;
  into.nan_count += part.nan_count;
}

}  // namespace

struct FrameStatisticsReduction::Impl {
  PassPlan plan;
  std::vector<FrameStatistics> frames;
  std::vector<uint8_t> seen;
  std::vector<uint64_t> histogram;
  int64_t pixels = 0;

  std::vector<Piece> MakePieces() const {
    std::vector<Piece> pieces;
    const int64_t all = plan.shape.signal.pixel_count();
    for (int64_t first = 0; first < all; first += plan.tile_pixels) {
      Piece piece;
      piece.first_pixel = first;
      const int64_t count = std::min(plan.tile_pixels, all - first);
      piece.pixel_count = count;
      if (plan.good_pixels != nullptr) {
        for (int64_t p = 0; p < count; ++p) {
          if ((*plan.good_pixels)[static_cast<size_t>(first + p)] == 0) continue;
          piece.good.push_back(static_cast<uint32_t>(p));
        }
        piece.pixel_count = static_cast<int64_t>(piece.good.size());
        if (piece.pixel_count == count) piece.good.clear();
      }
      pieces.push_back(std::move(piece));
    }
    return pieces;
  }
};

FrameStatisticsReduction::FrameStatisticsReduction() : impl_(std::make_unique<Impl>()) {}
FrameStatisticsReduction::~FrameStatisticsReduction() = default;

const std::vector<FrameStatistics>& FrameStatisticsReduction::frames() const {
  return impl_->frames;
}
const std::vector<uint8_t>& FrameStatisticsReduction::seen() const { return impl_->seen; }
ElementType FrameStatisticsReduction::element_type() const {
  return impl_->plan.shape.element_type;
}
int64_t FrameStatisticsReduction::pixels() const { return impl_->pixels; }
const std::vector<uint64_t>& FrameStatisticsReduction::histogram() const {
  return impl_->histogram;
}

bool FrameStatisticsReduction::WantsWholeFrames(const PassPlan& plan) const {
  // Of 8 and 16 bits all sums are exact, whatever was added first.
  return !IsInteger(plan.shape.element_type) || ElementSize(plan.shape.element_type) > 2;
}

Status FrameStatisticsReduction::Begin(const PassPlan& plan) {
  const ElementType type = plan.shape.element_type;
  if (IsComplex(type)) {
    return Error::Unsupported(fmt::format("statistics of {} data", ZarrDataType(type)))
        .Expected("integer or floating data");
  }
  impl_->plan = plan;
  const auto frames = static_cast<size_t>(plan.shape.frame_count());
  impl_->frames.assign(frames, {});
  impl_->seen.assign(frames, 0);
  impl_->histogram.assign(HistogramEdges(type).size() - 1, 0);
  impl_->pixels = 0;
  for (const Piece& piece : impl_->MakePieces()) impl_->pixels += piece.pixel_count;
  return Status::Ok();
}

std::unique_ptr<Reduction::State> FrameStatisticsReduction::MakeState() const {
  auto state = std::make_unique<StatisticsState>();
  state->pieces = impl_->MakePieces();
  return state;
}

void FrameStatisticsReduction::BeginPartition(State& state, const Partition& partition) const {
  auto& mine = static_cast<StatisticsState&>(state);
  const int64_t frames = partition.frames.last - partition.frames.first;
  mine.first_frame = partition.frames.first;
  mine.valid.assign(static_cast<size_t>(frames), 0);
  for (Piece& piece : mine.pieces) {
    if (piece.pixel_count == 0) continue;
    const DatasetShape shape{{1, frames, true}, {1, piece.pixel_count}, element_type()};
    piece.statistics = std::make_unique<BlockStatistics>(shape, BlockRegion{0, 1, 0, frames, 0});
  }
}

void FrameStatisticsReduction::Process(State& state, const Tile& tile) const {
  auto& mine = static_cast<StatisticsState&>(state);
  Piece& piece = mine.pieces[static_cast<size_t>(tile.first_pixel / impl_->plan.tile_pixels)];
  const size_t element = ElementSize(tile.element_type);
  for (int64_t f = 0; f < tile.frame_count; ++f) {
    if (tile.valid[f] == 0) continue;
    const int64_t frame = tile.first_frame + f - mine.first_frame;
    mine.valid[static_cast<size_t>(frame)] = 1;
    if (piece.pixel_count == 0) continue;
    const std::byte* pixels = tile.pixels + static_cast<size_t>(f) * tile.frame_stride;
    if (!piece.good.empty()) {
      mine.compact.resize(piece.good.size() * element);
      for (size_t i = 0; i < piece.good.size(); ++i) {
        std::copy_n(pixels + piece.good[i] * element, element, mine.compact.data() + i * element);
      }
      pixels = mine.compact.data();
    }
    piece.statistics->AddFrame(frame, {pixels, static_cast<size_t>(piece.pixel_count) * element});
  }
}

void FrameStatisticsReduction::Merge(State& state, const Partition& partition) {
  const auto& mine = static_cast<const StatisticsState&>(state);
  bool is_first = true;
  VisitElementType(element_type(), [&](auto zero) {
    using Pixel = decltype(zero);
    if constexpr (std::is_arithmetic_v<Pixel>) {
      for (const Piece& piece : mine.pieces) {
        if (piece.pixel_count == 0) continue;
        for (size_t f = 0; f < mine.valid.size(); ++f) {
          if (mine.valid[f] == 0) continue;
          const size_t at = static_cast<size_t>(partition.frames.first) + f;
          Combine<Wide<Pixel>>(impl_->frames[at], piece.statistics->frames()[f], is_first);
          impl_->seen[at] = 1;
        }
        const std::vector<uint64_t>& counts = piece.statistics->histogram();
        for (size_t b = 0; b < impl_->histogram.size(); ++b) impl_->histogram[b] += counts[b];
        is_first = false;
      }
    }
  });
}

}  // namespace penstock
