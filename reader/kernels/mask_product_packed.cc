// The loop differs from that of the other mask kernels: frames lie anywhere, four of them are taken
// to their ends before the next, so that the processor's own fetching ahead is on its way for long,
// and masks that are 0 in a chunk take no part in it.

#include <algorithm>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/mask_product_packed.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/mask_kernels-inl.h"
#include "reader/kernels/packed_loaders-inl.h"
#include "reader/kernels/packed_product.h"
#include "reader/kernels/unroll.h"
#include "reader/kernels/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

// Weights are small enough that sums are widened every 300 steps at most.
constexpr int32_t kLargestScaledWeight = 64;

#if HWY_TARGET == HWY_SCALAR

MaskForm BestForm(int32_t, bool) { return MaskForm::kPlain; }

void WeighPacked(std::span<const PackedRun> runs, size_t frame_count, const PackedMasks& masks,
                 int64_t* totals, size_t total_stride) {
  scalar::PackedMaskProduct(runs, frame_count, masks, totals, total_stride);
}

#else

constexpr hn::ScalableTag<int16_t> kPixelTag{};
constexpr hn::ScalableTag<int32_t> kSumTag{};
constexpr size_t kFramesAtOnce = 4;
constexpr size_t kMasksAtOnce = kFewRegisters ? 2 : 4;

HWY_INLINE size_t Lanes() { return hn::Lanes(kPixelTag); }
HWY_INLINE size_t StepBytes() { return Lanes() / 2 * 3; }

// What a loader has made of pixels before.
struct LoadedPixels {
  HWY_INLINE PackedPixels Load(const uint8_t* from) const {
    return hn::LoadU(kPixelTag, reinterpret_cast<const int16_t*>(from));
  }
};

// Weights as they are stored: Load makes a vector of those of a step.
struct StoredWeights {
  using Value = int16_t;
  static constexpr size_t kPixelsOfValue = 1;

  static const Value* First(const MaskChunk& chunk) { return chunk.values; }
  static size_t Stride(const MaskChunk& chunk) { return chunk.pixels; }
  static int64_t Of(const Value* values, size_t pixel) { return values[pixel]; }
  HWY_INLINE PackedPixels Load(const Value* from) const { return hn::LoadU(kPixelTag, from); }
};

#if PENSTOCK_KERNELS_WITH_VNNI
// For the pixels of ScaledLoader. A mask for large frames stays in the cache so.
class BitWeights {
 public:
  using Value = uint32_t;
  static constexpr size_t kPixelsOfValue = 32;

  // Not where the member is: what the compiler makes itself knows no instruction set.
  BitWeights() { ones_ = _mm512_set1_epi32(1 << 16 | kEvenScale); }

  static const Value* First(const MaskChunk& chunk) { return chunk.bits; }
  static size_t Stride(const MaskChunk& chunk) { return chunk.words_of_bits(); }
  static int64_t Of(const Value* values, size_t pixel) {
    const int64_t selected = values[pixel / 32] >> (pixel % 32) & 1;
    return pixel % 2 == 0 ? kEvenScale * selected : selected;
  }
  HWY_INLINE PackedPixels Load(const Value* from) const {
    return PackedPixels{_mm512_maskz_mov_epi16(*from, ones_)};
  }

 private:
  __m512i ones_;
};
#endif

// Of some steps of a chunk: where the masks begin, and how far apart they are.
template <class Value>
struct MaskSteps {
  const Value* values;
  size_t stride;
  const uint16_t* numbers;
  size_t count;
};

// The sums of a call for up to kFramesAtOnce frames.
template <class Weigh, class Loader, class Weights>
class PackedSums {
  using Value = typename Weights::Value;
  using Steps = MaskSteps<Value>;

 public:
  PackedSums(const Weigh& weigh, std::span<const PackedRun> runs, const PackedMasks& masks)
      : weigh_(weigh), loader_(0), last_loader_(UnusedBytes()), runs_(runs), masks_(masks) {
    for (const PackedRun& run : runs) {
      for (const MaskChunk& chunk : run.chunks) {
        for (size_t k = 0; k < chunk.mask_count; ++k) used_ |= uint64_t{1} << chunk.masks[k];
      }
    }
  }

  // `first`: of kFrames frames. totals[frame * stride + mask] gets the sums.
  template <size_t kFrames>
  HWY_NOINLINE void Add(size_t first, int64_t* totals, size_t stride) {
    ForUsed<kFrames>([&](size_t f, size_t mask) HWY_ATTR {
      hn::Store(hn::Zero(kSumTag), kSumTag, Sum(f, mask));
      wide_[f][mask] = 0;
    });
    room_ = weigh_.MaximumSteps();
    for (const PackedRun& run : runs_) {
      for (const MaskChunk& chunk : run.chunks) AddChunk<kFrames>(run, first, chunk);
    }
    Widen<kFrames>();
    ForUsed<kFrames>([&](size_t f, size_t mask) HWY_ATTR {
      int64_t sum = wide_[f][mask];
      if constexpr (Loader::kScales) sum = (sum + 32768 * masks_.odd_sums[mask]) / kEvenScale;
      totals[(first + f) * stride + mask] += sum;
    });
  }

 private:
  int32_t* Sum(size_t frame, size_t mask) {
    return sums_ + (frame * PackedMasks::kMost + mask) * hn::Lanes(kSumTag);
  }

  static HWY_INLINE size_t ValuesOf(size_t steps) {
    return steps * Lanes() / Weights::kPixelsOfValue;
  }

  template <size_t kFrames, class Do>
  HWY_INLINE void ForUsed(Do&& act) {
    for (uint64_t left = used_; left != 0; left &= left - 1) {
      const auto mask = static_cast<size_t>(__builtin_ctzll(left));
      for (size_t f = 0; f < kFrames; ++f) act(f, mask);
    }
  }

  template <size_t kFrames>
  HWY_INLINE void Widen() {
    constexpr hn::ScalableTag<int64_t> d64;
    ForUsed<kFrames>([&](size_t f, size_t mask) HWY_ATTR {
      int32_t* const sum = Sum(f, mask);
      const auto wide = AddHalves(d64, hn::Zero(d64), hn::Load(kSumTag, sum));
      wide_[f][mask] += hn::GetLane(hn::SumOfLanes(d64, wide));
      hn::Store(hn::Zero(kSumTag), kSumTag, sum);
    });
  }

  template <size_t kFrames>
  HWY_INLINE void AddChunk(const PackedRun& run, size_t first, const MaskChunk& chunk) {
    const size_t all_steps = chunk.pixels / Lanes();
    for (size_t step = 0; step < all_steps;) {
      const size_t steps = std::min(all_steps - step, room_);
      AddSteps<kFrames>(run, first, chunk, step, steps);
      step += steps;
      room_ -= steps;
      if (room_ > 0) continue;
      Widen<kFrames>();
      room_ = weigh_.MaximumSteps();
    }
    if (all_steps * Lanes() < chunk.pixels) {
      AddRest<kFrames>(run.frames + first, chunk, all_steps * Lanes());
    }
  }

  template <size_t kFrames>
  HWY_INLINE void AddSteps(const PackedRun& run, size_t first, const MaskChunk& chunk, size_t step,
                           size_t steps) {
    const size_t lanes = Lanes();
    const size_t begin = chunk.first_pixel / 2 * 3 + step * StepBytes();
    const Steps masks = {Weights::First(chunk) + ValuesOf(step), Weights::Stride(chunk),
                         chunk.masks, chunk.mask_count};
    const uint8_t* frames[kFrames];
    for (size_t f = 0; f < kFrames; ++f) {
      frames[f] = reinterpret_cast<const uint8_t*>(run.frames[first + f]) + begin;
    }
    // Steps of which a whole vector may be loaded: all but the last of the run.
    const size_t there = run.pixels / 2 * 3 - begin;
    const size_t whole =
        there < 2 * lanes ? 0 : std::min(steps, (there - 2 * lanes) / StepBytes() + 1);
    if (masks.count <= kMasksAtOnce) {
      AddOfMasks<kFrames>(loader_, frames, StepBytes(), masks, whole);
    } else {
      AddLoaded<kFrames>(frames, masks, whole);
    }
    if (whole == steps) return;
    if (begin + whole * StepBytes() >= UnusedBytes()) {
      AddLast<kFrames>(frames, masks, whole, steps - whole);
    } else {
      AddCopied<kFrames>(frames, masks, whole, steps - whole);
    }
  }

  // Many masks: pixels are loaded once for all of them, some at a time.
  template <size_t kFrames>
  HWY_INLINE void AddLoaded(const uint8_t* const* frames, Steps masks, size_t steps) {
    constexpr size_t kPixels = 512;
    HWY_ALIGN int16_t pixels[kFrames][kPixels];
    const size_t most = kPixels / Lanes();
    for (size_t begin = 0; begin < steps; begin += most) {
      const size_t count = std::min(most, steps - begin);
      const uint8_t* loaded[kFrames];
      for (size_t f = 0; f < kFrames; ++f) {
        loaded[f] = reinterpret_cast<const uint8_t*>(pixels[f]);
        for (size_t step = 0; step < count; ++step) {
          hn::Store(loader_.Load(frames[f] + (begin + step) * StepBytes()), kPixelTag,
                    pixels[f] + step * Lanes());
        }
      }
      AddOfMasks<kFrames>(LoadedPixels(), loaded, 2 * Lanes(), masks, count);
      masks.values += ValuesOf(count);
    }
  }

  // Steps from `done` on, whose vectors would reach beyond the run: they begin earlier. Not from a
  // copy, which could be loaded only when all that was read before it has come from memory (one
  // mask, runs of K2 IS one by one: 0.80 and 0.85 of a linear read).
  template <size_t kFrames>
  HWY_INLINE void AddLast(const uint8_t* const* frames, Steps masks, size_t done, size_t steps) {
    masks.values += ValuesOf(done);
    const uint8_t* from[kFrames];
    for (size_t f = 0; f < kFrames; ++f) from[f] = frames[f] + done * StepBytes() - UnusedBytes();
    AddOfMasks<kFrames>(last_loader_, from, StepBytes(), masks, steps);
  }

  // The same of a run that is shorter than a vector.
  template <size_t kFrames>
  HWY_NOINLINE void AddCopied(const uint8_t* const* frames, Steps masks, size_t done,
                              size_t steps) {
    masks.values += ValuesOf(done);
    for (size_t step = 0; step < steps; ++step, masks.values += ValuesOf(1)) {
      HWY_ALIGN uint8_t bytes[kFrames][hn::MaxLanes(hn::ScalableTag<uint8_t>())] = {};
      const uint8_t* copies[kFrames];
      for (size_t f = 0; f < kFrames; ++f) {
        std::memcpy(bytes[f], frames[f] + (done + step) * StepBytes(), StepBytes());
        copies[f] = bytes[f];
      }
      AddOfMasks<kFrames>(loader_, copies, 0, masks, 1);
    }
  }

  template <size_t kFrames, class AnyLoader>
  HWY_INLINE void AddOfMasks(const AnyLoader& loader, const uint8_t* const* frames,
                             size_t step_bytes, Steps masks, size_t steps) {
    while (masks.count >= kMasksAtOnce) {
      AddBlock<kFrames, kMasksAtOnce>(loader, frames, step_bytes, masks, steps);
      masks.values += kMasksAtOnce * masks.stride;
      masks.numbers += kMasksAtOnce;
      masks.count -= kMasksAtOnce;
    }
    if constexpr (kMasksAtOnce > 2) {
      if (masks.count == 3) AddBlock<kFrames, 3>(loader, frames, step_bytes, masks, steps);
      if (masks.count == 2) AddBlock<kFrames, 2>(loader, frames, step_bytes, masks, steps);
    }
    if (masks.count == 1) AddBlock<kFrames, 1>(loader, frames, step_bytes, masks, steps);
  }

  template <size_t kFrames, size_t kMasks, class AnyLoader>
  HWY_INLINE void AddBlock(const AnyLoader& loader, const uint8_t* const* frames, size_t step_bytes,
                           const Steps& masks, size_t steps) {
    const Weigh weigh = weigh_;
    const Weights weights;
    const AnyLoader load = loader;
    typename Weigh::Narrow sum[kFrames][kMasks];
    const uint8_t* frame[kFrames];
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) {
      frame[f] = frames[f];
      PENSTOCK_UNROLL
      for (size_t k = 0; k < kMasks; ++k) sum[f][k] = hn::Load(kSumTag, Sum(f, masks.numbers[k]));
    }
    for (size_t step = 0; step < steps; ++step) {
      typename Weigh::MaskVector weight[kMasks];
      PENSTOCK_UNROLL
      for (size_t k = 0; k < kMasks; ++k) {
        weight[k] = KeptInRegister(weights.Load(masks.values + k * masks.stride + ValuesOf(step)));
      }
      PENSTOCK_UNROLL
      for (size_t f = 0; f < kFrames; ++f) {
        const auto pixels = load.Load(frame[f] + step * step_bytes);
        PENSTOCK_UNROLL
        for (size_t k = 0; k < kMasks; ++k) {
          sum[f][k] = weigh.MultiplyAdd(pixels, weight[k], sum[f][k]);
        }
      }
    }
    PENSTOCK_UNROLL
    for (size_t f = 0; f < kFrames; ++f) {
      PENSTOCK_UNROLL
      for (size_t k = 0; k < kMasks; ++k) {
        hn::Store(sum[f][k], kSumTag, Sum(f, masks.numbers[k]));
      }
    }
  }

  // Pixels behind the last whole vector of a chunk, in the same form as the others.
  template <size_t kFrames>
  HWY_NOINLINE void AddRest(const std::byte* const* frames, const MaskChunk& chunk, size_t done) {
    for (size_t k = 0; k < chunk.mask_count; ++k) {
      const Value* const values = Weights::First(chunk) + k * Weights::Stride(chunk);
      for (size_t f = 0; f < kFrames; ++f) {
        const std::byte* const frame = frames[f] + chunk.first_pixel / 2 * 3;
        int64_t sum = 0;
        for (size_t p = done; p < chunk.pixels; ++p) {
          int64_t pixel = scalar::PackedPixel(frame, p);
          if (Loader::kScales && p % 2 == 1) pixel = kEvenScale * pixel - 32768;
          sum += pixel * Weights::Of(values, p);
        }
        wide_[f][chunk.masks[k]] += sum;
      }
    }
  }

  const Weigh weigh_;
  const Loader loader_;
  const Loader last_loader_;
  const std::span<const PackedRun> runs_;
  const PackedMasks& masks_;
  uint64_t used_ = 0;  // bit k: mask k has a chunk
  size_t room_ = 0;    // steps that the sums can still take
  int64_t wide_[kFramesAtOnce][PackedMasks::kMost];
  HWY_ALIGN int32_t sums_[kFramesAtOnce * PackedMasks::kMost * hn::MaxLanes(kSumTag)];
};

template <bool kVnni, class Loader, class Weights>
void Weigh(std::span<const PackedRun> runs, size_t frame_count, const PackedMasks& masks,
           int64_t* totals, size_t stride) {
  const auto weigh = WeighKernel<kVnni>::For((Loader::kLargestSum + 1) / 2, masks.maximum_weight);
  PackedSums<WeighKernel<kVnni>, Loader, Weights> sums(weigh, runs, masks);
  size_t f = 0;
  for (; f + kFramesAtOnce <= frame_count; f += kFramesAtOnce) {
    sums.template Add<kFramesAtOnce>(f, totals, stride);
  }
  switch (frame_count - f) {
    case 3:
      return sums.template Add<3>(f, totals, stride);
    case 2:
      return sums.template Add<2>(f, totals, stride);
    case 1:
      return sums.template Add<1>(f, totals, stride);
    default:
      return;
  }
}

MaskForm BestForm([[maybe_unused]] int32_t maximum_weight, [[maybe_unused]] bool binary) {
#if PENSTOCK_KERNELS_WITH_VNNI
  if (HasVnniAndVbmi()) {
    if (binary) return MaskForm::kBits;
    if (maximum_weight <= kLargestScaledWeight) return MaskForm::kScaled;
  }
#endif
  return MaskForm::kPlain;
}

void WeighPacked(std::span<const PackedRun> runs, size_t frame_count, const PackedMasks& masks,
                 int64_t* totals, size_t total_stride) {
#if PENSTOCK_KERNELS_WITH_VNNI
  switch (masks.form) {
    case MaskForm::kBits:
      return Weigh<true, ScaledLoader, BitWeights>(runs, frame_count, masks, totals, total_stride);
    case MaskForm::kScaled:
      return Weigh<true, ScaledLoader, StoredWeights>(runs, frame_count, masks, totals,
                                                      total_stride);
    case MaskForm::kPlain:
      break;
  }
  if (HasVnniAndVbmi()) {
    return Weigh<true, VbmiLoader, StoredWeights>(runs, frame_count, masks, totals, total_stride);
  }
#endif
  Weigh<false, PackedLoader, StoredWeights>(runs, frame_count, masks, totals, total_stride);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(BestForm);
HWY_EXPORT(WeighPacked);

MaskForm BestMaskForm(int32_t maximum_weight, bool binary) {
  return HWY_DYNAMIC_DISPATCH(BestForm)(maximum_weight, binary);
}

void PackedMaskProduct(std::span<const PackedRun> runs, size_t frame_count,
                       const PackedMasks& masks, int64_t* totals, size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(WeighPacked)(runs, frame_count, masks, totals, total_stride);
}

namespace scalar {

namespace {

int32_t Weight(MaskForm form, const MaskChunk& chunk, size_t mask, size_t pixel) {
  if (form == MaskForm::kBits) {
    const uint32_t word = chunk.bits[mask * chunk.words_of_bits() + pixel / 32];
    return static_cast<int32_t>(word >> (pixel % 32) & 1);
  }
  const int32_t value = chunk.values[mask * chunk.pixels + pixel];
  return form == MaskForm::kScaled && pixel % 2 == 0 ? value / kEvenScale : value;
}

}  // namespace

void PackedMaskProduct(std::span<const PackedRun> runs, size_t frame_count,
                       const PackedMasks& masks, int64_t* totals, size_t total_stride) {
  for (const PackedRun& run : runs) {
    for (const MaskChunk& chunk : run.chunks) {
      for (size_t f = 0; f < frame_count; ++f) {
        const std::byte* const frame = run.frames[f] + chunk.first_pixel / 2 * 3;
        for (size_t k = 0; k < chunk.mask_count; ++k) {
          for (size_t p = 0; p < chunk.pixels; ++p) {
            totals[f * total_stride + chunk.masks[k]] +=
                int64_t{PackedPixel(frame, p)} * Weight(masks.form, chunk, k, p);
          }
        }
      }
    }
  }
}

}  // namespace scalar

}  // namespace penstock::kernels
#endif  // HWY_ONCE
