// The eight sectors of an acquisition on a common grid of frames.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_ACQUISITION_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_ACQUISITION_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ingest/formats/k2is/sector_file.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::ingest::k2is {

// Frames whose numbers rise by one, all with the same relation of frame number and block count.
struct FrameSpan {
  int64_t frame_shift = 0;
  int64_t first_id = 0;
  int64_t last_id = 0;
  int64_t first_frame = 0;  // of the acquisition, from 0

  int64_t frames() const { return last_id - first_id + 1; }
  int64_t CountOf(int64_t id) const { return id * kBlocksPerFrame - frame_shift; }
};

// Which block counts a frame has: the same in every sector.
struct FramePlace {
  int64_t id = 0;
  int64_t first_count = 0;
};

// The paths of an acquisition, from that of its .gtg or of one of its sectors.
struct AcquisitionFiles {
  std::string prefix;                        // file name without sector number and extension
  std::optional<std::filesystem::path> gtg;  // where it exists
  std::array<std::filesystem::path, kSectors> sectors;
  std::array<bool, kSectors> exists{};
};
AcquisitionFiles FindAcquisitionFiles(const std::filesystem::path& path);

struct Acquisition {
  std::vector<SectorFile> sectors;  // those whose pixels are used, from left to right
  std::vector<int> lost_sectors;    // 0 to 7: absent or without a common frame; rescue only
  std::vector<FrameSpan> spans;     // in order; frames are numbered through
  int64_t frame_count = 0;
  std::string start_evidence;  // where the sectors begin, what was left out at the ends
  std::vector<Anomaly> anomalies;

  // Precondition: 0 <= frame < frame_count.
  FramePlace PlaceOf(int64_t frame) const;
};

// Opens the sectors and aligns them. Without `rescue` an absent or unusable sector is an error.
Result<Acquisition> OpenAcquisition(const AcquisitionFiles& files, bool rescue);

// What a sector has of a frame: runs of blocks that lie one behind the other. `blocks` counts of
// the frame, beginning with `first_count`.
struct FramePiece {
  uint64_t offset = 0;
  int64_t first_count = 0;
  int64_t blocks = 0;
};
std::vector<FramePiece> PiecesOf(const SectorFile& sector, const FramePlace& place);

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_ACQUISITION_H_
