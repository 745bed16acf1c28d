#include "ingest/pipeline/disk_sums.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace penstock::ingest {

namespace {

// Exact for integers (modulo 2^64 for 64-bit pixels), in four lanes for the others.
template <typename T>
double SumRun(const T* pixels, size_t count) {
  if constexpr (std::is_integral_v<T>) {
    using Total = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
    uint64_t sum = 0;
    // NOLINTNEXTLINE(bugprone-signed-char-misuse): small integers
    for (size_t i = 0; i < count; ++i) sum += static_cast<uint64_t>(static_cast<Total>(pixels[i]));
    return static_cast<double>(static_cast<Total>(sum));
  } else {
    std::array<double, 4> lanes{};
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<double>(pixels[i]);
      lanes[i % 4] += value == value ? value : 0.0;
    }
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  }
}

}  // namespace

template <typename T>
DiskSum DiskSums::SumAs(const DiskSums& self, std::span<const std::byte> bytes) {
  const auto* pixels = reinterpret_cast<const T*>(bytes.data());
  DiskSum sum;
  for (const Row& row : self.rows_) {
    const double bright = SumRun(pixels + row.bright_first, row.bright_last - row.bright_first);
    sum.bright += bright;
    sum.near += bright + SumRun(pixels + row.first, row.bright_first - row.first) +
                SumRun(pixels + row.bright_last, row.last - row.bright_last);
  }
  return sum;
}

DiskSums::DiskSums(const DatasetShape& shape, const BrightDisk& disk) {
  const SignalShape& signal = shape.signal;
  for (int64_t row = 0; row < signal.rows; ++row) {
    const double y = static_cast<double>(row) - disk.row;
    if (std::abs(y) > disk.radius * kDarkFieldFrom) continue;
    // Pixels whose centre is at most so far away, the convention of the reader's masks.
    const auto range = [&](double radius) -> std::array<int64_t, 2> {
      const auto inside = [&](int64_t column) {
        const double x = static_cast<double>(column) - disk.column;
        return y * y + x * x <= radius * radius;
      };
      int64_t first = 0;
      while (first < signal.columns && !inside(first)) ++first;
      int64_t last = first;
      while (last < signal.columns && inside(last)) ++last;
      return {first, last};
    };
    const auto [first, last] = range(disk.radius * kDarkFieldFrom);
    if (first == last) continue;
    auto [bright_first, bright_last] = range(disk.radius);
    if (bright_first == bright_last) bright_first = bright_last = first;
    const auto at = [&](int64_t column) {
      return static_cast<size_t>(row * signal.columns + column);
    };
    rows_.push_back({at(first), at(bright_first), at(bright_last), at(last)});
  }
  sum_ = VisitElementType(shape.element_type, [](auto element) -> Sum {
    using T = decltype(element);
    if constexpr (std::is_arithmetic_v<T>) {
      return &DiskSums::SumAs<T>;
    } else {
      return nullptr;
    }
  });
}

}  // namespace penstock::ingest
