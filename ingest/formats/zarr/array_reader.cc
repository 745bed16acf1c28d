#include "ingest/formats/zarr/array_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <complex>
#include <cstring>

#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/numbers.h"
#include "ingest/read_ahead/source_file.h"
#include "penstock/base/element_type_visit.h"

namespace penstock::ingest::zarr {

namespace {

using chunked::ChunkBox;
using chunked::ChunkCache;
using chunked::ShapeText;

// One read: large enough for the device, small enough that it is still in the cache when decoded.
constexpr uint64_t kReadBytes = uint64_t{2} << 20;
// The index of a shard up to this length is read with the chunk beside it, so that the file is
// hashed in one pass.
constexpr uint64_t kMaxIndexBytes = uint64_t{64} << 10;

// No compressor makes more of a chunk.
uint64_t MostStoredBytes(uint64_t chunk_bytes) { return 2 * chunk_bytes + 65536; }

struct SilentReport final : DecodeReport {
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t /*source_frame*/, std::string_view /*reason*/) override {}
};

}  // namespace

struct ArrayReader::Wanted {
  ChunkBox box;
  StoredChunk stored;
};

struct ArrayReader::Call {
  uint64_t first;
  uint64_t last;
  std::span<std::byte> destination;
  DecodeContext& context;
};

struct ArrayReader::Buffers {
  std::span<std::byte> read;
  std::span<std::byte> codecs;
  std::span<std::byte> chunk;
};

ArrayReader::ArrayReader(std::string path, ArrayMetadata metadata, ChunkTable table,
                         chunked::FrameAxes axes, size_t first_file, uint64_t cache_bytes)
    : path_(std::move(path)),
      metadata_(std::move(metadata)),
      table_(std::move(table)),
      axes_(std::move(axes)),
      grid_(metadata_.shape, metadata_.chunk, axes_, metadata_.element_bytes()),
      first_file_(first_file),
      cache_(cache_bytes) {
  if (metadata_.sharding && metadata_.sharding->IndexBytes() <= kMaxIndexBytes) {
    index_bytes_ = metadata_.sharding->IndexBytes();
  }
  const uint64_t most = MostStoredBytes(grid_.chunk_bytes());
  for (const StoredChunk& chunk : table_.chunks) {
    longest_ = std::max(longest_, std::min(chunk.bytes, most));
  }
}

uint64_t ArrayReader::ScratchBytes() const {
  if (ReadsInPlace() && table_.missing() == 0) return 0;
  return std::max(kReadBytes, longest_) + index_bytes_ +
         CodecScratchBytes(metadata_.codecs, grid_.chunk_bytes()) + grid_.chunk_bytes() + 128;
}

uint64_t ArrayReader::FilledFrames(uint64_t most) const {
  if (table_.missing() == 0) return 0;
  uint64_t filled = 0;
  uint64_t before = UINT64_MAX;
  bool absent = false;
  for (uint64_t frame = 0; frame < grid_.frame_count() && frame < most; ++frame) {
    const uint64_t chunk = grid_.NavigationChunk(frame);
    if (chunk != before) {
      before = chunk;
      absent = false;
      for (uint64_t s = 0; s < grid_.SignalChunks() && !absent; ++s) {
        absent = table_.Find(grid_.BoxOf(chunk, s).index) == nullptr;
      }
    }
    filled += absent ? 1 : 0;
  }
  return filled;
}

void ArrayReader::Swap(std::span<std::byte> bytes) const {
  if (metadata_.big_endian) records::SwapBytes(bytes, metadata_.word_bytes());
}

void ArrayReader::Fill(std::span<std::byte> chunk) const {
  for (size_t at = 0; at < chunk.size(); at += metadata_.fill.size()) {
    std::memcpy(chunk.data() + at, metadata_.fill.data(), metadata_.fill.size());
  }
}

Status ArrayReader::Decode(uint64_t first, uint64_t last, std::span<std::byte> destination,
                           DecodeContext& context) const {
  assert(first <= last && last <= grid_.frame_count());
  assert(destination.size() == (last - first) * grid_.frame_bytes());
  if (first == last) return Status::Ok();
  Call call{first, last, destination, context};
  const uint64_t scratch = ScratchBytes();
  if (context.scratch.size() < scratch) {
    PENSTOCK_ASSIGN_OR_RETURN(context.scratch, AlignedBuffer::Allocate(scratch));
  }
  Buffers buffers;
  if (scratch > 0) {
    const auto memory = context.scratch.span();
    const uint64_t chunk_bytes = grid_.chunk_bytes();
    const uint64_t codecs = CodecScratchBytes(metadata_.codecs, chunk_bytes);
    const uint64_t chunk_at = memory.size() - (chunk_bytes + 63) / 64 * 64;
    buffers = {.read = memory.first(chunk_at - codecs),
               .codecs = memory.subspan(chunk_at - codecs, codecs),
               .chunk = memory.subspan(chunk_at, chunk_bytes)};
  }

  std::vector<Wanted> wanted;
  bool filled = false;
  for (const uint64_t chunk : grid_.NavigationChunks(first, last)) {
    for (uint64_t s = 0; s < grid_.SignalChunks(); ++s) {
      ChunkBox box = grid_.BoxOf(chunk, s);
      const StoredChunk* const stored = table_.Find(box.index);
      if (stored == nullptr) {
        if (!filled) Fill(buffers.chunk);
        filled = true;
        grid_.Deliver(box, buffers.chunk.data(), first, last, destination);
      } else if (const auto kept = cache_.Find(box.index)) {
        cache_.Took(box.index, grid_.Deliver(box, kept->data(), first, last, destination));
      } else {
        wanted.push_back({std::move(box), *stored});
      }
    }
  }
  std::ranges::sort(wanted, [](const Wanted& a, const Wanted& b) {
    return std::pair(a.stored.file, a.stored.offset) < std::pair(b.stored.file, b.stored.offset);
  });
  for (size_t begin = 0; begin < wanted.size();) {
    size_t end = begin + 1;
    while (end < wanted.size() && wanted[end].stored.file == wanted[begin].stored.file) ++end;
    PENSTOCK_RETURN_IF_ERROR(
        ReadFile(std::span(wanted).subspan(begin, end - begin), call, buffers));
    begin = end;
  }
  return Status::Ok();
}

// What is wanted of one file, in the order of the file.
Status ArrayReader::ReadFile(std::span<const Wanted> wanted, Call& call,
                             const Buffers& buffers) const {
  const ChunkFile& file = table_.files[wanted.front().stored.file];
  PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile opened, OpenRegularFile(file.path));
  for (size_t begin = 0; begin < wanted.size();) {
    const StoredChunk& first = wanted[begin].stored;
    const uint64_t most =
        metadata_.codecs.empty() ? grid_.chunk_bytes() : MostStoredBytes(grid_.chunk_bytes());
    const bool fits = metadata_.codecs.empty() ? first.bytes == most : first.bytes <= most;
    if (!fits) {
      return Explain(
          Error::Corrupt("the stored size of a chunk is not possible")
              .Expected(fmt::format("{}{} bytes", metadata_.codecs.empty() ? "" : "at most ", most))
              .Found(fmt::format("{}", first.bytes)),
          wanted[begin]);
    }
    if (ReadsInPlace()) {
      PENSTOCK_RETURN_IF_ERROR(ReadInPlace(opened.fd.get(), wanted[begin], call));
      ++begin;
      continue;
    }
    size_t end = begin + 1;
    for (; end < wanted.size(); ++end) {
      const StoredChunk& before = wanted[end - 1].stored;
      const StoredChunk& next = wanted[end].stored;
      if (next.offset != before.offset + before.bytes ||
          next.offset + next.bytes - first.offset > kReadBytes) {
        break;
      }
    }
    PENSTOCK_RETURN_IF_ERROR(
        ReadRun(opened.fd.get(), wanted.subspan(begin, end - begin), call, buffers));
    begin = end;
  }
  return Status::Ok();
}

// Chunks that follow each other.
Status ArrayReader::ReadRun(int fd, std::span<const Wanted> run, Call& call,
                            const Buffers& buffers) const {
  const StoredChunk& last = run.back().stored;
  const ChunkFile& file = table_.files[last.file];
  uint64_t start = run.front().stored.offset;
  uint64_t end = last.offset + last.bytes;
  if (metadata_.sharding && metadata_.sharding->index_at_start) {
    if (start == index_bytes_) start = 0;
  } else if (end + index_bytes_ == file.identity.size) {
    end = file.identity.size;
  }
  const auto bytes = buffers.read.first(end - start);
  const size_t index = first_file_ + last.file;
  if (file.identity.size >= kMinReadAheadBytes) {
    // In reads of one length, so that the next is under way while this one is decoded.
    for (uint64_t at = start; at < end;) {
      const uint64_t window = at / kReadBytes * kReadBytes;
      const uint64_t length = std::min(kReadBytes, file.identity.size - window);
      PENSTOCK_ASSIGN_OR_RETURN(const auto part,
                                call.context.reader.Read({index, fd, window, length}, file.path));
      const uint64_t stop = std::min(end, window + length);
      std::memcpy(bytes.data() + (at - start), part.data() + (at - window), stop - at);
      at = stop;
    }
  } else {
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, start, bytes, file.path));
  }
  if (call.context.observer != nullptr) call.context.observer->OnBytes(index, start, bytes);
  for (const Wanted& wanted : run) {
    Status used = UseChunk(wanted, bytes.subspan(wanted.stored.offset - start, wanted.stored.bytes),
                           call, buffers);
    if (!used.ok()) return Explain(std::move(used).error(), wanted);
  }
  return Status::Ok();
}

// Frames that are stored as they are wanted.
Status ArrayReader::ReadInPlace(int fd, const Wanted& wanted, Call& call) const {
  const ChunkFile& file = table_.files[wanted.stored.file];
  const uint64_t size = metadata_.element_bytes();
  const uint64_t frame_bytes = grid_.frame_bytes();
  const uint64_t base = wanted.stored.offset + grid_.FixedElements(wanted.box) * size;
  uint64_t begin = 0;  // frames [begin, end) lie together from `offset` on
  uint64_t end = 0;
  uint64_t offset = 0;
  Status status = Status::Ok();
  const auto read = [&] {
    if (begin == end || !status.ok()) return;
    const auto to =
        call.destination.subspan((begin - call.first) * frame_bytes, (end - begin) * frame_bytes);
    status = call.context.ReadInto({first_file_ + wanted.stored.file, fd, offset, to.size()}, to,
                                   file.path);
    if (status.ok()) Swap(to);
  };
  grid_.ForEachFrame(wanted.box, [&](uint64_t frame, uint64_t element) {
    if (frame < call.first || frame >= call.last) return;
    const uint64_t at = base + element * size;
    if (begin < end && frame == end && at == offset + (end - begin) * frame_bytes) {
      ++end;
      return;
    }
    read();
    begin = frame;
    end = frame + 1;
    offset = at;
  });
  read();
  return status;
}

Status ArrayReader::UseChunk(const Wanted& wanted, std::span<const std::byte> stored, Call& call,
                             const Buffers& buffers) const {
  const ChunkBox& box = wanted.box;
  if (const auto frame = grid_.WholeFrames(box, call.first, call.last)) {
    const auto to =
        call.destination.subspan((*frame - call.first) * grid_.frame_bytes(), grid_.chunk_bytes());
    PENSTOCK_RETURN_IF_ERROR(UndoCodecs(metadata_.codecs, stored, buffers.codecs, to));
    Swap(to);
    return Status::Ok();
  }
  // Chunks that hold other frames than those of this call are kept for the next.
  const uint64_t frames = grid_.FramesIn(box);
  ChunkCache::Buffer kept;
  if (frames > 1) kept = cache_.Allocate(grid_.chunk_bytes());
  const std::span<std::byte> chunk = kept != nullptr ? std::span(*kept) : buffers.chunk;
  Status undone = UndoCodecs(metadata_.codecs, stored, buffers.codecs, chunk);
  if (!undone.ok()) {
    if (kept != nullptr) cache_.Keep(0, std::move(kept), 0);
    return undone;
  }
  Swap(chunk);
  const uint64_t delivered =
      grid_.Deliver(box, chunk.data(), call.first, call.last, call.destination);
  if (kept != nullptr) cache_.Keep(box.index, std::move(kept), frames - delivered);
  return Status::Ok();
}

Error ArrayReader::Explain(Error error, const Wanted& wanted) const {
  if (error.kind() != ErrorKind::kCorrupt || !error.file().empty()) return error;
  const StoredChunk& stored = wanted.stored;
  return std::move(error)
      .In(table_.files[stored.file].path.string())
      .At(fmt::format("{}, chunk at {} (byte {}, {} bytes)", path_, ShapeText(wanted.box.origin),
                      stored.offset, stored.bytes))
      .Advice("copy the file again from where it was recorded");
}

Result<std::vector<double>> ReadNumbers(const Node& array, uint64_t max_elements) {
  PENSTOCK_ASSIGN_OR_RETURN(ArrayMetadata metadata, ReadArrayMetadata(array));
  if (metadata.shape.size() != 1 || metadata.shape[0] > max_elements || IsComplex(metadata.type)) {
    return Error::Unsupported("no list of numbers").In(array.Place());
  }
  PENSTOCK_ASSIGN_OR_RETURN(ChunkTable table, FindChunks(array, metadata));
  for (const ChunkFile& file : table.files) array.store()->files_read[file.path] = file.identity;
  // As an image of one row.
  metadata.shape.insert(metadata.shape.begin(), 1);
  metadata.chunk.insert(metadata.chunk.begin(), 1);
  const uint64_t count = metadata.shape[1];
  const ElementType type = metadata.type;
  const ArrayReader reader(array.path(), std::move(metadata), std::move(table),
                           chunked::ImageAxes(2), 0, 0);
  std::vector<std::byte> bytes(count * ElementSize(type));
  SilentReport report;
  DecodeContext context;
  context.report = &report;
  PENSTOCK_RETURN_IF_ERROR(reader.Decode(0, 1, bytes, context));
  std::vector<double> numbers(count);
  VisitElementType(type, [&]<typename T>(T number) {
    if constexpr (std::is_arithmetic_v<T>) {
      for (uint64_t i = 0; i < count; ++i) {
        std::memcpy(&number, bytes.data() + i * sizeof(T), sizeof(T));
        numbers[i] = static_cast<double>(number);
      }
    }
  });
  return numbers;
}

}  // namespace penstock::ingest::zarr
