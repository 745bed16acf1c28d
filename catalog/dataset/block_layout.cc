#include "penstock/dataset/block_layout.h"

#include <algorithm>
#include <cstring>

#include "penstock/base/aligned_buffer.h"

namespace penstock {

namespace {

constexpr uint64_t kIndexEntryBytes = 16;
constexpr uint64_t kIndexChecksumBytes = 4;

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

BlockLayout BlockLayout::Of(const DatasetShape& shape, const BlockGrid& grid, int64_t block) {
  BlockLayout layout;
  layout.region = RegionOfBlock(shape, grid, block);
  layout.frame_bytes = shape.frame_bytes();
  layout.payload_bytes = static_cast<uint64_t>(layout.region.frame_count()) * layout.frame_bytes;
  layout.index_start = RoundUp(kPayloadStart + layout.payload_bytes, kDirectIoAlignment);
  layout.index_entries =
      static_cast<uint64_t>(grid.block_rows * (grid.block_columns / grid.inner_columns));
  layout.file_bytes =
      layout.index_start + layout.index_entries * kIndexEntryBytes + kIndexChecksumBytes;
  return layout;
}

uint64_t BlockLayout::extent_bytes(int64_t extent) const {
  const uint64_t start = static_cast<uint64_t>(extent) * kExtentBytes;
  return std::min(kExtentBytes, file_bytes - start);
}

FrameRange BlockLayout::FramesOfExtent(int64_t extent) const {
  const uint64_t payload_end = kPayloadStart + payload_bytes;
  const uint64_t start = std::max(static_cast<uint64_t>(extent) * kExtentBytes, kPayloadStart);
  const uint64_t end = std::min(static_cast<uint64_t>(extent + 1) * kExtentBytes, payload_end);
  if (start >= end) return {};
  return {.first = region.first_frame + static_cast<int64_t>((start - kPayloadStart) / frame_bytes),
          .last = region.first_frame +
                  static_cast<int64_t>((end - kPayloadStart + frame_bytes - 1) / frame_bytes)};
}

std::string MakeShardIndex(const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                           const std::vector<bool>& frame_present) {
  const BlockLayout layout = BlockLayout::Of(shape, grid, block);
  const BlockRegion& region = layout.region;
  const int64_t inner = grid.inner_columns;
  const int64_t chunks_per_row = grid.block_columns / inner;
  // An absent chunk is 2^64-1 twice.
  std::string index(layout.file_bytes - layout.index_start, '\xff');
  for (int64_t row = 0; row < region.row_count; ++row) {
    for (int64_t chunk = 0; chunk < region.column_count / inner; ++chunk) {
      const int64_t first = row * region.column_count + chunk * inner;
      const auto begin = frame_present.begin() + first;
      if (std::find(begin, begin + inner, true) == begin + inner) continue;
      const uint64_t entry[2] = {kPayloadStart + static_cast<uint64_t>(first) * layout.frame_bytes,
                                 static_cast<uint64_t>(inner) * layout.frame_bytes};
      static_assert(sizeof entry == kIndexEntryBytes);
      std::memcpy(
          index.data() + static_cast<size_t>(row * chunks_per_row + chunk) * kIndexEntryBytes,
          entry, sizeof entry);
    }
  }
  const uint32_t checksum = Crc32c(index.data(), index.size() - kIndexChecksumBytes);
  std::memcpy(index.data() + index.size() - kIndexChecksumBytes, &checksum, sizeof checksum);
  return index;
}

}  // namespace penstock
