// The blocks of one sector of one frame, as they were found.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_SECTOR_FRAME_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_SECTOR_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ingest/formats/k2is/acquisition.h"

namespace penstock::ingest::k2is {

// Points into the bytes of the blocks, which must stay. By place: 0 to 15 are the upper half from
// left to right, 16 to 31 the lower.
class SectorFrame {
 public:
  // Block number `count` of the sector, at `offset` of its file.
  void Add(std::span<const std::byte> block, uint64_t offset, const FramePlace& place,
           int64_t count);

  // The packed pixels of each place; null where they are missing.
  const std::array<const std::byte*, kBlocksPerFrame>& pixels() const { return pixels_; }
  int64_t missing() const;
  bool shutter_active() const { return shutter_active_; }
  bool has_notes() const { return notes_ > 0; }
  // Of the first thing that was noted, the worse kind first.
  const std::string& note() const { return note_; }
  uint64_t note_offset() const { return note_offset_; }

 private:
  void Note(uint64_t offset, std::string text, bool loses_pixels);

  std::array<const std::byte*, kBlocksPerFrame> pixels_{};
  bool shutter_active_ = false;
  int notes_ = 0;
  bool note_loses_pixels_ = false;
  uint64_t note_offset_ = 0;
  std::string note_;
};

// Unpacks rows [first_row, last_row) of blocks that lie side by side in an image, `across` of them
// in each half: blocks[half * across + i]. Missing ones become zero. `image`: the first of these
// rows. `prefetch_bytes`: how far behind the rows of a block the next ones are asked for.
void UnpackRows(std::span<const std::byte* const> blocks, int64_t first_row, int64_t last_row,
                std::byte* image, size_t image_stride, size_t prefetch_bytes = 0);

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_SECTOR_FRAME_H_
