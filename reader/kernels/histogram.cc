// Counting values. Detector data is mostly a few small numbers, for which counting one value after
// another in whole vectors is many times as fast as adding to a table pixel by pixel; where a chunk
// has more different values than that pays for, the table is used.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/histogram.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
#include "reader/kernels/scalar_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void CountU8(const uint8_t* pixels, size_t count, uint32_t* counts) {
  scalar::CountValues(pixels, count, counts);
}
void CountU16(const uint16_t* pixels, size_t count, uint32_t* counts) {
  scalar::CountValues(pixels, count, counts);
}
void CountF32(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  scalar::CountBins(pixels, count, bins, counts);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kChunk = 2048;      // pixels; at most 255 vectors, in the L1 cache
inline constexpr unsigned kFewValues = 32;  // up to here vectors win
// Neighbours often have one value: the additions go to tables of their own in turn, and do not wait
// for one another. Emptying and adding up the tables has to pay.
inline constexpr size_t kTables = 4;
inline constexpr size_t kLargestSpread = 1024;  // values; 16 KiB, half of the L1 cache
inline constexpr size_t kSpreadChunk = 16384;   // pixels

// counts[v] += how often v occurs in the chunk, for first <= v <= last. `count` is a multiple of
// the vector's length.
HWY_INLINE void CountFewValues(const uint8_t* chunk, size_t count, unsigned first, unsigned last,
                               uint32_t* counts) {
  const hn::ScalableTag<uint8_t> d;
  const hn::Repartition<uint64_t, decltype(d)> d_sum;
  const size_t lanes = hn::Lanes(d);
  for (unsigned value = first; value <= last; ++value) {
    const auto wanted = hn::Set(d, static_cast<uint8_t>(value));
    auto seen = hn::Zero(d);
    for (size_t p = 0; p < count; p += lanes) {
      // A lane that matches is -1.
      seen = hn::Sub(seen, hn::VecFromMask(d, hn::Eq(hn::LoadU(d, chunk + p), wanted)));
    }
    counts[value] += static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(d_sum, hn::SumsOf8(seen))));
  }
}

// Smallest and largest of a chunk of whole vectors.
template <typename Pixel>
HWY_INLINE std::pair<Pixel, Pixel> RangeOf(const Pixel* chunk, size_t count) {
  const hn::ScalableTag<Pixel> d;
  const size_t lanes = hn::Lanes(d);
  auto low = hn::LoadU(d, chunk);
  auto high = low;
  for (size_t p = lanes; p < count; p += lanes) {
    const auto x = hn::LoadU(d, chunk + p);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
  }
  HWY_ALIGN Pixel lows[hn::MaxLanes(d)];
  HWY_ALIGN Pixel highs[hn::MaxLanes(d)];
  hn::Store(low, d, lows);
  hn::Store(high, d, highs);
  return {*std::min_element(lows, lows + lanes), *std::max_element(highs, highs + lanes)};
}

// counts[v] += how often v occurs, for low <= v <= high.
void CountSpread(const uint16_t* pixels, size_t count, uint16_t low, uint16_t high,
                 uint32_t* counts) {
  std::array<uint32_t, kTables * kLargestSpread> storage;
  const size_t table = static_cast<size_t>(high - low) + 1;
  std::fill_n(storage.begin(), kTables * table, 0u);
  uint32_t* const tables[kTables] = {&storage[0], &storage[table], &storage[2 * table],
                                     &storage[3 * table]};
  size_t p = 0;
  for (; p + kTables <= count; p += kTables) {
    for (size_t t = 0; t < kTables; ++t) ++tables[t][pixels[p + t] - low];
  }
  for (; p < count; ++p) ++tables[0][pixels[p] - low];
  for (size_t v = 0; v < table; ++v) {
    counts[low + v] += tables[0][v] + tables[1][v] + tables[2][v] + tables[3][v];
  }
}

// Pixels of chunks with more than a few values, until they are worth counting together.
struct ManyValues {
  const uint16_t* pixels = nullptr;
  size_t count = 0;
  uint16_t low = 0;
  uint16_t high = 0;

  void CountInto(uint32_t* counts) {
    const size_t values = static_cast<size_t>(high - low) + 1;
    if (values <= kLargestSpread && count >= 2 * values) {
      CountSpread(pixels, count, low, high, counts);
    } else {
      scalar::CountValues(pixels, count, counts);
    }
    count = 0;
  }
  void Add(const uint16_t* chunk, size_t length, uint16_t chunk_low, uint16_t chunk_high) {
    pixels = count == 0 ? chunk : pixels;
    low = count == 0 ? chunk_low : std::min(low, chunk_low);
    high = count == 0 ? chunk_high : std::max(high, chunk_high);
    count += length;
  }
};

void CountU8(const uint8_t* pixels, size_t count, uint32_t* counts) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  size_t p = 0;
  while (count - p >= lanes) {
    const size_t chunk = std::min(kChunk, (count - p) / lanes * lanes);
    const auto [low, high] = RangeOf(pixels + p, chunk);
    if (high - low < static_cast<int>(kFewValues)) {
      CountFewValues(pixels + p, chunk, low, high, counts);
    } else {
      scalar::CountValues(pixels + p, chunk, counts);
    }
    p += chunk;
  }
  scalar::CountValues(pixels + p, count - p, counts);
}

void CountU16(const uint16_t* pixels, size_t count, uint32_t* counts) {
  const hn::ScalableTag<uint16_t> d;
  const hn::Rebind<uint8_t, decltype(d)> d_byte;
  const hn::ScalableTag<uint8_t> d_bytes;
  const size_t lanes = hn::Lanes(d);
  const size_t step = hn::Lanes(d_bytes);  // two vectors make one of bytes
  HWY_ALIGN uint8_t bytes[kChunk];
  ManyValues many;
  size_t p = 0;
  while (count - p >= step) {
    const size_t chunk = std::min(kChunk, (count - p) / step * step);
    const auto [low, high] = RangeOf(pixels + p, chunk);
    if (high - low < static_cast<int>(kFewValues)) {
      many.CountInto(counts);
      const auto base = hn::Set(d, low);
      for (size_t i = 0; i < chunk; i += lanes) {
        const auto offset = hn::Sub(hn::LoadU(d, pixels + p + i), base);
        const hn::RebindToSigned<decltype(d)> d_signed;
        hn::StoreU(hn::DemoteTo(d_byte, hn::BitCast(d_signed, offset)), d_byte, bytes + i);
      }
      CountFewValues(bytes, chunk, 0, static_cast<unsigned>(high - low), counts + low);
    } else {
      many.Add(pixels + p, chunk, low, high);
      if (many.count >= kSpreadChunk) many.CountInto(counts);
    }
    p += chunk;
  }
  many.CountInto(counts);
  scalar::CountValues(pixels + p, count - p, counts);
}

void CountF32(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> d_index;
  const size_t lanes = hn::Lanes(d);
  const auto low = hn::Set(d, bins.low);
  const auto scale = hn::Set(d, bins.scale);
  const auto last = hn::Set(d, static_cast<float>(bins.count));
  // A place this far from a whole number is on the right side of it: the difference, the product,
  // the scale and the lower bound are each rounded to 24 bits.
  const auto safe = hn::Set(
      d, 4.8e-7f * static_cast<float>(bins.count) + 1.2e-7f * std::abs(bins.low) * bins.scale);
  const auto one = hn::Set(d, 1.0f);
  HWY_ALIGN int32_t index[hn::MaxLanes(d)];
  constexpr size_t kLargestTable = 4096;
  const size_t table = bins.count + 3;
  std::array<uint32_t, kTables * kLargestTable> storage;
  // Emptying the tables and adding them up has to pay.
  const bool spread = table <= kLargestTable && count >= kTables * table;
  if (spread) std::fill_n(storage.begin(), kTables * table, 0u);
  size_t p = 0;
  for (; p + lanes <= count; p += lanes) {
    const auto x = hn::LoadU(d, pixels + p);
    const auto place = hn::Mul(hn::Sub(x, low), scale);
    const auto floor = hn::Floor(place);
    const auto above = hn::Sub(place, floor);
    const auto inside = hn::And(hn::Ge(place, hn::Zero(d)), hn::Lt(place, last));
    const auto sure =
        hn::And(inside, hn::And(hn::Gt(above, safe), hn::Lt(above, hn::Sub(one, safe))));
    if (!hn::AllTrue(d, sure)) {
      scalar::CountBins(pixels + p, lanes, bins, counts);
      continue;
    }
    hn::Store(hn::ConvertTo(d_index, floor), d_index, index);
    if (spread) {
      for (size_t i = 0; i < lanes; ++i) {
        ++storage[(i % kTables) * table + static_cast<size_t>(index[i]) + 1];
      }
    } else {
      for (size_t i = 0; i < lanes; ++i) ++counts[static_cast<size_t>(index[i]) + 1];
    }
  }
  for (size_t t = 0; spread && t < kTables; ++t) {
    for (size_t i = 0; i < table; ++i) counts[i] += storage[t * table + i];
  }
  scalar::CountBins(pixels + p, count - p, bins, counts);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(CountU8);
HWY_EXPORT(CountU16);
HWY_EXPORT(CountF32);

void CountValues(const uint8_t* pixels, size_t count, uint32_t* counts) {
  HWY_DYNAMIC_DISPATCH(CountU8)(pixels, count, counts);
}
void CountValues(const uint16_t* pixels, size_t count, uint32_t* counts) {
  HWY_DYNAMIC_DISPATCH(CountU16)(pixels, count, counts);
}
void CountBins(const float* pixels, size_t count, const UniformBins& bins, uint32_t* counts) {
  HWY_DYNAMIC_DISPATCH(CountF32)(pixels, count, bins, counts);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
