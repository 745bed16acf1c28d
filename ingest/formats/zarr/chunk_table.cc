#include "ingest/formats/zarr/chunk_table.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "ingest/formats/raw/record_source.h"
#include "penstock/dataset/block_layout.h"

namespace penstock::ingest::zarr {

namespace {

using chunked::ShapeText;

constexpr uint64_t kFreeBytes = uint64_t{64} << 20;
constexpr uint64_t kMostExpansion = 1 << 15;
constexpr uint64_t kFreeMissingChunks = uint64_t{1} << 20;
constexpr uint64_t kMostMissingPerChunk = 4096;
constexpr size_t kMaxFiles = size_t{1} << 27;

std::vector<uint64_t> GridOf(const std::vector<uint64_t>& shape,
                             const std::vector<uint64_t>& chunk) {
  std::vector<uint64_t> grid;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    grid.push_back(shape[axis] / chunk[axis] + (shape[axis] % chunk[axis] != 0 ? 1 : 0));
  }
  return grid;
}

// As the writers spell it: no sign, no leading zero.
bool ParseIndex(std::string_view text, uint64_t& index) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), index);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && text[0] != '-';
}

struct FoundFile {
  uint64_t index = 0;  // over the grid of files
  std::filesystem::path path;
};

class Finder {
 public:
  Finder(const Node& array, const ArrayMetadata& metadata)
      : array_(array),
        metadata_(metadata),
        file_grid_(GridOf(metadata.shape, metadata.file_shape())),
        grid_(GridOf(metadata.shape, metadata.chunk)) {}

  Result<ChunkTable> Find() {
    table_.grid_chunks = 1;
    for (const uint64_t count : grid_) table_.grid_chunks *= count;
    if (metadata_.separator == '.') FindFlat();
    // Stores of nested directories did not always say so.
    if (metadata_.separator == '/' || (!metadata_.separator_stated && found_.empty())) {
      std::filesystem::path start = array_.directory();
      if (!metadata_.prefix.empty()) start /= metadata_.prefix;
      FindNested(start, 0, 0);
    }
    if (found_.empty()) {
      return Corrupt("no chunk of the array is there")
          .Expected(fmt::format(
              "{} for {} in {} of {}", FilesExpected(), ShapeText(metadata_.shape),
              metadata_.sharding ? "shards" : "chunks", ShapeText(metadata_.file_shape())))
          .Found(table_.surplus_files == 0
                     ? "none"
                     : fmt::format("{} files with indices beyond the shape", table_.surplus_files))
          .Advice("check whether the directory was copied completely");
    }
    std::ranges::sort(found_, {}, &FoundFile::index);
    for (const FoundFile& file : found_) PENSTOCK_RETURN_IF_ERROR(AddFile(file));
    std::ranges::sort(table_.chunks, {}, &StoredChunk::index);
    PENSTOCK_RETURN_IF_ERROR(CheckSizes());
    return std::move(table_);
  }

 private:
  Error Corrupt(std::string what) const {
    return Error::Corrupt(std::move(what)).In(array_.directory().string()).At(array_.path());
  }

  uint64_t FilesExpected() const {
    uint64_t files = 1;
    for (const uint64_t count : file_grid_) files *= count;
    return files;
  }

  // "0.3.1", behind the prefix.
  void FindFlat() {
    std::string prefix = metadata_.prefix;
    if (!prefix.empty()) prefix += metadata_.separator;
    ForEachEntry(array_.directory(), [&](const std::filesystem::directory_entry& entry) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with(prefix)) return;
      std::string_view rest = std::string_view(name).substr(prefix.size());
      uint64_t index = 0;
      bool beyond = false;
      size_t axis = 0;
      for (; axis < file_grid_.size(); ++axis) {
        const std::string_view part = rest.substr(0, rest.find('.'));
        uint64_t at = 0;
        if (!ParseIndex(part, at)) return;
        beyond = beyond || at >= file_grid_[axis];
        index = index * file_grid_[axis] + at;
        const bool last = part.size() == rest.size();
        if (last != (axis + 1 == file_grid_.size())) return;
        rest.remove_prefix(part.size() + (last ? 0 : 1));
      }
      Take(entry, index, beyond);
    });
  }

  void FindNested(const std::filesystem::path& folder, size_t axis, uint64_t index) {
    ForEachEntry(folder, [&](const std::filesystem::directory_entry& entry) {
      uint64_t at = 0;
      if (!ParseIndex(entry.path().filename().string(), at)) return;
      const bool beyond = at >= file_grid_[axis];
      const uint64_t below = index * file_grid_[axis] + at;
      if (axis + 1 == file_grid_.size()) {
        Take(entry, below, beyond);
      } else if (beyond) {
        ++table_.surplus_files;
      } else {
        FindNested(entry.path(), axis + 1, below);
      }
    });
  }

  template <typename Visitor>
  void ForEachEntry(const std::filesystem::path& folder, const Visitor& visit) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (found_.size() < kMaxFiles) visit(*entry);
    }
  }

  void Take(const std::filesystem::directory_entry& entry, uint64_t index, bool beyond) {
    std::error_code error;
    if (!entry.is_regular_file(error)) return;
    if (beyond) {
      ++table_.surplus_files;
    } else {
      found_.push_back({index, entry.path()});
    }
  }

  Status AddFile(const FoundFile& file) {
    const auto number = static_cast<uint32_t>(table_.files.size());
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(file.path));
    table_.files.push_back({file.path, identity});
    if (!metadata_.sharding) {
      table_.chunks.push_back({file.index, 0, identity.size, number});
      return Status::Ok();
    }
    return AddShard(*metadata_.sharding, file, identity.size, number);
  }

  Status AddShard(const Sharding& sharding, const FoundFile& file, uint64_t size, uint32_t number) {
    const uint64_t index_bytes = sharding.IndexBytes();
    const auto damaged = [&](std::string what) {
      return Error::Corrupt(std::move(what)).In(file.path.string());
    };
    if (size < index_bytes) {
      return damaged("the shard is shorter than its index")
          .Expected(fmt::format("{} bytes for {} chunks", index_bytes, sharding.chunks_per_shard))
          .Found(fmt::format("{}", size))
          .Advice("copy the file again from where it was recorded");
    }
    PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile opened, OpenRegularFile(file.path));
    std::vector<std::byte> index(index_bytes);
    const uint64_t index_at = sharding.index_at_start ? 0 : size - index_bytes;
    PENSTOCK_RETURN_IF_ERROR(ReadFully(opened.fd.get(), index_at, index, file.path));
    if (sharding.index_checksum) {
      uint32_t kept = 0;
      std::memcpy(&kept, index.data() + index_bytes - 4, sizeof(kept));
      const uint32_t found = Crc32c(index.data(), index_bytes - 4);
      if (kept != found) {
        return damaged("crc32c: the checksum of the shard's index is wrong")
            .AtOffset(index_at)
            .Expected(fmt::format("{:08x}", kept))
            .Found(fmt::format("{:08x}", found))
            .Advice("copy the file again from where it was recorded");
      }
    }
    for (uint64_t i = 0; i < sharding.chunks_per_shard; ++i) {
      uint64_t place[2];
      std::memcpy(place, index.data() + i * 16, sizeof(place));
      if (sharding.index_big_endian) {
        for (uint64_t& word : place) word = __builtin_bswap64(word);
      }
      if (place[0] == UINT64_MAX && place[1] == UINT64_MAX) continue;
      if (place[0] > size || place[1] > size - place[0]) {
        return damaged("a chunk lies beyond the end of its shard")
            .AtOffset(index_at + i * 16)
            .Expected(fmt::format("within {} bytes", size))
            .Found(fmt::format("{} bytes at {}", place[1], place[0]))
            .Advice("copy the file again from where it was recorded");
      }
      uint64_t chunk = 0;
      if (ChunkOf(sharding, file.index, i, chunk)) {
        table_.chunks.push_back({chunk, place[0], place[1], number});
      }
    }
    return Status::Ok();
  }

  // The chunk's index over the whole grid; false for what pads a shard at the array's edge.
  bool ChunkOf(const Sharding& sharding, uint64_t file_index, uint64_t in_shard,
               uint64_t& chunk) const {
    std::vector<uint64_t> at(grid_.size());
    for (size_t axis = grid_.size(); axis-- > 0;) {
      const uint64_t per_shard = sharding.shard[axis] / metadata_.chunk[axis];
      at[axis] = file_index % file_grid_[axis] * per_shard + in_shard % per_shard;
      if (at[axis] >= grid_[axis]) return false;
      file_index /= file_grid_[axis];
      in_shard /= per_shard;
    }
    chunk = 0;
    for (size_t axis = 0; axis < grid_.size(); ++axis) chunk = chunk * grid_[axis] + at[axis];
    return true;
  }

  // No decoder shall be asked for memory, nor the pipeline for frames, that a few bytes claim.
  Status CheckSizes() const {
    uint64_t largest = 0;
    for (const StoredChunk& chunk : table_.chunks) largest = std::max(largest, chunk.bytes);
    uint64_t chunk_bytes = metadata_.element_bytes();
    for (const uint64_t size : metadata_.chunk) chunk_bytes *= size;
    if (chunk_bytes > kFreeBytes && chunk_bytes / kMostExpansion > largest) {
      return Corrupt("the chunks cannot be as large as the metadata says")
          .Expected(
              fmt::format("{} bytes for chunks of {}", chunk_bytes, ShapeText(metadata_.chunk)))
          .Found(fmt::format("at most {} stored", largest));
    }
    if (table_.missing() > kFreeMissingChunks &&
        table_.missing() / kMostMissingPerChunk > table_.chunks.size()) {
      return Corrupt("nearly all chunks of the array are missing")
          .Expected(fmt::format("{} for shape {} in chunks of {}", table_.grid_chunks,
                                ShapeText(metadata_.shape), ShapeText(metadata_.chunk)))
          .Found(fmt::format("{}", table_.chunks.size()))
          .Advice("check whether the directory was copied completely");
    }
    return Status::Ok();
  }

  const Node& array_;
  const ArrayMetadata& metadata_;
  const std::vector<uint64_t> file_grid_;
  const std::vector<uint64_t> grid_;
  std::vector<FoundFile> found_;
  ChunkTable table_;
};

}  // namespace

const StoredChunk* ChunkTable::Find(uint64_t index) const {
  if (chunks.size() == grid_chunks) return &chunks[index];
  const auto found = std::ranges::lower_bound(chunks, index, {}, &StoredChunk::index);
  return found != chunks.end() && found->index == index ? &*found : nullptr;
}

Result<ChunkTable> FindChunks(const Node& array, const ArrayMetadata& metadata) {
  return Finder(array, metadata).Find();
}

}  // namespace penstock::ingest::zarr
