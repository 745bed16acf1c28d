#include "ingest/formats/k2is/shutter.h"

#include <algorithm>

namespace penstock::ingest::k2is {

namespace {

constexpr int64_t kLooks = 1024;

// By the first sector that has a sound block of the frame; a frame without any is not flagged.
Result<bool> IsFlagged(const Acquisition& acquisition, int64_t frame) {
  const FramePlace place = acquisition.PlaceOf(frame);
  for (const SectorFile& sector : acquisition.sectors) {
    for (const FramePiece& piece : PiecesOf(sector, place)) {
      PENSTOCK_ASSIGN_OR_RETURN(const auto header, sector.HeaderAt(piece.offset));
      if (header && int64_t{header->frame_id} == place.id) return header->shutter_active;
    }
  }
  return false;
}

}  // namespace

Result<std::optional<int64_t>> FirstFlaggedFrame(const Acquisition& acquisition) {
  const int64_t frames = acquisition.frame_count;
  const int64_t step = std::max<int64_t>(1, (frames + kLooks - 1) / kLooks);
  for (int64_t frame = 0; frame < frames; frame += step) {
    PENSTOCK_ASSIGN_OR_RETURN(const bool flagged, IsFlagged(acquisition, frame));
    if (!flagged) continue;
    int64_t low = std::max<int64_t>(0, frame - step + 1);  // the one before is not flagged
    int64_t high = frame;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      PENSTOCK_ASSIGN_OR_RETURN(const bool is_flagged, IsFlagged(acquisition, middle));
      if (is_flagged) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return std::optional<int64_t>(high);
  }
  for (int64_t frame = 0; step > 1 && frame < frames; ++frame) {
    PENSTOCK_ASSIGN_OR_RETURN(const bool flagged, IsFlagged(acquisition, frame));
    if (flagged) return std::optional<int64_t>(frame);
  }
  return std::optional<int64_t>();
}

}  // namespace penstock::ingest::k2is
