// Sums of 8-bit pixels over parts of the frame, for sixteen frames at once, in sums of 16 bits.

#ifndef PENSTOCK_READER_KERNELS_BYTE_SLOTS_H_
#define PENSTOCK_READER_KERNELS_BYTE_SLOTS_H_

#include <cstddef>
#include <cstdint>

#include "reader/kernels/kernels.h"

namespace penstock::kernels {

// That share a pass; the sums of a slot are 16 values, one per frame.
inline constexpr size_t kSlotFrames = 16;
// Of which the sum fits into 16 bits.
inline constexpr size_t kMostPixelsOfSlot = 257;

// sums[slot_begins[p] + f] += pixel p of frame f, for at most kSlotFrames frames; fewer take the
// time of all, and sums of those that are not there become anything. slot_begins[p]: the number of
// the slot, times kSlotFrames. `sums` begins with a multiple of 32 bytes. Sums are modulo 65536:
// the caller sees to it that what a slot gets between two times that it is emptied fits.
void AddToSlots(const FramePixels<uint8_t>& frames, const uint32_t* slot_begins, uint16_t* sums);

namespace scalar {
void AddToSlots(const FramePixels<uint8_t>& frames, const uint32_t* slot_begins, uint16_t* sums);
}  // namespace scalar

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_BYTE_SLOTS_H_
