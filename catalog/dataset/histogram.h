// Counting pixels into the bins of HistogramEdges: one bin per count up to 255, then powers of two.

#ifndef PENSTOCK_DATASET_HISTOGRAM_H_
#define PENSTOCK_DATASET_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace penstock::statistics {

inline constexpr size_t kUnitBins = 256;
inline constexpr size_t kMaximumBins = 280;  // the last one: [2^31, infinity)

constexpr size_t BinOf(uint32_t count) {
  if (count < kUnitBins) return count;
  return kUnitBins - 8 + static_cast<size_t>(31 - std::countl_zero(count));
}

// Bins that values of an integer type can reach; all of them for the wide and floating types.
template <typename T>
constexpr size_t BinCount() {
  if constexpr (std::is_integral_v<T> && sizeof(T) < 4) {
    return BinOf(static_cast<uint32_t>(std::numeric_limits<T>::max())) + 1;
  } else if constexpr (std::is_same_v<T, int32_t>) {
    return kMaximumBins - 1;
  } else {
    return kMaximumBins;
  }
}

// The count that a pixel is binned by: below 0 is 0, above 2^32 - 1 is that.
template <typename T>
constexpr uint32_t BinningCount(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    // Without branches; 2^32 - 256 is a float and lies in the last bin like all above it.
    const T clamped = std::min(std::max(value, T{0}), T{4294967040});
    return static_cast<uint32_t>(static_cast<int64_t>(clamped));
  } else {
    if constexpr (std::is_signed_v<T>) value = std::max<T>(value, 0);
    if constexpr (sizeof(T) == 8) {
      return static_cast<uint32_t>(std::min<uint64_t>(static_cast<uint64_t>(value), ~uint32_t{0}));
    } else {
      return static_cast<uint32_t>(value);
    }
  }
}

// Not thread-safe.
template <typename T>
class HistogramCounter {
 public:
  // `minimum`, `maximum`, `sum` of the same pixels, which make common chunks cheap.
  template <typename Sum>
  void Add(const T* pixels, size_t count, T minimum, T maximum, Sum sum, uint64_t nan_count) {
    if (pending_ + count > std::numeric_limits<uint32_t>::max()) Flush();
    if constexpr (std::is_integral_v<T>) {
      if (minimum >= 0 && maximum <= 1) {  // electron counting: mostly nothing, sometimes one
        counts_[1] += static_cast<uint64_t>(sum);
        counts_[0] += count - static_cast<uint64_t>(sum);
        return;
      }
      if (minimum >= 0 && maximum <= 255) {
        pending_ += count;
        AddSmall(pixels, count);
        return;
      }
    } else {
      if (maximum < 256 && nan_count == 0) {
        pending_ += count;
        AddSmall(pixels, count);
        return;
      }
    }
    pending_ += count;
    AddAny(pixels, count, nan_count > 0);
  }

  // Brings counts() up to date.
  void Flush() {
    pending_ = 0;
    for (auto& table : small_) {
      for (size_t bin = 0; bin < kMaximumBins; ++bin) {
        counts_[bin] += table[bin];
        table[bin] = 0;
      }
    }
    for (size_t count = 0; count < direct_.size(); ++count) {
      counts_[BinOf(static_cast<uint32_t>(count))] += direct_[count];
      direct_[count] = 0;
    }
  }
  const std::array<uint64_t, kMaximumBins>& counts() const { return counts_; }

 private:
  // Several tables: equal neighbours would otherwise wait for each other's store.
  static constexpr size_t kTables = 4;

  // Of a pixel below 256 that is no NaN; negative ones only where T is floating.
  static size_t SmallCount(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      return static_cast<uint32_t>(static_cast<int32_t>(std::max(value, T{0})));
    } else {
      return static_cast<size_t>(value);
    }
  }

  void AddSmall(const T* pixels, size_t count) {
    size_t i = 0;
    for (; i + kTables <= count; i += kTables) {
      for (size_t table = 0; table < kTables; ++table) {
        ++small_[table][SmallCount(pixels[i + table])];
      }
    }
    for (; i < count; ++i) ++small_[0][SmallCount(pixels[i])];
  }

  void AddAny(const T* pixels, size_t count, bool with_nan) {
    if constexpr (std::is_integral_v<T> && sizeof(T) == 2) {
      // Counting by value and folding into bins at the end is cheaper than a bin per pixel.
      if (direct_.empty()) direct_.resize(size_t{std::numeric_limits<T>::max()} + 1);
      for (size_t i = 0; i < count; ++i) ++direct_[BinningCount(pixels[i])];
    } else {
      for (size_t i = 0; i < count; ++i) {
        if constexpr (std::is_floating_point_v<T>) {
          if (with_nan && pixels[i] != pixels[i]) continue;
        }
        ++small_[i % kTables][BinOf(BinningCount(pixels[i]))];
      }
    }
    static_cast<void>(with_nan);
  }

  uint64_t pending_ = 0;  // pixels in the 32-bit tables
  std::array<std::array<uint32_t, kMaximumBins>, kTables> small_{};
  std::vector<uint32_t> direct_;
  std::array<uint64_t, kMaximumBins> counts_{};
};

}  // namespace penstock::statistics

#endif  // PENSTOCK_DATASET_HISTOGRAM_H_
