// Sums of pixels by bin, for eight frames at once: their pixels are transposed in registers, so
// that one vector holds the same pixel of eight frames, and goes to its bin as a whole. Each bin
// has several sums that take turns, because neighbours often share a bin and would wait for each
// other's store: eight where they fit the L1 cache, or four, otherwise two.

#include <algorithm>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/bin_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/kernels.h"
#include "reader/kernels/prefetch.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <typename Pixel, typename Narrow, typename Total>
void Bin(const FramePixels<Pixel>& frames, const uint32_t* bins, const BinTable<Narrow>&,
         Total* totals, size_t total_stride) {
  scalar::AddToBins(frames, bins, totals, total_stride);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

// Vectors of 4 or 8 lanes of 32 bits, whatever the machine has beyond that.
template <typename T>
using Tag = hn::CappedTag<T, kBinFrames>;

// Rows of pixels to columns, in blocks of 4 x 4 within each 128-bit block.
template <class D, class V>
HWY_INLINE void TransposeBlocks(D d, V* row) {
  const hn::RepartitionToWide<D> d_wide;
  const auto low01 = hn::BitCast(d_wide, hn::InterleaveLower(d, row[0], row[1]));
  const auto low23 = hn::BitCast(d_wide, hn::InterleaveLower(d, row[2], row[3]));
  const auto high01 = hn::BitCast(d_wide, hn::InterleaveUpper(d, row[0], row[1]));
  const auto high23 = hn::BitCast(d_wide, hn::InterleaveUpper(d, row[2], row[3]));
  row[0] = hn::BitCast(d, hn::InterleaveLower(d_wide, low01, low23));
  row[1] = hn::BitCast(d, hn::InterleaveUpper(d_wide, low01, low23));
  row[2] = hn::BitCast(d, hn::InterleaveLower(d_wide, high01, high23));
  row[3] = hn::BitCast(d, hn::InterleaveUpper(d_wide, high01, high23));
}

// As many pixels as fit into each lane: transposing is what takes the time, and does not mind.
template <typename Pixel, class D>
HWY_INLINE hn::Vec<D> LoadPixels(D d, const Pixel* from) {
  return hn::BitCast(d, hn::LoadU(hn::Repartition<Pixel, D>(), from));
}

template <class D, typename Narrow>
HWY_INLINE void AddAt(D d, hn::Vec<D> column, Narrow* at) {
  hn::StoreU(hn::Add(hn::LoadU(d, at), column), d, at);
}

// The pixels of each lane, the lowest first, to their bins. `number`: of the first of them.
template <typename Pixel, size_t kTables, class D, typename Narrow>
HWY_INLINE void AddLanes(D d, hn::Vec<D> column, const uint32_t* bins, size_t number,
                         Narrow* sums) {
  constexpr size_t kPixelBytes = sizeof(Pixel);
  constexpr size_t kPacked = sizeof(Narrow) / kPixelBytes;
  const auto add = [&](hn::Vec<D> pixels, size_t i) HWY_ATTR {
    AddAt(d, pixels,
          sums + (size_t{bins[number + i]} * kTables + (number + i) % kTables) * kBinFrames);
  };
  if constexpr (kPacked == 1) {
    add(column, 0);
  } else {
    constexpr int kBits = 8 * kPixelBytes;
    const auto low = hn::Set(d, (Narrow{1} << kBits) - 1);
    add(hn::And(column, low), 0);
    if constexpr (kPacked == 4) {
      add(hn::And(hn::ShiftRight<kBits>(column), low), 1);
      add(hn::And(hn::ShiftRight<2 * kBits>(column), low), 2);
    }
    add(hn::ShiftRight<32 - kBits>(column), kPacked - 1);
  }
}

constexpr size_t kAheadBytes = 1536;
constexpr size_t kBytesOfTables = size_t{24} << 10;

// Of kBinFrames frames, or kFewer, of which the last one takes the place of those that are not
// there.
template <size_t kTables, bool kFewer, typename Pixel, typename Narrow, typename Total>
HWY_NOINLINE void BinEightFrames(const FramePixels<Pixel>& frames, const uint32_t* bins,
                                 const BinTable<Narrow>& table, Total* totals,
                                 size_t total_stride) {
  const Pixel* const first = frames.first;
  const size_t pixels = frames.pixels;
  const auto offset_of = [&frames](size_t f) {
    return (kFewer ? std::min(f, frames.frames - 1) : f) * frames.frame_stride;
  };
  constexpr Tag<Narrow> d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  static_assert(kLanes == 4 || kLanes == 8);
  std::fill_n(table.sums, kTables * table.bins * kBinFrames, Narrow{0});
  constexpr size_t kPixelBytes = sizeof(Pixel);
  constexpr size_t kPacked = sizeof(Narrow) / kPixelBytes;
  size_t p = 0;
  for (; p + kLanes * kPacked <= pixels; p += kLanes * kPacked) {
    // With 4 lanes the frames come in two halves.
    for (size_t half = 0; half < kBinFrames; half += kLanes) {
      Narrow* const sums = table.sums + half;
      hn::Vec<decltype(d)> row[kLanes];
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kLanes; ++f) {
        const Pixel* const from = first + offset_of(half + f) + p;
        PrefetchToL2(from + kAheadBytes / sizeof(Pixel));
        row[f] = LoadPixels(d, from);
      }
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kLanes; f += 4) TransposeBlocks(d, row + f);
      PENSTOCK_UNROLL
      for (size_t j = 0; j < 4; ++j) {
        if constexpr (kLanes == 4) {
          AddLanes<Pixel, kTables>(d, row[j], bins + p, j * kPacked, sums);
        } else {
          AddLanes<Pixel, kTables>(d, hn::ConcatLowerLower(d, row[4 + j], row[j]), bins + p,
                                   j * kPacked, sums);
          AddLanes<Pixel, kTables>(d, hn::ConcatUpperUpper(d, row[4 + j], row[j]), bins + p,
                                   (4 + j) * kPacked, sums);
        }
      }
    }
  }
  for (size_t bin = 0; bin < table.bins; ++bin) {
    for (size_t f = 0; f < (kFewer ? frames.frames : kBinFrames); ++f) {
      const Narrow* const at = table.sums + bin * kTables * kBinFrames + f;
      Total total{0};
      for (size_t t = 0; t < kTables; ++t) total += static_cast<Total>(at[t * kBinFrames]);
      totals[f * total_stride + bin] += total;
    }
  }
  scalar::AddToBins(FramePixels<Pixel>{first + p, frames.frame_stride, frames.frames, pixels - p},
                    bins + p, totals, total_stride);
}

template <typename Pixel, typename Narrow, typename Total>
void Bin(const FramePixels<Pixel>& frames, const uint32_t* bins, const BinTable<Narrow>& table,
         Total* totals, size_t total_stride) {
  const size_t fit = kBytesOfTables / (table.bins * kBinFrames * sizeof(Narrow));
  const auto bin_eight_frames = fit >= 8   ? BinEightFrames<8, false, Pixel, Narrow, Total>
                                : fit >= 4 ? BinEightFrames<4, false, Pixel, Narrow, Total>
                                           : BinEightFrames<2, false, Pixel, Narrow, Total>;
  size_t f = 0;
  for (; f < frames.frames; f += kBinFrames) {
    const FramePixels<Pixel> some{frames.first + f * frames.frame_stride, frames.frame_stride,
                                  std::min(kBinFrames, frames.frames - f), frames.pixels};
    // Emptying the table and adding it up has to pay; one frame is as quick by itself.
    if (frames.pixels < table.bins || some.frames == 1) {
      scalar::AddToBins(some, bins, totals + f * total_stride, total_stride);
    } else if (some.frames == kBinFrames) {
      bin_eight_frames(some, bins, table, totals + f * total_stride, total_stride);
    } else {
      BinEightFrames<2, true>(some, bins, table, totals + f * total_stride, total_stride);
    }
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

void BinU8(const FramePixels<uint8_t>& frames, const uint32_t* bins,
           const BinTable<uint32_t>& table, int64_t* totals, size_t total_stride) {
  Bin(frames, bins, table, totals, total_stride);
}
void BinU16(const FramePixels<uint16_t>& frames, const uint32_t* bins,
            const BinTable<uint32_t>& table, int64_t* totals, size_t total_stride) {
  Bin(frames, bins, table, totals, total_stride);
}
void BinF32(const FramePixels<float>& frames, const uint32_t* bins, const BinTable<float>& table,
            double* totals, size_t total_stride) {
  Bin(frames, bins, table, totals, total_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(BinU8);
HWY_EXPORT(BinU16);
HWY_EXPORT(BinF32);

void AddToBins(const FramePixels<uint8_t>& frames, const uint32_t* bins,
               const BinTable<uint32_t>& table, int64_t* totals, size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(BinU8)(frames, bins, table, totals, total_stride);
}
void AddToBins(const FramePixels<uint16_t>& frames, const uint32_t* bins,
               const BinTable<uint32_t>& table, int64_t* totals, size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(BinU16)(frames, bins, table, totals, total_stride);
}
void AddToBins(const FramePixels<float>& frames, const uint32_t* bins, const BinTable<float>& table,
               double* totals, size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(BinF32)(frames, bins, table, totals, total_stride);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
