// One sector file: where its blocks lie and how they are numbered.
//
// Blocks of a healthy file follow each other without a gap from the first to the last; then three
// headers tell everything. Where they do not (bytes or blocks lost, inserted or written twice, a
// jump of the frame numbers), bisection finds the places, so that opening a file of hundreds of
// gigabytes reads some dozen headers. Every header is looked at again when its frame is decoded.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_SECTOR_FILE_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_SECTOR_FILE_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "ingest/formats/k2is/block_header.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::ingest::k2is {

// Blocks one behind the other in the file, whose counts rise by one and whose frame numbers rise by
// one every 32 blocks: frame * 32 + index = count + frame_shift.
struct BlockRun {
  uint64_t offset = 0;
  int64_t first_count = 0;
  int64_t blocks = 0;
  int64_t frame_shift = 0;

  int64_t last_count() const { return first_count + blocks - 1; }
  uint64_t OffsetOf(int64_t count) const {
    return offset + static_cast<uint64_t>(count - first_count) * kBlockBytes;
  }
  int64_t FrameOf(int64_t count) const { return (count + frame_shift) >> 5; }
};

struct SectorFile {
  int sector = 0;  // 0 to 7, from left to right
  std::filesystem::path path;
  FileDescriptor fd;
  FileIdentity identity;
  std::vector<BlockRun> runs;   // in file order; empty: not a single block was found
  uint64_t bytes_in_front = 0;  // before the first block
  uint64_t bytes_behind = 0;    // after the last whole block

  // The header at `offset`, nothing where there is none or the block is not completely in the file.
  Result<std::optional<BlockHeader>> HeaderAt(uint64_t offset) const;
};

// Opens the file and finds its runs. An error only where the file cannot be read, or is in more
// pieces than a damaged file would be.
Result<SectorFile> OpenSectorFile(const std::filesystem::path& path, int sector);

// The offset of the first block in `head`: a header at its start or one that is confirmed by
// another a block further on; `whole` says that the file ends with `head`.
std::optional<size_t> FindFirstBlock(std::span<const std::byte> head, bool whole);

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_SECTOR_FILE_H_
