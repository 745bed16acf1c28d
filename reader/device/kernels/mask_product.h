// The product of frames and a stack of masks.
//
// A block keeps the weights of one chunk of pixels in shared memory and takes groups of frames past
// it: each thread loads 16 bytes of every frame of the group, and every weight that it then reads
// serves all of them. Sums stay in registers for the chunk; the threads' sums are added up in wide
// numbers, always in the same order.

#ifndef PENSTOCK_READER_DEVICE_KERNELS_MASK_PRODUCT_H_
#define PENSTOCK_READER_DEVICE_KERNELS_MASK_PRODUCT_H_

#include "reader/device/kernel_call.h"
#include "reader/device/kernels/execution.h"
#include "reader/device/kernels/intrinsics.h"
#include "reader/device/kernels/mask_layout.h"

namespace penstock::device_kernels {

template <typename AnyLayout>
struct MaskProduct {
  using Layout = AnyLayout;
  using Pixel = typename Layout::Pixel;
  using Weight = typename Layout::Weight;
  using Sum = typename Layout::Sum;
  using Total = typename Layout::Total;
  static constexpr int kThreads = Layout::kThreads;
  static constexpr int kFrames = Layout::kFrames;
  static constexpr int kMasks = Layout::kMasks;
  // What registers have to suffice for: 64 sums, and 8 times 16 bytes of pixels under way.
  static constexpr int kBlocksPerProcessor = Layout::kWide ? 4 : 3;
  // So many threads add up the sums of one mask.
  static constexpr int kLanes = kThreads / kMasks;
  static constexpr int64_t kMostGroupsPerBlock = 8;
  static constexpr int64_t kEnoughBlocks = 1024;

  static_assert(!Layout::kBytes || int64_t{Layout::kUnits / kThreads + 1} * Layout::kUnitPixels *
                                           ((int64_t{1} << (8 * sizeof(Pixel))) - 1) * 128 <=
                                       INT32_MAX,
                "the sums of a thread fit 32 bits");

  struct Shared {
    Vector16 weights[Layout::kVectors * Layout::kUnits];
    union {
      Sum sums[2][kMasks][kThreads];
      Total totals[kFrames][kThreads];
    };
  };
  struct Registers {
    Sum sums[kFrames][kMasks];
    Total totals[kFrames];
  };

  MaskProductCall call;

  int64_t groups() const { return DivideUp(call.frames.frame_count, kFrames); }
  GridShape grid() const {
    const int64_t others = call.chunks * call.mask_groups;
    const int64_t wanted = DivideUp(kEnoughBlocks, others);
    const int64_t least = DivideUp(groups(), kMostGroupsPerBlock);
    const int64_t slices = wanted > least ? wanted : least;
    return {call.chunks, slices < groups() ? slices : groups(), call.mask_groups};
  }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
    auto& shared = execution.shared();
    const int64_t chunk = execution.block().x;
    execution.EachThread([&](int thread, Registers&) { LoadWeights(execution, shared, thread); });
    const int64_t group_count = DivideUp(call.frames.frame_count, kFrames);
    for (int64_t group = execution.block().y; group < group_count; group += execution.blocks().y) {
      const int64_t first_frame = group * kFrames;
      execution.EachThread([&](int thread, Registers& mine) {
        Multiply(shared, mine, chunk, first_frame, thread);
        Give(shared, mine, 0, thread);
      });
      PENSTOCK_UNROLL
      for (int frame = 0; frame < kFrames; ++frame) {
        execution.EachThread([&](int thread, Registers& mine) {
          mine.totals[frame] = Take(shared, frame, thread);
          if (frame + 1 < kFrames) Give(shared, mine, frame + 1, thread);
        });
      }
      execution.EachThread([&](int thread, Registers& mine) {
        PENSTOCK_UNROLL
        for (int frame = 0; frame < kFrames; ++frame) {
          shared.totals[frame][thread] = mine.totals[frame];
        }
      });
      execution.EachThread([&](int thread, Registers&) {
        if (thread < kFrames * kMasks) Store(execution, shared, first_frame, thread);
      });
    }
  }

 private:
  template <typename Execution>
  PENSTOCK_ON_DEVICE void LoadWeights(const Execution& execution, Shared& shared,
                                      int thread) const {
    const auto* const from = reinterpret_cast<const Vector16*>(call.weights) +
                             (execution.block().z * call.chunks + execution.block().x) *
                                 Layout::kVectors * Layout::kUnits;
    for (int v = thread; v < Layout::kVectors * Layout::kUnits; v += kThreads) {
      shared.weights[v] = from[v];
    }
  }

  PENSTOCK_ON_DEVICE void Multiply(const Shared& shared, Registers& mine, int64_t chunk,
                                   int64_t first_frame, int thread) const {
    PENSTOCK_UNROLL
    for (int f = 0; f < kFrames; ++f) {
      PENSTOCK_UNROLL
      for (int m = 0; m < kMasks; ++m) mine.sums[f][m] = 0;
    }
    const int64_t frame_units = static_cast<int64_t>(call.frames.frame_stride / 16);
    const int64_t left = frame_units - chunk * Layout::kUnits;
    const int units = left < Layout::kUnits ? static_cast<int>(left) : Layout::kUnits;
    // Where the group has fewer frames, the last one stands for those behind it.
    const std::byte* frames[kFrames];
    PENSTOCK_UNROLL
    for (int f = 0; f < kFrames; ++f) {
      const int64_t last = call.frames.frame_count - 1;
      const int64_t frame = first_frame + f < last ? first_frame + f : last;
      frames[f] = call.frames.pixels + static_cast<size_t>(frame) * call.frames.frame_stride +
                  static_cast<size_t>(chunk) * Layout::kUnits * 16;
    }
    for (int unit = thread; unit < units; unit += kThreads) {
      Vector16 loaded[kFrames];
      PENSTOCK_UNROLL
      for (int f = 0; f < kFrames; ++f) {
        loaded[f] = LoadOnce(frames[f] + static_cast<size_t>(unit) * 16);
      }
      AddUnit(shared.weights + unit, loaded, mine);
    }
  }

  // `weights`: vector v of the unit is at v * kUnits.
  PENSTOCK_ON_DEVICE void AddUnit(const Vector16* weights, const Vector16 (&loaded)[kFrames],
                                  Registers& mine) const {
    if constexpr (Layout::kBytes) {
      PENSTOCK_UNROLL
      for (int v = 0; v < Layout::kVectors; ++v) {
        const Vector16 vector = weights[v * Layout::kUnits];
        const int four = v / (kMasks / 4);  // which four pixels
        PENSTOCK_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int mask = v % (kMasks / 4) * 4 + i;
          PENSTOCK_UNROLL
          for (int f = 0; f < kFrames; ++f) {
            mine.sums[f][mask] = AddFour(loaded[f], four, vector.words[i], mine.sums[f][mask]);
          }
        }
      }
    } else {
      constexpr int kPerVector = 16 / static_cast<int>(sizeof(Weight));
      PENSTOCK_UNROLL
      for (int v = 0; v < Layout::kVectors; ++v) {
        const Vector16 vector = weights[v * Layout::kUnits];
        const int pixel = v / (kMasks / kPerVector);
        PENSTOCK_UNROLL
        for (int i = 0; i < kPerVector; ++i) {
          const int mask = v % (kMasks / kPerVector) * kPerVector + i;
          const Sum weight = PixelOf<Weight>(vector, i);
          PENSTOCK_UNROLL
          for (int f = 0; f < kFrames; ++f) {
            mine.sums[f][mask] = MultiplyAdd(static_cast<Sum>(PixelOf<Pixel>(loaded[f], pixel)),
                                             weight, mine.sums[f][mask]);
          }
        }
      }
    }
  }

  PENSTOCK_ON_DEVICE static int32_t AddFour(const Vector16& loaded, int four, uint32_t weights,
                                            int32_t sum) {
    if constexpr (sizeof(Pixel) == 1) {
      return DotOfFour<Pixel>(loaded.words[four], weights, sum);
    } else {
      sum = DotOfTwo<Pixel, false>(loaded.words[2 * four], weights, sum);
      return DotOfTwo<Pixel, true>(loaded.words[2 * four + 1], weights, sum);
    }
  }

  // The sums of one frame, to the other threads; two frames are under way at a time.
  PENSTOCK_ON_DEVICE static void Give(Shared& shared, const Registers& mine, int frame,
                                      int thread) {
    PENSTOCK_UNROLL
    for (int m = 0; m < kMasks; ++m) shared.sums[frame % 2][m][thread] = mine.sums[frame][m];
  }

  PENSTOCK_ON_DEVICE static Total Take(const Shared& shared, int frame, int thread) {
    const int mask = thread / kLanes;
    Total total = 0;
    PENSTOCK_UNROLL
    for (int t = thread % kLanes; t < kThreads; t += kLanes) {
      total += static_cast<Total>(shared.sums[frame % 2][mask][t]);
    }
    return total;
  }

  template <typename Execution>
  PENSTOCK_ON_DEVICE void Store(const Execution& execution, const Shared& shared,
                                int64_t first_frame, int thread) const {
    const int64_t frame = first_frame + thread / kMasks;
    if (frame >= call.frames.frame_count) return;
    const int mask = thread % kMasks;
    Total total = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      total += shared.totals[thread / kMasks][mask * kLanes + lane];
    }
    const int64_t masks = call.mask_groups * kMasks;
    const int64_t row = frame * masks + execution.block().z * kMasks + mask;
    reinterpret_cast<Total*>(call.partials)[row * call.chunks + execution.block().x] = total;
  }
};

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_DEVICE_KERNELS_MASK_PRODUCT_H_
