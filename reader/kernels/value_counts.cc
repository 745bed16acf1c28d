// Counting values of 8 and 16 bits. Detector data is mostly a few small numbers, which are counted
// many at a time; what is not is put aside until there is enough to know which values there are.

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/value_counts.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/byte_counts-inl.h"
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

#else

namespace hn = hwy::HWY_NAMESPACE;

// Neighbours often have one value: the additions go to tables of their own in turn, and do not wait
// for one another. Emptying and adding up the tables has to pay.
inline constexpr size_t kTables = 4;
inline constexpr size_t kLargestSpread = 1024;  // values; 16 KiB, half of the L1 cache
// Values that are counted as bits of bytes: as they come, and among those that were put aside.
inline constexpr unsigned kSlices = 2;
inline constexpr unsigned kSlicesAside = 8;
// Vectors of bytes: preparing has to pay, too. A chosen region comes in short runs.
inline constexpr size_t kFewestVectors = 8;

// As many pixels as a vector of bytes has, those below 256 as bytes, in any order.
HWY_INLINE hn::Vec<hn::ScalableTag<uint8_t> > LoadBytes(const uint8_t* pixels, uint8_t base) {
  const hn::ScalableTag<uint8_t> d;
  return hn::Sub(hn::LoadU(d, pixels), hn::Set(d, base));
}
HWY_INLINE hn::Vec<hn::ScalableTag<uint8_t> > LoadBytes(const uint16_t* pixels, uint16_t base) {
  const hn::ScalableTag<uint8_t> d;
  const hn::ScalableTag<uint16_t> d_pixel;
  const auto low = hn::Set(d_pixel, base);
  const auto a = hn::Sub(hn::LoadU(d_pixel, pixels), low);
  const auto b = hn::Sub(hn::LoadU(d_pixel, pixels + hn::Lanes(d_pixel)), low);
  return hn::BitCast(d, hn::Or(a, hn::ShiftLeft<8>(b)));
}

// The bits that any of them has set.
HWY_INLINE hn::Vec<hn::ScalableTag<uint8_t> > BitsOf(const uint8_t* pixels) {
  return hn::LoadU(hn::ScalableTag<uint8_t>(), pixels);
}
HWY_INLINE hn::Vec<hn::ScalableTag<uint16_t> > BitsOf(const uint16_t* pixels) {
  const hn::ScalableTag<uint16_t> d;
  return hn::Or(hn::LoadU(d, pixels), hn::LoadU(d, pixels + hn::Lanes(d)));
}

template <class V>
HWY_INLINE bool AllBelow(V bits, unsigned power_of_two) {
  const hn::DFromV<V> d;
  using T = hn::TFromD<decltype(d)>;
  const auto others = hn::Set(d, static_cast<T>(~(power_of_two - 1)));
  return hn::AllTrue(d, hn::Eq(hn::And(bits, others), hn::Zero(d)));
}

// Smallest and largest of whole vectors.
template <typename Pixel>
HWY_INLINE std::pair<Pixel, Pixel> RangeOf(const Pixel* pixels, size_t count) {
  const hn::ScalableTag<Pixel> d;
  const size_t lanes = hn::Lanes(d);
  auto low = hn::LoadU(d, pixels);
  auto high = low;
  for (size_t p = lanes; p < count; p += lanes) {
    const auto x = hn::LoadU(d, pixels + p);
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
template <typename Pixel>
void CountSpread(const Pixel* pixels, size_t count, Pixel low, Pixel high, uint32_t* counts) {
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

// Pixels near some with more than the smallest values, until they are worth counting together.
template <typename Pixel>
class PutAside {
 public:
  explicit PutAside(uint32_t* counts) : counts_(counts) {}

  // As many as a vector of bytes has.
  HWY_INLINE void Add(const Pixel* pixels) {
    const hn::ScalableTag<Pixel> d;
    const size_t more = hn::Lanes(hn::ScalableTag<uint8_t>());
    if (count_ + more > kMost) Empty();
    for (size_t p = 0; p < more; p += hn::Lanes(d)) {
      hn::StoreU(hn::LoadU(d, pixels + p), d, pixels_.data() + count_ + p);
    }
    count_ += more;
  }

  HWY_NOINLINE void Empty() {
    if (count_ == 0) return;
    const auto [low, high] = RangeOf(pixels_.data(), count_);
    const auto values = static_cast<size_t>(high - low) + 1;
    if (values <= size_t{8} * kSlicesAside) {
      CountAsBits(low, static_cast<unsigned>((values + 7) / 8));
    } else if (values <= kLargestSpread && count_ >= 2 * values) {
      CountSpread(pixels_.data(), count_, low, high, counts_);
    } else {
      scalar::CountValues(pixels_.data(), count_, counts_);
    }
    count_ = 0;
  }

 private:
  static constexpr size_t kMost = 4096;

  void CountAsBits(Pixel low, unsigned slices) {
    using Counts = ByteCounts<kSlicesAside>;
    const hn::ScalableTag<uint8_t> d;
    const size_t lanes = hn::Lanes(d);
    Counts bits;
    HWY_ALIGN uint8_t bytes[Counts::kVectors * hn::MaxLanes(d)];
    for (size_t p = 0; p < count_;) {
      for (size_t i = 0; i < Counts::kVectors; ++i) {
        const auto none = hn::Set(d, Counts::kNoValue);
        hn::Store(p < count_ ? LoadBytes(pixels_.data() + p, low) : none, d, bytes + i * lanes);
        p += lanes;
      }
      bits.Add(bytes, slices);
    }
    bits.Empty(counts_ + low);
  }

  uint32_t* const counts_;
  size_t count_ = 0;  // whole vectors of bytes
  std::array<Pixel, kMost> pixels_;
};

template <typename Pixel>
HWY_INLINE void CountAll(const Pixel* pixels, size_t count, uint32_t* counts) {
  using Counts = ByteCounts<kSlices>;
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  if (count < kFewestVectors * lanes) return scalar::CountValues(pixels, count, counts);
  Counts few;
  PutAside<Pixel> many(counts);
  HWY_ALIGN uint8_t bytes[Counts::kVectors * hn::MaxLanes(d)];
  size_t p = 0;
  while (count - p >= lanes) {
    auto bits = hn::Zero(d);
    for (size_t i = 0; i < Counts::kVectors; ++i) {
      auto vector = hn::Set(d, Counts::kNoValue);
      if (count - p >= lanes) {
        if (AllBelow(BitsOf(pixels + p), 8 * kSlices)) {
          vector = LoadBytes(pixels + p, Pixel{0});
          bits = hn::Or(bits, vector);
        } else {
          many.Add(pixels + p);
        }
        p += lanes;
      }
      hn::Store(vector, d, bytes + i * lanes);
    }
    few.Add(bytes, AllBelow(bits, 8) ? 1 : kSlices);
  }
  few.Empty(counts);
  many.Empty();
  scalar::CountValues(pixels + p, count - p, counts);
}

void CountU8(const uint8_t* pixels, size_t count, uint32_t* counts) {
  CountAll(pixels, count, counts);
}
void CountU16(const uint16_t* pixels, size_t count, uint32_t* counts) {
  CountAll(pixels, count, counts);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(CountU8);
HWY_EXPORT(CountU16);

void CountValues(const uint8_t* pixels, size_t count, uint32_t* counts) {
  HWY_DYNAMIC_DISPATCH(CountU8)(pixels, count, counts);
}
void CountValues(const uint16_t* pixels, size_t count, uint32_t* counts) {
  HWY_DYNAMIC_DISPATCH(CountU16)(pixels, count, counts);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
