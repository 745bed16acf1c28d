#include "cachefs/faces/compressed_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cachefs/faces/assembly.h"
#include "penstock/dataset/compression.h"

namespace penstock::cachefs {

namespace {

// Of decoded chunks, but always two.
constexpr uint64_t kKeptBytes = uint64_t{16} << 20;
constexpr size_t kKeptIndices = 4;

uint64_t ChunkBytes(const DatasetShape& shape, const BlockGrid& grid) {
  return static_cast<uint64_t>(grid.inner_columns) * shape.frame_bytes();
}

Status Decode(const ChunkIndex& index, int64_t chunk, size_t element_bytes,
              std::span<const std::byte> stored, const std::string& path,
              std::vector<std::byte>& pixels) {
  thread_local ChunkDecoder decoder;
  pixels.resize(index.chunk_bytes());
  Status decoded = decoder.Decode(element_bytes, stored, pixels);
  if (decoded.ok()) return decoded;
  pixels.clear();
  const FrameRange frames = index.FramesOf(chunk);
  return std::move(decoded).error().In(path).At(
      fmt::format("offset {}, frames {}-{}", index.begin(chunk), frames.first, frames.last - 1));
}

}  // namespace

CompressedBlocks::CompressedBlocks(const DatasetShape& shape, const BlockGrid& grid,
                                   BlockCache& cache)
    : shape_(shape),
      grid_(grid),
      most_chunks_(std::max<uint64_t>(kKeptBytes / ChunkBytes(shape, grid), 2)),
      cache_(cache) {}

CompressedBlocks::Index CompressedBlocks::FindIndex(int64_t block) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(indices_, block, &std::pair<int64_t, Index>::first);
  if (found == indices_.end()) return nullptr;
  indices_.splice(indices_.begin(), indices_, found);
  return found->second;
}

Result<CompressedBlocks::Index> CompressedBlocks::KeepIndex(const BlockSource& source,
                                                            std::span<const std::byte> bytes) {
  PENSTOCK_ASSIGN_OR_RETURN(
      ChunkIndex parsed,
      ChunkIndex::Parse(shape_, grid_, source.block, source.file_bytes, bytes, source.path));
  auto index = std::make_shared<const ChunkIndex>(std::move(parsed));
  const std::lock_guard lock(mutex_);
  indices_.emplace_front(source.block, index);
  if (indices_.size() > kKeptIndices) indices_.pop_back();
  return Index(std::move(index));
}

std::shared_ptr<CompressedBlocks::Chunk> CompressedBlocks::ChunkOf(int64_t block, int64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(
      chunks_, [&](const auto& chunk) { return chunk->block == block && chunk->number == number; });
  if (found != chunks_.end()) {
    chunks_.splice(chunks_.begin(), chunks_, found);
    return chunks_.front();
  }
  auto chunk = std::make_shared<Chunk>();
  chunk->block = block;
  chunk->number = number;
  chunks_.push_front(chunk);
  if (chunks_.size() > most_chunks_) chunks_.pop_back();
  return chunk;
}

void CompressedBlocks::Read(const ReplicaPin& pin, uint64_t offset, size_t size,
                            BlockCache::ReadCallback callback) {
  const BlockSource& source = *pin->source;
  if (const Index index = FindIndex(source.block)) {
    ReadChunks(pin, index, offset, size, std::move(callback));
    return;
  }
  const uint64_t index_bytes = ChunkIndexBytes(grid_);
  cache_.Read(pin, source.file_bytes - std::min(index_bytes, source.file_bytes), index_bytes,
              [self = shared_from_this(), pin, offset, size,
               callback = std::move(callback)](const Result<std::span<const std::byte>>& bytes) {
                const Result<Index> index =
                    bytes.ok() ? self->KeepIndex(*pin->source, *bytes) : bytes.error();
                if (index.ok()) {
                  self->ReadChunks(pin, *index, offset, size, callback);
                } else {
                  callback(index.error());
                }
              });
}

void CompressedBlocks::ReadChunks(const ReplicaPin& pin, const Index& index, uint64_t offset,
                                  size_t size, BlockCache::ReadCallback callback) {
  const uint64_t chunk_bytes = index->chunk_bytes();
  const auto first = static_cast<int64_t>(offset / chunk_bytes);
  const auto last = static_cast<int64_t>((offset + size - 1) / chunk_bytes);
  const auto assembly =
      std::make_shared<Assembly>(size, static_cast<size_t>(last - first + 1), std::move(callback));
  for (int64_t number = first; number <= last; ++number) {
    if (index->is_absent(number)) {  // of lost frames: zeros
      assembly->Done({});
      continue;
    }
    const uint64_t chunk_start = static_cast<uint64_t>(number) * chunk_bytes;
    const uint64_t from = std::max(offset, chunk_start);
    const uint64_t to = std::min(offset + size, chunk_start + chunk_bytes);
    const auto copy = [assembly, at = from - offset, in_chunk = from - chunk_start,
                       bytes = to - from](const std::vector<std::byte>& pixels) {
      std::memcpy(assembly->data() + at, pixels.data() + in_chunk, bytes);
      assembly->Done({});
    };
    const std::shared_ptr<Chunk> chunk = ChunkOf(pin->source->block, number);
    {
      std::unique_lock lock(chunk->mutex);
      if (!chunk->pixels.empty()) {
        copy(chunk->pixels);
        continue;
      }
    }
    cache_.Read(pin, index->begin(number), index->end(number) - index->begin(number),
                [self = shared_from_this(), path = pin->source->path, index, chunk, assembly,
                 copy](const Result<std::span<const std::byte>>& stored) {
                  if (!stored.ok()) {
                    assembly->Done(stored.error());
                    return;
                  }
                  const std::lock_guard lock(chunk->mutex);
                  if (chunk->pixels.empty()) {
                    Status decoded =
                        Decode(*index, chunk->number, ElementSize(self->shape_.element_type),
                               *stored, path, chunk->pixels);
                    if (!decoded.ok()) {
                      assembly->Done(std::move(decoded));
                      return;
                    }
                  }
                  copy(chunk->pixels);
                });
  }
}

}  // namespace penstock::cachefs
