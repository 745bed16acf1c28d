// Sums of 8-bit pixels by bin for sixteen frames at once. A bin has several slots: of 16 bits, so
// that each takes few pixels only, and in turns, so that neighbours, which often share a bin, need
// not wait for each other's sum.

#ifndef PENSTOCK_READER_OPERATIONS_BYTE_BINS_H_
#define PENSTOCK_READER_OPERATIONS_BYTE_BINS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "reader/kernels/aligned_vector.h"
#include "reader/kernels/byte_slots.h"
#include "reader/kernels/kernels.h"
#include "reader/operations/tile_size.h"

namespace penstock {

class ByteBins {
 public:
  // bin_of_pixel: of all pixels of a frame; what is not below bin_count is in none. Nothing where
  // no tile would be taken.
  static std::optional<ByteBins> Make(std::span<const uint32_t> bin_of_pixel, size_t bin_count,
                                      TileSize tile);

  // Whether Add may be called for so many pixels: that they are worth the way of the sums from the
  // slots to the totals, and not too many for these.
  bool IsWorth(size_t pixels) const;

  // totals[f * total_stride + bin] += the pixels of the bin, which are those from `first_pixel` of
  // the frame on. Exact. Returns how many frames it has taken: where half of kSlotFrames are left,
  // or less, others are quicker. Thread-safe.
  size_t Add(const kernels::FramePixels<uint8_t>& frames, size_t first_pixel, int64_t* totals,
             size_t total_stride) const;

 private:
  ByteBins(std::span<const uint32_t> bin_of_pixel, size_t bin_count);
  void Collect(uint16_t* slots, size_t frames, int64_t* totals, size_t total_stride) const;

  std::vector<uint32_t> slot_begins_;  // per pixel, as the kernel wants them
  size_t slot_count_ = 0;
  // Where the slots of each bin begin, one bin after the other, and those of no bin.
  std::vector<uint32_t> slots_by_bin_;
  std::vector<uint32_t> first_of_bin_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_BYTE_BINS_H_
