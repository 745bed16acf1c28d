// Where each frame came from and what the vendor's header of it says, kept per scan position in
// data.zarr/frame_header: plain arrays of int64 like the statistics, so that blocks may be written
// from different threads and a resumed ingest finds those of the blocks that it keeps.

#ifndef PENSTOCK_DATASET_FRAME_HEADER_H_
#define PENSTOCK_DATASET_FRAME_HEADER_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// -1 where the frame is missing or its header says nothing.
struct FrameHeader {
  int64_t source_frame = -1;     // its number among the frames of the source, from 0
  int64_t source_file = -1;      // its file, an index into the sidecar's sources
  int64_t source_offset = -1;    // of its record in that file, in bytes
  int64_t sequence_number = -1;  // as the camera counts
  int64_t count_time = -1;       // exposure in ns
  int64_t start_time = -1;       // ns since 1970-01-01T00:00:00Z
};

// Writes the headers of one block, in scan order. Not synced: WriteDescription does that.
Status WriteBlockFrameHeaders(const std::filesystem::path& dataset_directory,
                              const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                              std::span<const FrameHeader> headers);

// The headers of `count` scan positions from `first`. kNotFound where there are none.
Result<std::vector<FrameHeader>> ReadFrameHeaders(const std::filesystem::path& dataset_directory,
                                                  const DatasetShape& shape, int64_t first,
                                                  int64_t count);

// XXH3-128 over the headers, for the journal of an ingest.
std::string FrameHeaderDigest(std::span<const FrameHeader> headers);

// Removes the arrays that are -1 throughout; to be called once, before WriteDescription.
Status DropSilentFrameHeaders(const std::filesystem::path& dataset_directory,
                              const DatasetShape& shape);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_FRAME_HEADER_H_
