// The loop that all mask kernels share; included once per instruction set.
//
// Register block: 4 frames x up to 4 masks. Four frames are read side by side with software
// prefetch, which keeps more cache misses under way than one linear read does. A stack of masks is
// larger than a frame, so that its values would cost more of the way to memory than the pixels: the
// pixels are cut into chunks whose mask values stay in the L1 cache while eight frames and every
// group of masks pass over them; meanwhile the pixels that come next are fetched into the L2 cache
// (into the L1 cache, where frames of 2^n bytes meet in the same sets, they would drive out the
// mask values). Narrow accumulators (int32, float32) are widened before they lose anything; the
// wide ones live in an array over all chunks and are added up across their lanes once per call.

#if defined(PENSTOCK_READER_KERNELS_MASK_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_MASK_PRODUCT_INL_H_
#undef PENSTOCK_READER_KERNELS_MASK_PRODUCT_INL_H_
#else
#define PENSTOCK_READER_KERNELS_MASK_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "reader/kernels/kernels.h"
#include "reader/kernels/prefetch.h"
#include "reader/kernels/scalar_kernels.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

// A Kernel has: Pixel, MaskValue, Total (of the result); tags `d_narrow`, `d_wide` of the
// accumulators; Lanes() pixels per step; LoadPixels, LoadMask, MultiplyAdd on narrow accumulators,
// AddWidened(wide, narrow), Scalar(pixel, mask value) for the pixels of the last partial step;
// MaximumSteps() before the narrow accumulator has to be widened; kConverts where LoadPixels does
// more than to load.

inline constexpr size_t kFrameBlock = 4;
inline constexpr size_t kFrameGroup = 8;  // frames that share a chunk of the masks
inline constexpr size_t kMaskBlock = 4;
inline constexpr size_t kMaskBatch = 64;  // masks per pass over the pixels
// Of pixels, per chunk: with one group of masks little enough to leave the L1 cache to the masks,
// with several enough for the way of the sums into registers and back.
inline constexpr size_t kChunkBytes = 512;
inline constexpr size_t kChunkBytesOfGroups = 1024;

template <class Kernel>
using WideLane = hn::TFromD<decltype(Kernel::d_wide)>;

// AVX2 and older have 16 vector registers, less than 4 x 4 sums and what goes into them.
inline constexpr bool kFewRegisters = HWY_TARGET >= HWY_AVX2 && HWY_ARCH_X86;

// What to fetch ahead: of `frames` frames from `next` on those numbered pass, pass + passes, ...
// (modulo their number, a power of two), so that all passes over a chunk together fetch the next.
template <class Kernel>
struct Prefetch {
  const typename Kernel::Pixel* next;  // what comes after this chunk of these frames
  size_t frames;
  size_t pass;
  size_t passes;
};

template <class Kernel>
using NarrowLane = hn::TFromD<decltype(Kernel::d_narrow)>;

// Otherwise g++ reads each weight from memory once more for every frame.
template <class V>
HWY_INLINE V KeptInRegister(V vector) {
#if HWY_ARCH_X86 && HWY_COMPILER_GCC && !HWY_COMPILER_CLANG
  auto raw = vector.raw;
  __asm__("" : "+x"(raw));
  return V{raw};
#else
  return vector;
#endif
}

// Adds to the narrow sums of kFrames x kMasks, in rows of `sum_stride`; no more than they can take.
template <class Kernel, size_t kFrames, size_t kMasks>
HWY_INLINE void ProductBlock(const Kernel& kernel, const typename Kernel::Pixel* first,
                             size_t frame_stride, const typename Kernel::MaskValue* const* masks,
                             size_t begin, size_t steps, const Prefetch<Kernel>& prefetch,
                             NarrowLane<Kernel>* sums, size_t sum_stride) {
  constexpr auto d_narrow = Kernel::d_narrow;
  using Narrow = hn::Vec<decltype(d_narrow)>;
  const size_t lanes = kernel.Lanes();
  const size_t narrow_lanes = hn::Lanes(d_narrow);
  const typename Kernel::Pixel* frame[kFrames];
  const typename Kernel::MaskValue* mask[kMasks];
  // Every step prefetches for every frame, without a branch, which would make g++ spill registers:
  // what is not due is fetched twice.
  const typename Kernel::Pixel* ahead[kFrames];
  for (size_t f = 0; f < kFrames; ++f) {
    frame[f] = first + f * frame_stride + begin;
    const size_t frame_ahead = (prefetch.pass + f * prefetch.passes) & (prefetch.frames - 1);
    ahead[f] = prefetch.next + frame_ahead * frame_stride;
  }
  for (size_t k = 0; k < kMasks; ++k) mask[k] = masks[k] + begin;

  Narrow sum[kFrames][kMasks];
  PENSTOCK_UNROLL
  for (size_t f = 0; f < kFrames; ++f) {
    PENSTOCK_UNROLL
    for (size_t k = 0; k < kMasks; ++k) {
      sum[f][k] = hn::Load(d_narrow, sums + (f * sum_stride + k) * narrow_lanes);
    }
  }
  for (size_t step = 0; step < steps; ++step) {
    typename Kernel::MaskVector weight[kMasks];
    PENSTOCK_UNROLL
    for (size_t k = 0; k < kMasks; ++k) {
      weight[k] = KeptInRegister(kernel.LoadMask(mask[k] + step * lanes));
    }
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) {
      PrefetchToL2(ahead[f] + step * lanes);
      const auto x = kernel.LoadPixels(frame[f] + step * lanes);
      PENSTOCK_UNROLL
      for (size_t k = 0; k < kMasks; ++k) {
        sum[f][k] = kernel.MultiplyAdd(x, weight[k], sum[f][k]);
      }
    }
  }
  PENSTOCK_UNROLL
  for (size_t f = 0; f < kFrames; ++f) {
    PENSTOCK_UNROLL
    for (size_t k = 0; k < kMasks; ++k) {
      hn::Store(sum[f][k], d_narrow, sums + (f * sum_stride + k) * narrow_lanes);
    }
  }
}

template <class Kernel, size_t kFrames>
HWY_INLINE void ProductGroup(const Kernel& kernel, size_t masks_in_group, bool in_halves,
                             const typename Kernel::Pixel* first, size_t frame_stride,
                             const typename Kernel::MaskValue* const* masks, size_t begin,
                             size_t steps, Prefetch<Kernel> prefetch, NarrowLane<Kernel>* sums,
                             size_t sum_stride) {
  switch (masks_in_group) {
    case 1:
      return ProductBlock<Kernel, kFrames, 1>(kernel, first, frame_stride, masks, begin, steps,
                                              prefetch, sums, sum_stride);
    case 2:
      return ProductBlock<Kernel, kFrames, 2>(kernel, first, frame_stride, masks, begin, steps,
                                              prefetch, sums, sum_stride);
    case 3:
      return ProductBlock<Kernel, kFrames, 3>(kernel, first, frame_stride, masks, begin, steps,
                                              prefetch, sums, sum_stride);
    default:
      break;
  }
  if constexpr (kFewRegisters && kFrames % 2 == 0) {
    for (size_t f = 0; in_halves && f < kFrames; f += 2) {
      ProductBlock<Kernel, 2, 4>(kernel, first + f * frame_stride, frame_stride, masks, begin,
                                 steps, prefetch,
                                 sums + f * sum_stride * hn::Lanes(Kernel::d_narrow), sum_stride);
      ++prefetch.pass;
    }
    if (in_halves) return;
  }
  ProductBlock<Kernel, kFrames, 4>(kernel, first, frame_stride, masks, begin, steps, prefetch, sums,
                                   sum_stride);
}

// kFrames frames, at most kMaskBatch masks.
template <class Kernel, size_t kFrames>
HWY_NOINLINE void ProductOfFrames(const Kernel& kernel, const typename Kernel::Pixel* first,
                                  size_t frame_stride, size_t pixels,
                                  const typename Kernel::MaskValue* const* masks, size_t mask_count,
                                  typename Kernel::Total* totals, size_t total_stride) {
  constexpr size_t kBlock = std::min(kFrames, kFrameBlock);
  constexpr auto d_wide = Kernel::d_wide;
  using Wide = WideLane<Kernel>;
  const size_t lanes = kernel.Lanes();
  const size_t wide_lanes = hn::Lanes(d_wide);
  const size_t narrow_lanes = hn::Lanes(Kernel::d_narrow);
  const size_t groups = (mask_count + kMaskBlock - 1) / kMaskBlock;
  // A single group of a kernel that does little waits for memory either way.
  const bool computes = groups > 1 || (mask_count == kMaskBlock && Kernel::kConverts);
  const size_t passes_of_group = kFewRegisters && kBlock > 1 && computes ? 2 : 1;

  HWY_ALIGN Wide wide[kFrames * kMaskBatch * hn::MaxLanes(d_wide)];
  std::fill_n(wide, kFrames * mask_count * wide_lanes, Wide{0});
  HWY_ALIGN NarrowLane<Kernel> narrow[kFrames * kMaskBatch * hn::MaxLanes(Kernel::d_narrow)];
  std::fill_n(narrow, kFrames * mask_count * narrow_lanes, NarrowLane<Kernel>{0});
  const auto widen = [&] {
    for (size_t i = 0; i < kFrames * mask_count; ++i) {
      const auto sums = hn::Load(Kernel::d_narrow, narrow + i * narrow_lanes);
      const auto total = hn::Load(d_wide, wide + i * wide_lanes);
      hn::Store(kernel.AddWidened(total, sums), d_wide, wide + i * wide_lanes);
      hn::Store(hn::Zero(Kernel::d_narrow), Kernel::d_narrow, narrow + i * narrow_lanes);
    }
  };

  const size_t all_steps = pixels / lanes;
  const size_t chunk_bytes = groups > 1 ? kChunkBytesOfGroups : kChunkBytes;
  const size_t chunk_steps = chunk_bytes / (lanes * sizeof(typename Kernel::Pixel));
  size_t room = kernel.MaximumSteps();  // in the narrow sums
  for (size_t step = 0; step < all_steps;) {
    const size_t steps = std::min({chunk_steps, all_steps - step, room});
    for (size_t f = 0; f < kFrames; f += kBlock) {
      const bool next_chunk = f + kBlock == kFrames;
      const bool next_frames = next_chunk && step + steps == all_steps;
      const typename Kernel::Pixel* const next =
          next_frames  ? first + kFrames * frame_stride
          : next_chunk ? first + (step + steps) * lanes
                       : first + (f + kBlock) * frame_stride + step * lanes;
      for (size_t group = 0; group < groups; ++group) {
        ProductGroup<Kernel, kBlock>(
            kernel, std::min(kMaskBlock, mask_count - group * kMaskBlock), passes_of_group > 1,
            first + f * frame_stride, frame_stride, masks + group * kMaskBlock, step * lanes, steps,
            {next, kBlock, group * passes_of_group, groups * passes_of_group},
            narrow + (f * mask_count + group * kMaskBlock) * narrow_lanes, mask_count);
      }
    }
    step += steps;
    room -= steps;
    if (room == 0) {
      widen();
      room = kernel.MaximumSteps();
    }
  }
  widen();

  for (size_t f = 0; f < kFrames; ++f) {
    const typename Kernel::Pixel* const frame = first + f * frame_stride;
    for (size_t k = 0; k < mask_count; ++k) {
      const auto lane_sums = hn::Load(d_wide, wide + (f * mask_count + k) * wide_lanes);
      auto total =
          static_cast<typename Kernel::Total>(hn::GetLane(hn::SumOfLanes(d_wide, lane_sums)));
      for (size_t p = all_steps * lanes; p < pixels; ++p) {
        total += kernel.Scalar(frame[p], masks[k][p]);
      }
      totals[f * total_stride + k] += total;
    }
  }
}

template <class Kernel>
HWY_INLINE void Product(const Kernel& kernel, const FramePixels<typename Kernel::Pixel>& frames,
                        const MaskRun<typename Kernel::MaskValue, typename Kernel::Total>& run) {
  for (size_t batch = 0; batch < run.mask_count; batch += kMaskBatch) {
    const size_t masks = std::min(kMaskBatch, run.mask_count - batch);
    size_t f = 0;
    const auto take = [&]<size_t kFrames>(std::integral_constant<size_t, kFrames>) HWY_ATTR {
      for (; f + kFrames <= frames.frames; f += kFrames) {
        ProductOfFrames<Kernel, kFrames>(
            kernel, frames.first + f * frames.frame_stride, frames.frame_stride, frames.pixels,
            run.masks + batch, masks, run.totals + f * run.total_stride + batch, run.total_stride);
      }
    };
    take(std::integral_constant<size_t, kFrameGroup>());
    take(std::integral_constant<size_t, kFrameBlock>());
    take(std::integral_constant<size_t, 1>());
  }
}

// The two halves of an int32 or float32 vector, added into the vector of twice the width.
template <class DWide, class VWide, class VNarrow>
HWY_INLINE VWide AddHalves(DWide d_wide, VWide wide, VNarrow narrow) {
  const hn::Half<hn::DFromV<VNarrow>> d_half;
  wide = hn::Add(wide, hn::PromoteTo(d_wide, hn::LowerHalf(d_half, narrow)));
  return hn::Add(wide, hn::PromoteTo(d_wide, hn::UpperHalf(d_half, narrow)));
}

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
