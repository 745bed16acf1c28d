// The inner loops of BlockStatistics over one chunk of pixels that lies in the first-level cache.
// Written so that g++ and clang vectorise them; statistics.cc compiles them for more than one
// instruction set.

#ifndef PENSTOCK_DATASET_STATISTICS_KERNELS_H_
#define PENSTOCK_DATASET_STATISTICS_KERNELS_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#define PENSTOCK_ALWAYS_INLINE __attribute__((always_inline)) inline

namespace penstock::statistics {

inline constexpr size_t kChunkPixels = 4096;

template <typename T>
inline constexpr bool kIsNarrow = std::is_integral_v<T> && sizeof(T) <= 2;

// Sums over one frame: exact for integers (modulo 2^64 for 64-bit pixels).
template <typename T>
using FrameSum = std::conditional_t<std::is_floating_point_v<T>, double,
                                    std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

// Sums over the frames of a block, per pixel. Narrow types are flushed before 32 bits overflow.
template <typename T>
using PatternSum =
    std::conditional_t<kIsNarrow<T>, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
                       FrameSum<T>>;

template <typename T>
struct ChunkSummary {
  T minimum;
  T maximum;
  FrameSum<T> sum = 0;
  uint64_t squares_exact = 0;  // narrow integers, and wide ones while they are small
  double squares = 0;          // everything else
  uint64_t nan_count = 0;
};

template <typename T>
PENSTOCK_ALWAYS_INLINE void SummarizeNarrow(const T* pixels, size_t count, PatternSum<T>* pattern,
                                            ChunkSummary<T>& summary) {
  static_assert(kChunkPixels * uint64_t{65535} < (uint64_t{1} << 31));
  using Sum = PatternSum<T>;
  T minimum = std::numeric_limits<T>::max();
  T maximum = std::numeric_limits<T>::min();
  Sum sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const T value = pixels[i];
    minimum = std::min(minimum, value);
    maximum = std::max(maximum, value);
    sum += static_cast<Sum>(value);
    pattern[i] += static_cast<Sum>(value);
  }
  summary.minimum = minimum;
  summary.maximum = maximum;
  summary.sum = sum;
  // Pixels of type signed char are small integers, not characters.
  // NOLINTBEGIN(bugprone-signed-char-misuse)
  if (maximum <= 255 && (!std::is_signed_v<T> || minimum >= -255)) {
    uint32_t squares = 0;  // 4096 * 255^2 < 2^32
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<int32_t>(pixels[i]);
      squares += static_cast<uint32_t>(value * value);
    }
    summary.squares_exact = squares;
  } else {
    uint64_t squares = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<uint32_t>(pixels[i]);  // the square is the same modulo 2^32
      squares += value * value;
    }
    summary.squares_exact = squares;
  }
  // NOLINTEND(bugprone-signed-char-misuse)
}

template <typename T>
PENSTOCK_ALWAYS_INLINE void SummarizeWide(const T* pixels, size_t count, PatternSum<T>* pattern,
                                          ChunkSummary<T>& summary) {
  T minimum = std::numeric_limits<T>::max();
  T maximum = std::numeric_limits<T>::min();
  uint64_t sum = 0;  // unsigned: 64-bit pixels may wrap
  for (size_t i = 0; i < count; ++i) {
    const T value = pixels[i];
    minimum = std::min(minimum, value);
    maximum = std::max(maximum, value);
    sum += static_cast<uint64_t>(value);
    pattern[i] = static_cast<PatternSum<T>>(static_cast<uint64_t>(pattern[i]) +
                                            static_cast<uint64_t>(value));
  }
  summary.minimum = minimum;
  summary.maximum = maximum;
  summary.sum = static_cast<FrameSum<T>>(sum);
  if (maximum <= 65535 && (!std::is_signed_v<T> || minimum >= 0)) {
    uint64_t squares = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<uint32_t>(pixels[i]);
      squares += value * value;  // below 2^32
    }
    summary.squares_exact = squares;
    return;
  }
  double squares = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(pixels[i]);
    squares += value * value;
  }
  summary.squares = squares;
}

template <typename T>
PENSTOCK_ALWAYS_INLINE void SummarizeFloat(const T* pixels, size_t count, PatternSum<T>* pattern,
                                           ChunkSummary<T>& summary) {
  // Independent lanes: without them the order of additions forbids vector code.
  constexpr size_t kLanes = 8;
  std::array<T, kLanes> minimum;
  std::array<T, kLanes> maximum;
  std::array<double, kLanes> sum{};
  std::array<double, kLanes> squares{};
  std::array<uint64_t, kLanes> numbers{};
  minimum.fill(std::numeric_limits<T>::infinity());
  maximum.fill(-std::numeric_limits<T>::infinity());
  const auto add = [&](size_t i, size_t lane) {
    const T value = pixels[i];
    const bool is_number = value == value;
    const double number = is_number ? static_cast<double>(value) : 0.0;
    minimum[lane] = value < minimum[lane] ? value : minimum[lane];
    maximum[lane] = value > maximum[lane] ? value : maximum[lane];
    sum[lane] += number;
    squares[lane] += number * number;
    numbers[lane] += is_number ? 1 : 0;
    pattern[i] += number;
  };
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  }
  for (; i < count; ++i) add(i, 0);
  summary.minimum = *std::min_element(minimum.begin(), minimum.end());
  summary.maximum = *std::max_element(maximum.begin(), maximum.end());
  uint64_t seen = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    summary.sum += sum[lane];
    summary.squares += squares[lane];
    seen += numbers[lane];
  }
  summary.nan_count = count - seen;
}

template <typename T>
PENSTOCK_ALWAYS_INLINE void Summarize(const T* pixels, size_t count, PatternSum<T>* pattern,
                                      ChunkSummary<T>& summary) {
  if constexpr (std::is_floating_point_v<T>) {
    SummarizeFloat(pixels, count, pattern, summary);
  } else if constexpr (kIsNarrow<T>) {
    SummarizeNarrow(pixels, count, pattern, summary);
  } else {
    SummarizeWide(pixels, count, pattern, summary);
  }
}

}  // namespace penstock::statistics

#endif  // PENSTOCK_DATASET_STATISTICS_KERNELS_H_
