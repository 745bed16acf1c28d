// The bytes of one raw block file, layout version 1 (docs/layout.md has the byte-level page):
//
//   0            HDF5 head: superblock v2, root group, dataset /real, contiguous at 65536
//   65536        frames, C order, little-endian, no gaps; a lost frame is a hole
//   index_start  = 65536 + payload rounded up to 4096: Zarr v3 shard index, (offset, nbytes) of
//                every inner chunk of the FULL block shape, 2^64-1 twice where absent
//   end - 4      crc32c of the index
//
// Plain values and pure functions; thread-safe.

#ifndef PENSTOCK_DATASET_BLOCK_LAYOUT_H_
#define PENSTOCK_DATASET_BLOCK_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

inline constexpr uint64_t kPayloadStart = 65536;
// The unit of fetching and verification, counted from byte 0 of the block file.
inline constexpr uint64_t kExtentBytes = uint64_t{4} << 20;

struct FrameRange {
  int64_t first = 0;
  int64_t last = 0;  // one past the end
  bool operator==(const FrameRange&) const = default;
};

struct BlockLayout {
  BlockRegion region;
  uint64_t frame_bytes = 0;
  uint64_t payload_bytes = 0;
  uint64_t index_start = 0;
  uint64_t index_entries = 0;
  uint64_t file_bytes = 0;

  static BlockLayout Of(const DatasetShape& shape, const BlockGrid& grid, int64_t block);

  int64_t extent_count() const {
    return static_cast<int64_t>((file_bytes + kExtentBytes - 1) / kExtentBytes);
  }
  uint64_t extent_bytes(int64_t extent) const;  // kExtentBytes but for the last one
  // Dataset-wide frame numbers touched by an extent; empty for one that holds only head or index.
  FrameRange FramesOfExtent(int64_t extent) const;
};

// The 65536 bytes before the first frame. Deterministic.
std::string MakeBlockHead(const DatasetShape& shape, const BlockRegion& region);

// The bytes from index_start to the end of the file. `frame_present[i]` tells of frame
// region.first_frame + i; an inner chunk without any present frame is marked absent.
std::string MakeShardIndex(const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                           const std::vector<bool>& frame_present);

uint32_t Crc32c(const void* bytes, size_t size);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_BLOCK_LAYOUT_H_
