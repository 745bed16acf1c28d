#include "reader/kernels/region_runs.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/region_runs.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/prefetch.h"
#include "reader/kernels/unroll.h"
#include "reader/kernels/vnni-inl.h"
#include "reader/kernels/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_AVX3

bool Quick() { return false; }

template <typename Pixel>
void RunsOfPixels(const FramePixels<Pixel>& frames, const RegionRuns& runs, int64_t* lanes,
                  size_t lane_stride) {
  constexpr int64_t kBias = sizeof(Pixel) == 2 ? 32768 : 0;
  constexpr size_t kPixels = kRunVectorBytes / sizeof(Pixel);
  for (size_t f = 0; f < frames.frames; ++f) {
    const RunStep* step = runs.steps;
    for (size_t r = 0; r < runs.run_count; ++r) {
      int64_t* const to = lanes + (f * lane_stride + runs.runs[r].region) * 8;
      for (const RunStep* const end = step + runs.runs[r].steps; step != end; ++step) {
        const Pixel* const pixels =
            frames.first + f * frames.frame_stride + step->offset / sizeof(Pixel);
        for (size_t i = 0; i < kPixels; ++i) {
          if ((step->selected >> i & 1) != 0) to[i % 8] += int64_t{pixels[i]} - kBias;
        }
      }
    }
  }
}

void RunsU8(const FramePixels<uint8_t>& frames, const RegionRuns& runs, int64_t* lanes,
            size_t lane_stride) {
  RunsOfPixels(frames, runs, lanes, lane_stride);
}
void RunsU16(const FramePixels<uint16_t>& frames, const RegionRuns& runs, int64_t* lanes,
             size_t lane_stride) {
  RunsOfPixels(frames, runs, lanes, lane_stride);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

bool Quick() { return true; }

template <typename T>
struct RunKernel {
  using Pixel = T;
  static constexpr hn::ScalableTag<T> d{};
  static constexpr hn::ScalableTag<int32_t> d_sum{};
  using Sum = hn::Vec<decltype(d_sum)>;
  using Selection = hn::Mask<decltype(d)>;

  static HWY_INLINE Selection Selected(const uint64_t* bits) {
    return hn::LoadMaskBits(d, reinterpret_cast<const uint8_t*>(bits));
  }
};

// The selected pixels of a vector, added to 16 sums; without VNNI in two instructions.
template <bool kVnni>
struct RunKernelU16 : RunKernel<uint16_t> {
  static constexpr hn::ScalableTag<int16_t> d_signed{};

  // Nothing of a pixel that is not selected, not even the bias.
  static HWY_INLINE Sum Add(Selection selected, const Pixel* at, Sum sum) {
    const auto biased = hn::Add(hn::LoadU(d, at), hn::Set(d, Pixel{0x8000}));
    const auto x = hn::BitCast(d_signed, hn::IfThenElseZero(selected, biased));
    const auto ones = hn::Set(d_signed, 1);
    if constexpr (kVnni) {
      AddProductsOfWords(x.raw, ones.raw, sum.raw);
      return sum;
    } else {
      auto other = hn::Zero(d_sum);
      return hn::Add(hn::ReorderWidenMulAccumulate(d_sum, x, ones, sum, other), other);
    }
  }
};

template <bool kVnni>
struct RunKernelU8 : RunKernel<uint8_t> {
  static HWY_INLINE Sum Add(Selection selected, const Pixel* at, Sum sum) {
    const auto x = hn::MaskedLoad(selected, d, at);
    if constexpr (kVnni) {
      const auto ones = hn::Set(d, 1);
      AddProductsOfBytes(x.raw, ones.raw, sum.raw);
      return sum;
    } else {
      return hn::Add(sum, hn::BitCast(d_sum, hn::SumsOf8(x)));
    }
  }
};

template <class Kernel, size_t kFrames>
HWY_NOINLINE void RunsOfFrames(const typename Kernel::Pixel* first, size_t frame_stride,
                               const RegionRuns& runs, int64_t* lanes, size_t lane_stride) {
  using Pixel = typename Kernel::Pixel;
  constexpr hn::ScalableTag<int64_t> d_wide;
  const RunStep* step = runs.steps;
  const RegionRun* const end_of_runs = runs.runs + runs.run_count;
  for (const RegionRun* run = runs.runs; run != end_of_runs; ++run) {
    typename Kernel::Sum sum[kFrames];
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) sum[f] = hn::Zero(Kernel::d_sum);
    for (const RunStep* const end = step + run->steps; step != end; ++step) {
      const auto selected = Kernel::Selected(&step->selected);
      const Pixel* const at = first + step->offset / sizeof(Pixel);
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        PrefetchToL2(at + f * frame_stride + kRunChunkVectors * kRunVectorBytes / sizeof(Pixel));
        sum[f] = Kernel::Add(selected, at + f * frame_stride, sum[f]);
      }
    }
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) {
      const hn::Half<decltype(Kernel::d_sum)> d_half;
      int64_t* const to = lanes + (f * lane_stride + run->region) * 8;
      const auto wide = hn::Add(hn::PromoteTo(d_wide, hn::LowerHalf(d_half, sum[f])),
                                hn::PromoteTo(d_wide, hn::UpperHalf(d_half, sum[f])));
      hn::Store(hn::Add(hn::Load(d_wide, to), wide), d_wide, to);
    }
  }
}

template <class Kernel>
HWY_INLINE void RunsOf(const FramePixels<typename Kernel::Pixel>& frames, const RegionRuns& runs,
                       int64_t* lanes, size_t lane_stride) {
  if (frames.frames == kRunFrames) {
    return RunsOfFrames<Kernel, kRunFrames>(frames.first, frames.frame_stride, runs, lanes,
                                            lane_stride);
  }
  for (size_t f = 0; f < frames.frames; ++f) {
    RunsOfFrames<Kernel, 1>(frames.first + f * frames.frame_stride, 0, runs,
                            lanes + f * lane_stride * 8, lane_stride);
  }
}

void RunsU8(const FramePixels<uint8_t>& frames, const RegionRuns& runs, int64_t* lanes,
            size_t lane_stride) {
  if (HasVnni()) return RunsOf<RunKernelU8<true> >(frames, runs, lanes, lane_stride);
  RunsOf<RunKernelU8<false> >(frames, runs, lanes, lane_stride);
}
void RunsU16(const FramePixels<uint16_t>& frames, const RegionRuns& runs, int64_t* lanes,
             size_t lane_stride) {
  if (HasVnni()) return RunsOf<RunKernelU16<true> >(frames, runs, lanes, lane_stride);
  RunsOf<RunKernelU16<false> >(frames, runs, lanes, lane_stride);
}

#endif  // HWY_TARGET != HWY_AVX3

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(RunsU8);
HWY_EXPORT(RunsU16);
HWY_EXPORT(Quick);

void AddRuns(const FramePixels<uint8_t>& frames, const RegionRuns& runs, int64_t* lanes,
             size_t lane_stride) {
  HWY_DYNAMIC_DISPATCH(RunsU8)(frames, runs, lanes, lane_stride);
}
void AddRunsBiased(const FramePixels<uint16_t>& frames, const RegionRuns& runs, int64_t* lanes,
                   size_t lane_stride) {
  HWY_DYNAMIC_DISPATCH(RunsU16)(frames, runs, lanes, lane_stride);
}
bool RegionRunsAreQuick() { return HWY_DYNAMIC_DISPATCH(Quick)(); }

}  // namespace penstock::kernels
#endif  // HWY_ONCE
