#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "catalog/dataset/background_file_writer.h"
#include "catalog/dataset/chunk_collector.h"
#include "penstock/base/aligned_buffer.h"
#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/dataset_writer.h"

namespace penstock {

namespace {

// One write: large enough for the disk to be at its speed, small enough to keep two per worker.
constexpr size_t kWriteBytes = size_t{4} << 20;
constexpr uint64_t kPage = kDirectIoAlignment;

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }
uint64_t RoundDown(uint64_t value, uint64_t unit) { return value / unit * unit; }

// Beyond the frames of a tile: what is not written yet, the head, and a page that is not full.
size_t BufferBytes(const DatasetShape& shape, int64_t tile_frames, Compression compression) {
  if (compression != Compression::kNone) return kWriteBytes + kPage;
  return kWriteBytes + kPayloadStart + kPage +
         RoundUp(static_cast<uint64_t>(tile_frames) * shape.frame_bytes(), kPage);
}

}  // namespace

// The file from byte 0 on passes through `buffer`: `buffer_start` (a multiple of a page) is the
// offset in the file of its first byte, `filled` bytes of it are final.
struct BlockWriter::State {
  std::filesystem::path path;
  std::filesystem::path part_path;
  DatasetShape shape;
  BlockGrid grid;
  int64_t block = 0;
  int64_t tile_frames = 0;
  BlockLayout layout;

  // Declared before the writer, whose destructor waits for the write that reads one of them.
  std::array<AlignedBuffer, 2> buffers;
  size_t current = 0;
  uint64_t buffer_start = 0;
  size_t filled = 0;
  std::unique_ptr<BackgroundFileWriter> file;
  bool published = false;

  FileHasher file_hasher;
  ExtentHasher extent_hasher;
  std::vector<bool> frame_present;
  std::optional<ChunkCollector> collector;  // of a compressed block

  ~State() {
    file.reset();
    if (!published) unlink(part_path.c_str());
  }

  std::byte* next_byte() { return buffers[current].data() + filled; }
  uint64_t position() const { return buffer_start + filled; }

  void Hash(std::span<const std::byte> bytes) {
    file_hasher.Update(bytes);
    extent_hasher.Update(bytes);
  }

  void HashZeros(uint64_t count) {
    static constexpr std::array<std::byte, 65536> kZeros{};
    for (; count > 0; count -= std::min<uint64_t>(count, kZeros.size())) {
      Hash(std::span(kZeros).first(std::min<uint64_t>(count, kZeros.size())));
    }
  }

  // Appends bytes that are neither raw frames nor holes.
  Status AppendBytes(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t take = std::min(bytes.size(), kWriteBytes - filled);
      std::memcpy(next_byte(), bytes.data(), take);
      Hash(bytes.first(take));
      filled += take;
      bytes = bytes.subspan(take);
      PENSTOCK_RETURN_IF_ERROR(WriteIfLarge());
    }
    return {};
  }

  Status WriteIfLarge() { return filled >= kWriteBytes ? WriteFullPages() : Status(); }

  // Hands the full pages to the disk and goes on in the other buffer.
  Status WriteFullPages() {
    const size_t full = RoundDown(filled, kPage);
    if (full == 0) return {};
    const std::byte* from = buffers[current].data();
    // Also waits until the other buffer is free.
    PENSTOCK_RETURN_IF_ERROR(file->Write(buffer_start, {from, full}));
    current = 1 - current;
    buffer_start += full;
    filled -= full;
    std::memcpy(buffers[current].data(), from + full, filled);
    return {};
  }

  ChunkCollector::Writer ChunkWriter() {
    return [this](std::span<const std::byte> stored) { return AppendBytes(stored); };
  }

  Status AppendZeros(size_t count) {
    std::memset(next_byte(), 0, count);
    HashZeros(count);
    filled += count;
    return WriteIfLarge();
  }
};

BlockWriter::BlockWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlockWriter::~BlockWriter() = default;
BlockWriter::BlockWriter(BlockWriter&&) noexcept = default;
BlockWriter& BlockWriter::operator=(BlockWriter&&) noexcept = default;

uint64_t BlockWriter::MemoryBytes(const DatasetShape& shape, const BlockGrid& grid,
                                  int64_t tile_frames, Compression compression) {
  const uint64_t collected =
      compression == Compression::kNone ? 0 : ChunkCollector::MemoryBytes(shape, grid, tile_frames);
  return 2 * BufferBytes(shape, tile_frames, compression) + collected;
}

Result<BlockWriter> BlockWriter::Create(const std::filesystem::path& dataset_directory,
                                        const DatasetShape& shape, const BlockGrid& grid,
                                        int64_t block, int64_t tile_frames,
                                        Compression compression) {
  PENSTOCK_RETURN_IF_ERROR(ValidateBlockGrid(shape, grid));
  if (block < 0 || block >= grid.block_count() || tile_frames < 1) {
    return Error::InvalidArgument("no such block or tile")
        .In(dataset_directory)
        .Expected("a block below " + std::to_string(grid.block_count()) + ", a tile of 1 or more")
        .Found("block " + std::to_string(block) + ", tile of " + std::to_string(tile_frames));
  }
  auto state = std::make_unique<State>();
  state->path = dataset_directory / BlockRelativePath(shape, grid, block);
  state->part_path = state->path.string() + ".part";
  state->shape = shape;
  state->grid = grid;
  state->block = block;
  state->layout = BlockLayout::Of(shape, grid, block);  // of raw frames
  state->tile_frames = std::min(tile_frames, state->layout.region.frame_count());
  state->frame_present.reserve(static_cast<size_t>(state->layout.region.frame_count()));
  for (AlignedBuffer& buffer : state->buffers) {
    PENSTOCK_ASSIGN_OR_RETURN(
        buffer, AlignedBuffer::Allocate(BufferBytes(shape, state->tile_frames, compression)));
  }
  if (compression != Compression::kNone) {
    PENSTOCK_ASSIGN_OR_RETURN(state->collector,
                              ChunkCollector::Create(shape, grid, compression, state->tile_frames));
  }
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(state->path.parent_path()));
  PENSTOCK_ASSIGN_OR_RETURN(state->file, BackgroundFileWriter::Create(state->part_path));
  if (!state->collector) {
    const std::string head = MakeBlockHead(shape, state->layout.region);
    PENSTOCK_RETURN_IF_ERROR(state->AppendBytes(AsBytes(head)));
  }
  return BlockWriter(std::move(state));
}

std::span<std::byte> BlockWriter::FrameBuffer(int64_t frames) {
  assert(frames >= 0 && frames <= state_->tile_frames);
  std::byte* const room = state_->collector ? state_->collector->Room() : state_->next_byte();
  return {room, static_cast<size_t>(frames) * state_->layout.frame_bytes};
}

Status BlockWriter::Append(int64_t frames) {
  State& state = *state_;
  assert(frames >= 0 && frames <= state.tile_frames);
  assert(static_cast<int64_t>(state.frame_present.size()) + frames <=
         state.layout.region.frame_count());
  state.frame_present.insert(state.frame_present.end(), static_cast<size_t>(frames), true);
  if (state.collector) return state.collector->Add(frames, state.ChunkWriter());
  const size_t bytes = static_cast<size_t>(frames) * state.layout.frame_bytes;
  state.Hash({state.next_byte(), bytes});
  state.filled += bytes;
  return state.WriteIfLarge();
}

Status BlockWriter::AppendMissing(int64_t frames) {
  State& state = *state_;
  assert(frames >= 0 && static_cast<int64_t>(state.frame_present.size()) + frames <=
                            state.layout.region.frame_count());
  state.frame_present.insert(state.frame_present.end(), static_cast<size_t>(frames), false);
  if (state.collector) return state.collector->AddMissing(frames, state.ChunkWriter());
  const uint64_t end = state.position() + static_cast<uint64_t>(frames) * state.layout.frame_bytes;
  const uint64_t first_hole = RoundUp(state.position(), kPage);
  const uint64_t hole_end = RoundDown(end, kPage);
  if (first_hole < hole_end) {
    PENSTOCK_RETURN_IF_ERROR(state.AppendZeros(first_hole - state.position()));
    PENSTOCK_RETURN_IF_ERROR(state.WriteFullPages());
    state.HashZeros(hole_end - first_hole);
    state.buffer_start = hole_end;
  }
  return state.AppendZeros(end - state.position());
}

Result<BlockRecord> BlockWriter::Finish() {
  State& state = *state_;
  const auto frames = static_cast<int64_t>(state.frame_present.size());
  if (frames != state.layout.region.frame_count()) {
    return Error::Internal("a block was finished before all of its frames were there")
        .In(state.path)
        .Expected(std::to_string(state.layout.region.frame_count()) + " frames")
        .Found(std::to_string(frames));
  }
  if (state.collector) {
    PENSTOCK_RETURN_IF_ERROR(state.AppendBytes(AsBytes(
        MakeChunkIndex(state.shape, state.grid, state.block, state.collector->stored_bytes()))));
  } else {
    PENSTOCK_RETURN_IF_ERROR(state.AppendZeros(state.layout.index_start - state.position()));
    PENSTOCK_RETURN_IF_ERROR(state.AppendBytes(
        AsBytes(MakeShardIndex(state.shape, state.grid, state.block, state.frame_present))));
  }
  const uint64_t file_bytes = state.position();

  // The last page is written whole and cut off again: direct writes know pages only.
  const size_t tail = RoundUp(state.filled, kPage) - state.filled;
  std::memset(state.next_byte(), 0, tail);
  state.filled += tail;
  PENSTOCK_RETURN_IF_ERROR(state.WriteFullPages());
  PENSTOCK_RETURN_IF_ERROR(state.file->Finish(file_bytes));
  if (rename(state.part_path.c_str(), state.path.c_str()) != 0) {
    return Error::FromErrno(errno, "cannot rename " + state.part_path.string() + " to this name")
        .In(state.path);
  }
  state.published = true;
  PENSTOCK_RETURN_IF_ERROR(SyncDirectory(state.path.parent_path()));

  return BlockRecord{.block = state.block,
                     .bytes = file_bytes,
                     .checksum = state.file_hasher.HexDigest(),
                     .extent_checksum = state.extent_hasher.Finish()};
}

}  // namespace penstock
