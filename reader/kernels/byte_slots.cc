// Sixteen pixels of sixteen frames are turned in registers, so that a vector holds the same pixel
// of all of them, which goes to its slot as a whole. Of 8-bit pixels that is half the additions of
// bin_sums.cc, and hardly more instructions for each.

#include "reader/kernels/byte_slots.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/byte_slots.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/prefetch.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Slots(const FramePixels<uint8_t>& frames, const uint32_t* slot_begins, uint16_t* sums) {
  scalar::AddToSlots(frames, slot_begins, sums);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kBlockBytes = 16;  // in which instructions interleave
constexpr size_t kAhead = 1536;

// g++ 12 otherwise loads a row again for each of its two uses (AMD Zen 4, 64 bins, GiB/s: from the
// cache 18.4, with this 19.7; from memory 14.9 and 16.4).
template <class V>
HWY_INLINE void LoadOnce(V& row) {
#if HWY_COMPILER_GCC_ACTUAL && HWY_ARCH_X86
  asm volatile("" : "+v"(row.raw));
#else
  static_cast<void>(row);
#endif
}

// What the even and the odd rows of a column of 2 x 2 become; four times that turns 16 x 16.
template <class D, class V>
HWY_INLINE void InterleaveRows(D d, const V* from, V* to) {
  PENSTOCK_UNROLL
  for (size_t i = 0; i < kSlotFrames / 2; ++i) {
    to[2 * i] = hn::InterleaveLower(d, from[i], from[i + kSlotFrames / 2]);
    to[2 * i + 1] = hn::InterleaveUpper(d, from[i], from[i + kSlotFrames / 2]);
  }
}

// room[column * vector + block * 16 + frame] = byte of the column, in each block, of the frame,
// from pixel p on. kFewer: the last frame takes the place of those that are not there.
template <bool kFewer, class D>
HWY_INLINE void Turn(D d, const FramePixels<uint8_t>& frames, size_t p, uint8_t* room) {
  hn::Vec<D> rows[kSlotFrames];
  hn::Vec<D> others[kSlotFrames];
  PENSTOCK_UNROLL
  for (size_t f = 0; f < kSlotFrames; ++f) {
    const size_t frame = kFewer ? std::min(f, frames.frames - 1) : f;
    const uint8_t* const from = frames.first + frame * frames.frame_stride + p;
    PrefetchToL2(from + kAhead);
    rows[f] = hn::LoadU(d, from);
    LoadOnce(rows[f]);
  }
  InterleaveRows(d, rows, others);
  InterleaveRows(d, others, rows);
  InterleaveRows(d, rows, others);
  InterleaveRows(d, others, rows);
  PENSTOCK_UNROLL
  for (size_t column = 0; column < kSlotFrames; ++column) {
    hn::Store(rows[column], d, room + column * hn::MaxLanes(d));
  }
}

// One pixel of all frames.
HWY_INLINE void AddPixel(const uint8_t* pixel, uint16_t* sums) {
  constexpr hn::CappedTag<uint16_t, kSlotFrames> d_sum;
  constexpr hn::Rebind<uint8_t, decltype(d_sum)> d_pixel;
  PENSTOCK_UNROLL
  for (size_t f = 0; f < kSlotFrames; f += hn::MaxLanes(d_sum)) {
    const auto wide = hn::PromoteTo(d_sum, hn::Load(d_pixel, pixel + f));
    hn::Store(hn::Add(hn::Load(d_sum, sums + f), wide), d_sum, sums + f);
  }
}

template <bool kFewer>
HWY_NOINLINE void SlotsOf(const FramePixels<uint8_t> frames, const uint32_t* slot_begins,
                          uint16_t* sums) {
  constexpr hn::ScalableTag<uint8_t> d;
  constexpr size_t kVector = hn::MaxLanes(d);
  static_assert(kVector % kBlockBytes == 0);
  alignas(64) uint8_t room[kSlotFrames * kVector];
  size_t p = 0;
  for (; p + kVector <= frames.pixels; p += kVector) {
    Turn<kFewer>(d, frames, p, room);
    PENSTOCK_UNROLL
    for (size_t block = 0; block < kVector; block += kBlockBytes) {
      PENSTOCK_UNROLL
      for (size_t column = 0; column < kBlockBytes; ++column) {
        AddPixel(room + column * kVector + block, sums + slot_begins[p + block + column]);
      }
    }
  }
  scalar::AddToSlots({frames.first + p, frames.frame_stride, frames.frames, frames.pixels - p},
                     slot_begins + p, sums);
}

void Slots(const FramePixels<uint8_t>& frames, const uint32_t* slot_begins, uint16_t* sums) {
  if (frames.frames == kSlotFrames) return SlotsOf<false>(frames, slot_begins, sums);
  if (frames.frames > 0) SlotsOf<true>(frames, slot_begins, sums);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(Slots);

void AddToSlots(const FramePixels<uint8_t>& frames, const uint32_t* slot_begins, uint16_t* sums) {
  HWY_DYNAMIC_DISPATCH(Slots)(frames, slot_begins, sums);
}

void scalar::AddToSlots(const FramePixels<uint8_t>& frames, const uint32_t* slot_begins,
                        uint16_t* sums) {
  for (size_t p = 0; p < frames.pixels; ++p) {
    uint16_t* const slot = sums + slot_begins[p];
    for (size_t f = 0; f < frames.frames; ++f) {
      slot[f] = static_cast<uint16_t>(slot[f] + frames.first[f * frames.frame_stride + p]);
    }
  }
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
