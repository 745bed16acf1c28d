#include "penstock/dataset/chunk_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "penstock/base/file.h"
#include "penstock/dataset/compression.h"

namespace penstock {

namespace {

constexpr uint64_t kAbsent = std::numeric_limits<uint64_t>::max();
constexpr size_t kChecksumBytes = 4;

struct Entry {
  uint64_t offset;
  uint64_t bytes;
};
static_assert(sizeof(Entry) == 16);

uint64_t IndexEntries(const BlockGrid& grid) {
  return static_cast<uint64_t>(grid.block_rows * (grid.block_columns / grid.inner_columns));
}

Error Damaged(const std::filesystem::path& path, uint64_t offset, std::string expected,
              std::string found) {
  return Error::Corrupt("the index of the compressed block is damaged")
      .In(path.string())
      .AtOffset(offset)
      .Expected(std::move(expected))
      .Found(std::move(found))
      .Advice("`penstock verify` lists all damage; restore the file from another copy");
}

}  // namespace

uint64_t ChunkIndexBytes(const BlockGrid& grid) {
  return IndexEntries(grid) * sizeof(Entry) + kChecksumBytes;
}

uint64_t LargestCompressedBlock(const DatasetShape& shape, const BlockGrid& grid, int64_t block) {
  const auto chunks =
      static_cast<uint64_t>(RegionOfBlock(shape, grid, block).frame_count() / grid.inner_columns);
  const uint64_t chunk_bytes = static_cast<uint64_t>(grid.inner_columns) * shape.frame_bytes();
  return chunks * StoredChunkLimit(chunk_bytes) + ChunkIndexBytes(grid);
}

uint64_t LargestBlock(const DatasetShape& shape, const BlockGrid& grid, Compression compression) {
  uint64_t largest = 0;
  for (int64_t block = 0; block < grid.block_count(); ++block) {
    const uint64_t bytes = compression == Compression::kNone
                               ? BlockLayout::Of(shape, grid, block).file_bytes
                               : LargestCompressedBlock(shape, grid, block);
    largest = std::max(largest, bytes);
  }
  return largest;
}

std::string MakeChunkIndex(const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                           const std::vector<uint64_t>& stored_bytes) {
  // Absent: 2^64-1 twice.
  std::string index(ChunkIndexBytes(grid), '\xff');
  const auto entries_per_row = static_cast<size_t>(grid.block_columns / grid.inner_columns);
  const auto chunks_per_row =
      static_cast<size_t>(RegionOfBlock(shape, grid, block).column_count / grid.inner_columns);
  Entry entry{};
  for (size_t chunk = 0; chunk < stored_bytes.size(); ++chunk) {
    if (stored_bytes[chunk] == 0) continue;
    entry.bytes = stored_bytes[chunk];
    const size_t place = chunk / chunks_per_row * entries_per_row + chunk % chunks_per_row;
    std::memcpy(index.data() + place * sizeof entry, &entry, sizeof entry);
    entry.offset += entry.bytes;
  }
  const uint32_t checksum = Crc32c(index.data(), index.size() - kChecksumBytes);
  std::memcpy(index.data() + index.size() - kChecksumBytes, &checksum, sizeof checksum);
  return index;
}

Result<ChunkIndex> ChunkIndex::Parse(const DatasetShape& shape, const BlockGrid& grid,
                                     int64_t block, uint64_t file_bytes,
                                     std::span<const std::byte> index,
                                     const std::filesystem::path& path_for_errors) {
  const BlockRegion region = RegionOfBlock(shape, grid, block);
  const uint64_t index_bytes = ChunkIndexBytes(grid);
  if (file_bytes < index_bytes || index.size() != index_bytes) {
    return Damaged(path_for_errors, 0, fmt::format("an index of {} bytes", index_bytes),
                   fmt::format("{} of a file of {}", index.size(), file_bytes));
  }
  const uint64_t index_start = file_bytes - index_bytes;
  uint32_t stored = 0;
  std::memcpy(&stored, index.data() + index.size() - kChecksumBytes, sizeof stored);
  const uint32_t found = Crc32c(index.data(), index.size() - kChecksumBytes);
  if (found != stored) {
    return Damaged(path_for_errors, file_bytes - kChecksumBytes,
                   fmt::format("CRC-32C {:08x}", stored), fmt::format("{:08x}", found));
  }

  ChunkIndex parsed;
  parsed.first_frame_ = region.first_frame;
  parsed.chunk_frames_ = grid.inner_columns;
  parsed.chunk_bytes_ = static_cast<uint64_t>(grid.inner_columns) * shape.frame_bytes();
  parsed.starts_.reserve(static_cast<size_t>(region.frame_count() / grid.inner_columns) + 1);
  parsed.starts_.push_back(0);
  const int64_t entries_per_row = grid.block_columns / grid.inner_columns;
  const int64_t chunks_per_row = region.column_count / grid.inner_columns;
  for (uint64_t place = 0; place < IndexEntries(grid); ++place) {
    Entry entry{};
    std::memcpy(&entry, index.data() + place * sizeof entry, sizeof entry);
    const uint64_t at = index_start + place * sizeof entry;
    const auto text = [&] { return fmt::format("offset {}, {} bytes", entry.offset, entry.bytes); };
    const bool absent = entry.offset == kAbsent && entry.bytes == kAbsent;
    if (static_cast<int64_t>(place) / entries_per_row >= region.row_count ||
        static_cast<int64_t>(place) % entries_per_row >= chunks_per_row) {
      if (absent) continue;
      return Damaged(path_for_errors, at, "no chunk beyond the end of the scan", text());
    }
    const uint64_t next = parsed.starts_.back();
    if (absent) {
      parsed.starts_.push_back(next);
      continue;
    }
    const uint64_t most = std::min(StoredChunkLimit(parsed.chunk_bytes_), index_start - next);
    if (entry.offset != next || entry.bytes == 0 || entry.bytes > most) {
      return Damaged(path_for_errors, at, fmt::format("offset {}, 1 to {} bytes", next, most),
                     text());
    }
    parsed.starts_.push_back(next + entry.bytes);
  }
  if (parsed.starts_.back() != index_start) {
    return Damaged(path_for_errors, index_start, fmt::format("chunks of {} bytes", index_start),
                   fmt::format("{}", parsed.starts_.back()));
  }
  return parsed;
}

Result<ChunkIndex> ChunkIndex::Read(int fd, const DatasetShape& shape, const BlockGrid& grid,
                                    int64_t block, uint64_t file_bytes,
                                    const std::filesystem::path& path_for_errors) {
  // The size of the file is what bounds the memory.
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd, path_for_errors));
  const uint64_t index_bytes = ChunkIndexBytes(grid);
  if (identity.size != file_bytes || file_bytes < index_bytes) {
    return Error::Corrupt("the block file has the wrong size")
        .In(path_for_errors.string())
        .Expected(fmt::format("{} bytes", std::max(file_bytes, index_bytes)))
        .Found(fmt::format("{} bytes", identity.size))
        .Advice("run `penstock verify` on the dataset");
  }
  std::vector<std::byte> index(index_bytes);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, file_bytes - index_bytes, index, path_for_errors));
  return Parse(shape, grid, block, file_bytes, index, path_for_errors);
}

FrameRange ChunkIndex::FramesOf(int64_t chunk) const {
  const int64_t first = first_frame_ + chunk * chunk_frames_;
  return {.first = first, .last = first + chunk_frames_};
}

FrameRange ChunkIndex::FramesOfExtent(int64_t extent) const {
  const uint64_t extent_begin = static_cast<uint64_t>(extent) * kExtentBytes;
  const uint64_t extent_end = extent_begin + kExtentBytes;
  // Chunks [first, last): the first that ends behind the beginning, the last that begins before the
  // end.
  const auto ends = starts_.begin() + 1;
  const auto first = std::upper_bound(ends, starts_.end(), extent_begin) - ends;
  const auto last =
      std::lower_bound(starts_.begin(), starts_.end() - 1, extent_end) - starts_.begin();
  if (first >= last) return {};
  return {.first = FramesOf(first).first, .last = FramesOf(last - 1).last};
}

}  // namespace penstock
