// For four frames at once: each step loads a vector of each, keeps the pixels of the region and
// adds them to the region's vector, which lies in the L1 cache. The four chains hide that the next
// step may need what this one has just stored.

#include "reader/kernels/region_sums.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/region_sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/prefetch.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
inline constexpr size_t kPerVector = kRegionVectorBytes / sizeof(T);

#if HWY_TARGET == HWY_SCALAR

// The same lanes in the same order.
struct SelectU8 {
  using Pixel = uint8_t;
  using Narrow = uint64_t;
  static void Step(const Pixel* pixels, const Pixel* selection, Narrow* sums) {
    for (size_t i = 0; i < kPerVector<Pixel>; ++i) sums[i / 8] += pixels[i] & selection[i];
  }
};
struct SelectU16 {
  using Pixel = uint16_t;
  using Narrow = int32_t;
  static void Step(const Pixel* pixels, const Pixel* selection, Narrow* sums) {
    for (size_t i = 0; i < kPerVector<Pixel>; ++i) {
      sums[i / 2] += (int32_t{pixels[i]} - 32768) * selection[i];
    }
  }
};
struct SelectF32 {
  using Pixel = float;
  using Narrow = float;
  static void Step(const Pixel* pixels, const Pixel* selection, Narrow* sums) {
    for (size_t i = 0; i < kPerVector<Pixel>; ++i) {
      uint32_t bits;
      std::memcpy(&bits, selection + i, sizeof bits);
      if (bits != 0) sums[i] += pixels[i];
    }
  }
};

#else

// Step adds the vector at `pixels` to the one at `sums`, in as many parts as this machine needs.
struct SelectU8 {
  using Pixel = uint8_t;
  using Narrow = uint64_t;
  static HWY_INLINE void Step(const Pixel* pixels, const Pixel* selection, Narrow* sums) {
    constexpr hn::CappedTag<Pixel, kPerVector<Pixel> > d;
    constexpr hn::CappedTag<Narrow, kPerVector<Narrow> > d_sum;
    PENSTOCK_UNROLL
    for (size_t i = 0; i < kPerVector<Pixel>; i += hn::MaxLanes(d)) {
      const auto kept = hn::And(hn::LoadU(d, pixels + i), hn::LoadU(d, selection + i));
      Narrow* const at = sums + i / 8;
      hn::StoreU(hn::Add(hn::LoadU(d_sum, at), hn::SumsOf8(kept)), d_sum, at);
    }
  }
};

// The multiply-add of signed 16-bit values takes two pixels per lane.
struct SelectU16 {
  using Pixel = uint16_t;
  using Narrow = int32_t;
  static HWY_INLINE void Step(const Pixel* pixels, const Pixel* selection, Narrow* sums) {
    constexpr hn::CappedTag<Pixel, kPerVector<Pixel> > d;
    constexpr hn::CappedTag<int16_t, kPerVector<Pixel> > d_signed;
    constexpr hn::CappedTag<Narrow, kPerVector<Narrow> > d_sum;
    PENSTOCK_UNROLL
    for (size_t i = 0; i < kPerVector<Pixel>; i += hn::MaxLanes(d)) {
      const auto x =
          hn::BitCast(d_signed, hn::Xor(hn::LoadU(d, pixels + i), hn::Set(d, Pixel{0x8000})));
      const auto kept = hn::BitCast(d_signed, hn::LoadU(d, selection + i));
      Narrow* const at = sums + i / 2;
      auto other = hn::Zero(d_sum);
      const auto sum = hn::ReorderWidenMulAccumulate(d_sum, x, kept, hn::LoadU(d_sum, at), other);
      hn::StoreU(hn::Add(sum, other), d_sum, at);
    }
  }
};

struct SelectF32 {
  using Pixel = float;
  using Narrow = float;
  static HWY_INLINE void Step(const Pixel* pixels, const Pixel* selection, Narrow* sums) {
    constexpr hn::CappedTag<float, kPerVector<float> > d;
    PENSTOCK_UNROLL
    for (size_t i = 0; i < kPerVector<float>; i += hn::MaxLanes(d)) {
      const auto kept = hn::And(hn::LoadU(d, pixels + i), hn::LoadU(d, selection + i));
      hn::StoreU(hn::Add(hn::LoadU(d, sums + i), kept), d, sums + i);
    }
  }
};

#endif  // HWY_TARGET == HWY_SCALAR

template <class Kernel, size_t kFrames, typename Total>
HWY_NOINLINE void RegionsOfFrames(const typename Kernel::Pixel* first, size_t frame_stride,
                                  const RegionSteps<typename Kernel::Pixel> plan, Total* sums,
                                  size_t sum_stride) {
  using Pixel = typename Kernel::Pixel;
  using Narrow = typename Kernel::Narrow;
  constexpr size_t kLanes = kPerVector<Narrow>;
  // Not through the plan, which the table's values might alias.
  const RegionStep* const steps = plan.steps;
  const size_t step_count = plan.step_count;
  const Pixel* const selections = plan.selections;
  Narrow* const table = reinterpret_cast<Narrow*>(plan.table);
  first -= plan.first_vector * kPerVector<Pixel>;
  std::fill_n(table, plan.regions * kFrames * kLanes, Narrow{0});
  for (size_t s = 0; s < step_count; ++s) {
    const RegionStep step = steps[s];
    const size_t at = step.vector * kPerVector<Pixel>;
    const size_t ahead = steps[s + kRegionStepsAhead].vector * kPerVector<Pixel>;
    const Pixel* const selection = selections + step.selection * kPerVector<Pixel>;
    Narrow* const region = table + step.region * kFrames * kLanes;
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) {
      const Pixel* const frame = first + f * frame_stride;
      PrefetchToL2(frame + ahead);
      Kernel::Step(frame + at, selection, region + f * kLanes);
    }
  }
  for (size_t region = 0; region < plan.regions; ++region) {
    for (size_t f = 0; f < kFrames; ++f) {
      const Narrow* const lanes = table + (region * kFrames + f) * kLanes;
      Total total{0};
      for (size_t lane = 0; lane < kLanes; ++lane) total += static_cast<Total>(lanes[lane]);
      sums[f * sum_stride + region] += total;
    }
  }
}

template <class Kernel, typename Total>
void Regions(const FramePixels<typename Kernel::Pixel>& frames,
             const RegionSteps<typename Kernel::Pixel>& plan, Total* sums, size_t sum_stride) {
  size_t f = 0;
  for (; f + kRegionFrames <= frames.frames; f += kRegionFrames) {
    RegionsOfFrames<Kernel, kRegionFrames>(frames.first + f * frames.frame_stride,
                                           frames.frame_stride, plan, sums + f * sum_stride,
                                           sum_stride);
  }
  for (; f < frames.frames; ++f) {
    RegionsOfFrames<Kernel, 1>(frames.first + f * frames.frame_stride, frames.frame_stride, plan,
                               sums + f * sum_stride, sum_stride);
  }
}

void RegionsU8(const FramePixels<uint8_t>& frames, const RegionSteps<uint8_t>& steps, int64_t* sums,
               size_t sum_stride) {
  Regions<SelectU8>(frames, steps, sums, sum_stride);
}
void RegionsU16(const FramePixels<uint16_t>& frames, const RegionSteps<uint16_t>& steps,
                int64_t* sums, size_t sum_stride) {
  Regions<SelectU16>(frames, steps, sums, sum_stride);
}
void RegionsF32(const FramePixels<float>& frames, const RegionSteps<float>& steps, double* sums,
                size_t sum_stride) {
  Regions<SelectF32>(frames, steps, sums, sum_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(RegionsU8);
HWY_EXPORT(RegionsU16);
HWY_EXPORT(RegionsF32);

void AddToRegions(const FramePixels<uint8_t>& frames, const RegionSteps<uint8_t>& steps,
                  int64_t* sums, size_t sum_stride) {
  HWY_DYNAMIC_DISPATCH(RegionsU8)(frames, steps, sums, sum_stride);
}
void AddToRegionsBiased(const FramePixels<uint16_t>& frames, const RegionSteps<uint16_t>& steps,
                        int64_t* sums, size_t sum_stride) {
  HWY_DYNAMIC_DISPATCH(RegionsU16)(frames, steps, sums, sum_stride);
}
void AddToRegions(const FramePixels<float>& frames, const RegionSteps<float>& steps, double* sums,
                  size_t sum_stride) {
  HWY_DYNAMIC_DISPATCH(RegionsF32)(frames, steps, sums, sum_stride);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
