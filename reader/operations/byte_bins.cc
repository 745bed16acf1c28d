#include "reader/operations/byte_bins.h"

#include <algorithm>
#include <array>

namespace penstock {

namespace {

using kernels::kMostPixelsOfSlot;
using kernels::kSlotFrames;

// Adding to a vector in memory takes about ten cycles until it can be added to again, and one of
// the store unit. The slots in use at a time should stay in the L1 cache, though. (AMD Zen 4, from
// the cache, GiB/s, with 4, 8, 16 in turns: 16 bins 16, 19, 19; 64 bins 19, 19, 18; 256 bins 18,
// 16, 14.)
constexpr size_t kSlotsInUse = 1024;
constexpr size_t kMostTurns = 8;

// What the kernel and the collecting take of a slot, in pixels.
constexpr size_t kPixelsPerSlot = 8;

// Of which the sum fits into the 32 bits of Collect.
constexpr size_t kMostPixels = size_t{1} << 24;

// The slots of a bin that take turns.
struct Turns {
  std::array<uint32_t, kMostTurns> slots{};
  std::array<uint32_t, kMostTurns> pixels{};
  size_t begun = 0;
  size_t next = 0;
};

}  // namespace

ByteBins::ByteBins(std::span<const uint32_t> bin_of_pixel, size_t bin_count) {
  const size_t turns =
      std::clamp<size_t>(kSlotsInUse / std::max<size_t>(bin_count, 1), 1, kMostTurns);
  std::vector<Turns> of_bin(bin_count + 1);  // the last one: of no bin
  std::vector<std::vector<uint32_t>> slots_of_bin(bin_count + 1);
  slot_begins_.reserve(bin_of_pixel.size());
  for (const uint32_t number : bin_of_pixel) {
    const size_t bin = std::min<size_t>(number, bin_count);
    Turns& mine = of_bin[bin];
    const size_t turn = mine.next;
    mine.next = (turn + 1) % turns;
    // What is in no bin may be anything.
    const bool is_full = bin < bin_count && mine.pixels[turn] == kMostPixelsOfSlot;
    if (turn >= mine.begun || is_full) {
      mine.slots[turn] = static_cast<uint32_t>(slot_count_++ * kSlotFrames);
      mine.pixels[turn] = 0;
      mine.begun = std::max(mine.begun, turn + 1);
      slots_of_bin[bin].push_back(mine.slots[turn]);
    }
    ++mine.pixels[turn];
    slot_begins_.push_back(mine.slots[turn]);
  }
  for (const std::vector<uint32_t>& slots : slots_of_bin) {
    first_of_bin_.push_back(static_cast<uint32_t>(slots_by_bin_.size()));
    slots_by_bin_.insert(slots_by_bin_.end(), slots.begin(), slots.end());
  }
}

std::optional<ByteBins> ByteBins::Make(std::span<const uint32_t> bin_of_pixel, size_t bin_count,
                                       TileSize tile) {
  const size_t least_slots = std::max(bin_count, bin_of_pixel.size() / kMostPixelsOfSlot);
  if (tile.frames <= kSlotFrames / 2 ||
      std::min(tile.pixels, bin_of_pixel.size()) / kPixelsPerSlot < least_slots) {
    return std::nullopt;
  }
  return ByteBins(bin_of_pixel, bin_count);
}

bool ByteBins::IsWorth(size_t pixels) const {
  return pixels >= slot_count_ * kPixelsPerSlot && pixels <= kMostPixels;
}

size_t ByteBins::Add(const kernels::FramePixels<uint8_t>& frames, size_t first_pixel,
                     int64_t* totals, size_t total_stride) const {
  // One per worker, reused; all zero between calls.
  thread_local kernels::AlignedVector<uint16_t> slots;
  slots.resize(std::max(slots.size(), slot_count_ * kSlotFrames));
  size_t done = 0;
  while (done + kSlotFrames / 2 < frames.frames) {
    const size_t count = std::min(kSlotFrames, frames.frames - done);
    kernels::AddToSlots(
        {frames.first + done * frames.frame_stride, frames.frame_stride, count, frames.pixels},
        slot_begins_.data() + first_pixel, slots.data());
    Collect(slots.data(), count, totals + done * total_stride, total_stride);
    done += count;
  }
  return done;
}

// Empties the slots.
void ByteBins::Collect(uint16_t* slots, size_t frames, int64_t* totals, size_t total_stride) const {
  const size_t bins = first_of_bin_.size() - 1;
  for (size_t bin = 0; bin < bins; ++bin) {
    std::array<uint32_t, kSlotFrames> sums{};
    for (uint32_t i = first_of_bin_[bin]; i < first_of_bin_[bin + 1]; ++i) {
      uint16_t* const slot = slots + slots_by_bin_[i];
      for (size_t f = 0; f < kSlotFrames; ++f) sums[f] += slot[f];
      std::fill_n(slot, kSlotFrames, uint16_t{0});
    }
    for (size_t f = 0; f < frames; ++f) totals[f * total_stride + bin] += sums[f];
  }
  for (uint32_t i = first_of_bin_[bins]; i < slots_by_bin_.size(); ++i) {
    std::fill_n(slots + slots_by_bin_[i], kSlotFrames, uint16_t{0});
  }
}

}  // namespace penstock
