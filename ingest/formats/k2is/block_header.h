// The header in front of every block of a Gatan K2 IS sector file. docs/formats/k2is.md.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_BLOCK_HEADER_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_BLOCK_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace penstock::ingest::k2is {

inline constexpr uint64_t kHeaderBytes = 40;
inline constexpr uint64_t kBlockBytes = 22360;
inline constexpr int kSectors = 8;
inline constexpr int kBlocksPerFrame = 32;  // in each sector: 16 across, 2 down
inline constexpr int kBlocksAcross = 16;
inline constexpr int64_t kBlockColumns = 16;
inline constexpr int64_t kBlockRows = 930;
inline constexpr int64_t kSectorColumns = 256;
inline constexpr int64_t kFrameRows = 1860;
inline constexpr int64_t kFrameColumns = 2048;
inline constexpr uint64_t kFrameRowBytes = kFrameColumns * 2;
inline constexpr uint64_t kFrameBytes = kFrameRows * kFrameRowBytes;
inline constexpr uint64_t kSectorFrameBytes = kBlocksPerFrame * kBlockBytes;

struct BlockHeader {
  bool shutter_active = false;
  uint32_t block_count = 0;
  uint32_t frame_id = 0;
  uint16_t x_start = 0;
  uint16_t y_start = 0;
  uint16_t x_end = 0;  // inclusive
  uint16_t y_end = 0;

  // Where in the order of a frame (right to left, upper half first) a block with these coordinates
  // belongs: 0 to 31. Nothing where they are not those of a block.
  std::optional<int> Index() const;
};

// Nothing unless the sync word, the size of the sector and the size of the block are there.
std::optional<BlockHeader> ParseBlockHeader(std::span<const std::byte> bytes);

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_BLOCK_HEADER_H_
