#include "penstock/dataset/statistics.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "catalog/dataset/histogram.h"
#include "catalog/dataset/statistics_kernels.h"

#if defined(__x86_64__)
#define PENSTOCK_HAS_AVX2_CLONE 1
#endif

namespace penstock {

namespace {

using statistics::ChunkSummary;
using statistics::FrameSum;
using statistics::kChunkPixels;
using statistics::PatternSum;

template <typename T>
void SummarizeBaseline(const T* pixels, size_t count, PatternSum<T>* pattern,
                       ChunkSummary<T>& summary) {
  statistics::Summarize(pixels, count, pattern, summary);
}

#ifdef PENSTOCK_HAS_AVX2_CLONE
template <typename T>
__attribute__((target("avx2"))) void SummarizeAvx2(const T* pixels, size_t count,
                                                   PatternSum<T>* pattern,
                                                   ChunkSummary<T>& summary) {
  statistics::Summarize(pixels, count, pattern, summary);
}
#endif

template <typename T>
auto ChooseSummarize() {
#ifdef PENSTOCK_HAS_AVX2_CLONE
  if (__builtin_cpu_supports("avx2")) return &SummarizeAvx2<T>;
#endif
  return &SummarizeBaseline<T>;
}

template <typename T>
void SetNumber(FrameStatistics::Number& number, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    number.as_float = static_cast<double>(value);
  } else if constexpr (std::is_signed_v<T>) {
    number.as_int = value;  // NOLINT(bugprone-signed-char-misuse): a small integer
  } else {
    number.as_uint = value;
  }
}

}  // namespace

// The part of an accumulator that depends on the element type.
class PixelAccumulator {
 public:
  virtual ~PixelAccumulator() = default;
  virtual FrameStatistics Add(std::span<const std::byte> pixels) = 0;
  virtual void CollectHistogram(std::vector<uint64_t>& histogram) = 0;
  virtual void VisitSumPattern(const BlockStatistics::PatternVisitor& visit) = 0;
};

namespace {

template <typename T>
class TypedAccumulator final : public PixelAccumulator {
 public:
  explicit TypedAccumulator(size_t pixels) : pattern_(pixels) {}

  FrameStatistics Add(std::span<const std::byte> bytes) override {
    const auto* pixels = reinterpret_cast<const T*>(bytes.data());
    const size_t count = pattern_.size();
    if constexpr (statistics::kIsNarrow<T>) {
      if (++pattern_frames_ == kFramesBeforeFlush) FlushPattern();
    }
    T minimum = std::numeric_limits<T>::max();
    T maximum = std::numeric_limits<T>::lowest();
    if constexpr (std::is_floating_point_v<T>) {
      minimum = std::numeric_limits<T>::infinity();
      maximum = -minimum;
    }
    FrameStatistics frame;
    FrameSum<T> sum = 0;
    for (size_t first = 0; first < count; first += kChunkPixels) {
      const size_t size = std::min(kChunkPixels, count - first);
      ChunkSummary<T> chunk;
      summarize_(pixels + first, size, pattern_.data() + first, chunk);
      histogram_.Add(pixels + first, size, chunk.minimum, chunk.maximum, chunk.sum,
                     chunk.nan_count);
      minimum = std::min(minimum, chunk.minimum);
      maximum = std::max(maximum, chunk.maximum);
      if constexpr (std::is_floating_point_v<T>) {
        sum += chunk.sum;
      } else {
        sum =
            static_cast<FrameSum<T>>(static_cast<uint64_t>(sum) + static_cast<uint64_t>(chunk.sum));
      }
      frame.sum_of_squares_exact += chunk.squares_exact;
      frame.sum_of_squares += chunk.squares;
      frame.nan_count += chunk.nan_count;
    }
    frame.sum_of_squares += static_cast<double>(frame.sum_of_squares_exact);
    if constexpr (!statistics::kIsNarrow<T>) frame.sum_of_squares_exact = 0;
    if constexpr (std::is_floating_point_v<T>) {
      if (frame.nan_count == count) minimum = maximum = std::numeric_limits<T>::quiet_NaN();
    }
    SetNumber(frame.minimum, minimum);
    SetNumber(frame.maximum, maximum);
    SetNumber(frame.sum, sum);
    return frame;
  }

  void CollectHistogram(std::vector<uint64_t>& histogram) override {
    histogram_.Flush();
    std::copy_n(histogram_.counts().begin(), histogram.size(), histogram.begin());
  }

  void VisitSumPattern(const BlockStatistics::PatternVisitor& visit) override {
    if (!flushed_.empty()) {
      FlushPattern();
      return visit(0, flushed_);
    }
    std::array<double, kChunkPixels> part;
    for (size_t first = 0; first < pattern_.size(); first += kChunkPixels) {
      const size_t count = std::min(kChunkPixels, pattern_.size() - first);
      std::copy_n(pattern_.begin() + static_cast<std::ptrdiff_t>(first), count, part.begin());
      visit(static_cast<int64_t>(first), std::span(part).first(count));
    }
  }

  static uint64_t MemoryBytes(uint64_t pixels, int64_t block_frames) {
    const bool flushes =
        statistics::kIsNarrow<T> && static_cast<uint64_t>(block_frames) >= kFramesBeforeFlush;
    return pixels * (sizeof(PatternSum<T>) + (flushes ? sizeof(double) : 0)) +
           sizeof(TypedAccumulator);
  }

 private:
  // 2^15 frames of the largest magnitude stay below 2^31.
  static constexpr uint64_t kFramesBeforeFlush = uint64_t{1} << 15;

  void FlushPattern() {
    flushed_.resize(pattern_.size());
    for (size_t pixel = 0; pixel < pattern_.size(); ++pixel) {
      flushed_[pixel] += static_cast<double>(pattern_[pixel]);
      pattern_[pixel] = 0;
    }
    pattern_frames_ = 0;
  }

  void (*summarize_)(const T*, size_t, PatternSum<T>*, ChunkSummary<T>&) = ChooseSummarize<T>();
  statistics::HistogramCounter<T> histogram_;
  std::vector<PatternSum<T>> pattern_;
  uint64_t pattern_frames_ = 0;
  std::vector<double> flushed_;
};

std::unique_ptr<PixelAccumulator> MakeAccumulator(const DatasetShape& shape) {
  return VisitElementType(shape.element_type,
                          [&shape](auto element) -> std::unique_ptr<PixelAccumulator> {
                            using T = decltype(element);
                            if constexpr (std::is_arithmetic_v<T>) {
                              return std::make_unique<TypedAccumulator<T>>(
                                  static_cast<size_t>(shape.signal.pixel_count()));
                            } else {
                              return nullptr;  // complex types have no order
                            }
                          });
}

size_t HistogramBins(ElementType type) {
  return VisitElementType(type, [](auto element) -> size_t {
    using T = decltype(element);
    if constexpr (std::is_arithmetic_v<T>) {
      return statistics::BinCount<T>();
    } else {
      return 0;
    }
  });
}

}  // namespace

std::vector<double> HistogramEdges(ElementType type) {
  std::vector<double> edges;
  const size_t bins = HistogramBins(type);
  if (bins == 0) return edges;
  double edge = 0;
  for (size_t bin = 0; bin <= bins; ++bin) {
    edges.push_back(edge);
    edge = bin < statistics::kUnitBins ? edge + 1 : edge * 2;
  }
  return edges;
}

struct BlockStatistics::State {
  std::unique_ptr<PixelAccumulator> accumulator;  // null for complex pixels
  size_t frame_bytes = 0;
  std::vector<FrameStatistics> frames;
  std::vector<bool> frame_present;
  mutable std::vector<uint64_t> histogram;
  mutable std::vector<double> sum_pattern;
};

BlockStatistics::BlockStatistics(const DatasetShape& shape, const BlockRegion& region)
    : state_(std::make_unique<State>()) {
  state_->accumulator = MakeAccumulator(shape);
  state_->frame_bytes = shape.frame_bytes();
  state_->frames.resize(static_cast<size_t>(region.frame_count()));
  state_->frame_present.resize(static_cast<size_t>(region.frame_count()));
  state_->histogram.resize(HistogramBins(shape.element_type));
}

uint64_t BlockStatistics::MemoryBytes(const DatasetShape& shape, int64_t block_frames) {
  const auto pixels = static_cast<uint64_t>(shape.signal.pixel_count());
  const uint64_t pattern =
      VisitElementType(shape.element_type, [pixels, block_frames](auto element) -> uint64_t {
        using T = decltype(element);
        if constexpr (std::is_arithmetic_v<T>) {
          return TypedAccumulator<T>::MemoryBytes(pixels, block_frames);
        } else {
          return 0;
        }
      });
  return pattern + static_cast<uint64_t>(block_frames) * (sizeof(FrameStatistics) + 1);
}

BlockStatistics::~BlockStatistics() = default;
BlockStatistics::BlockStatistics(BlockStatistics&&) noexcept = default;
BlockStatistics& BlockStatistics::operator=(BlockStatistics&&) noexcept = default;

void BlockStatistics::AddFrame(int64_t index, std::span<const std::byte> pixels) {
  State& state = *state_;
  assert(pixels.size() == state.frame_bytes);
  const auto frame = static_cast<size_t>(index);
  state.frame_present[frame] = true;
  if (state.accumulator == nullptr) return;
  state.frames[frame] = state.accumulator->Add(pixels);
  state.sum_pattern.clear();
}

const std::vector<FrameStatistics>& BlockStatistics::frames() const { return state_->frames; }
const std::vector<bool>& BlockStatistics::frame_present() const { return state_->frame_present; }

const std::vector<uint64_t>& BlockStatistics::histogram() const {
  if (state_->accumulator != nullptr) state_->accumulator->CollectHistogram(state_->histogram);
  return state_->histogram;
}

const std::vector<double>& BlockStatistics::sum_pattern() const {
  std::vector<double>& pattern = state_->sum_pattern;
  if (pattern.empty()) {
    VisitSumPattern([&pattern](int64_t /*first_pixel*/, std::span<const double> sums) {
      pattern.insert(pattern.end(), sums.begin(), sums.end());
    });
  }
  return pattern;
}

void BlockStatistics::VisitSumPattern(const PatternVisitor& visit) const {
  if (state_->accumulator != nullptr) state_->accumulator->VisitSumPattern(visit);
}

}  // namespace penstock
