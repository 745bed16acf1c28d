#include "ingest/formats/hdf5/frame_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <numeric>

#include "ingest/formats/records/numbers.h"

namespace penstock::ingest::hdf5 {

using chunked::CopyElements;
using chunked::Strides;

namespace {

// One read: large enough for the device, small enough that it is still in the cache when decoded.
constexpr uint64_t kReadBytes = uint64_t{2} << 20;
// Bytes between chunks, such as nodes of the index, that are read with the chunk behind them, so
// that the file is hashed in one pass.
constexpr uint64_t kMaxGapBytes = uint64_t{64} << 10;
constexpr uint64_t kMaxSlabBytes = uint64_t{16} << 20;

}  // namespace

struct FrameReader::Call {
  uint64_t first;
  uint64_t last;
  int64_t number;
  std::span<std::byte> destination;
  DecodeContext& context;
};

struct FrameReader::Buffers {
  std::span<std::byte> read;
  std::span<std::byte> filters;
  std::span<std::byte> chunk;
};

FrameReader::FrameReader(Array array, FrameAxes axes, size_t file, uint64_t cache_key,
                         std::shared_ptr<ChunkCache> cache)
    : array_(std::move(array)),
      axes_(std::move(axes)),
      file_(file),
      cache_key_(cache_key),
      cache_(std::move(cache)) {
  for (const size_t axis : axes_.navigation) frames_ *= array_.shape[axis];
  rows_ = array_.shape[axes_.rows];
  columns_ = array_.shape[axes_.columns];
  frame_bytes_ = rows_ * columns_ * array_.element_bytes();
  stride_ = Strides(array_.shape);
  if (array_.storage == Storage::kContiguous) return;
  grid_ = chunked::ChunkGrid(array_.shape, array_.chunk, axes_, array_.element_bytes());
  if (array_.storage != Storage::kChunks) return;

  std::vector<uint32_t> order(array_.chunks.size());
  std::iota(order.begin(), order.end(), 0U);
  std::erase_if(order, [&](uint32_t i) { return array_.chunks[i].offset == StoredChunk::kNone; });
  std::ranges::sort(order, {}, [&](uint32_t i) { return array_.chunks[i].offset; });
  lead_.assign(array_.chunks.size(), 0);
  uint64_t end = 0;
  for (const uint32_t i : order) {
    const StoredChunk& chunk = array_.chunks[i];
    if (chunk.offset >= end && chunk.offset - end <= kMaxGapBytes) {
      lead_[i] = static_cast<uint32_t>(chunk.offset - end);
    }
    end = std::max(end, chunk.offset + chunk.bytes);
    longest_read_ = std::max<uint64_t>(longest_read_, lead_[i] + uint64_t{chunk.bytes});
  }
  if (!order.empty()) {
    last_offset_ = array_.chunks[order.back()].offset;
    const uint64_t behind = array_.container->identity().size - end;
    if (end == last_offset_ + array_.chunks[order.back()].bytes && behind <= kMaxGapBytes) {
      tail_ = static_cast<uint32_t>(behind);
    }
  }
  longest_read_ += tail_;

  // Mostly one after the other, and little else in between.
  uint64_t forward = 0;
  uint64_t stored = 0;
  uint64_t before = 0;
  for (const StoredChunk& chunk : array_.chunks) {
    if (chunk.offset == StoredChunk::kNone) continue;
    forward += chunk.offset >= before ? 1 : 0;
    before = chunk.offset;
    stored += chunk.bytes;
  }
  const uint64_t span = order.empty() ? 0 : end - array_.chunks[order.front()].offset;
  in_order_ = forward >= order.size() - order.size() / 16 && stored >= span / 2;
}

SignalShape FrameReader::signal() const {
  return {static_cast<int64_t>(rows_), static_cast<int64_t>(columns_)};
}

int64_t FrameReader::FramesPerChunk() const {
  if (array_.storage == Storage::kContiguous) {
    // Frames that are interleaved are best taken many at once.
    return stride_[axes_.columns] == 1 ? 1 : static_cast<int64_t>(frames_);
  }
  return grid_.FramesPerChunk();
}

uint64_t FrameReader::ScratchBytes() const {
  if (array_.storage == Storage::kContiguous) {
    return stride_[axes_.columns] == 1 ? 0 : kMaxSlabBytes;
  }
  const uint64_t chunk = array_.chunk_bytes();
  uint64_t read = 0;
  if (array_.storage == Storage::kChunks) read = std::max(kReadBytes, longest_read_);
  // Stored chunks that the library reads: a compressor may have made them somewhat larger.
  if (array_.storage == Storage::kChunksLibrary) read = chunk + chunk / 16 + 65536;
  return read + FilterScratchBytes(array_.filters, chunk) + chunk + 128;
}

uint64_t FrameReader::CacheBytes() const {
  return array_.storage == Storage::kContiguous ? 0 : grid_.CacheBytes();
}

uint64_t FrameReader::WrittenFrames() const {
  if (array_.storage != Storage::kChunks || array_.missing_chunks == 0) return frames_;
  for (uint64_t frame = frames_; frame > 0; --frame) {
    const uint64_t navigation_chunk = grid_.NavigationChunk(frame - 1);
    for (uint64_t s = 0; s < grid_.SignalChunks(); ++s) {
      if (array_.chunks[grid_.BoxOf(navigation_chunk, s).index].offset != StoredChunk::kNone)
        return frame;
    }
  }
  return 0;
}

Status FrameReader::Decode(uint64_t first, uint64_t last, int64_t number,
                           std::span<std::byte> destination, DecodeContext& context) const {
  assert(first <= last && last <= frames_);
  assert(destination.size() == (last - first) * frame_bytes_);
  if (first == last) return Status::Ok();
  Call call{first, last, number, destination, context};
  if (array_.storage != Storage::kContiguous) return DecodeChunks(call);
  return axes_.InOrder() ? DecodeContiguous(call) : DecodeSlabs(call);
}

void FrameReader::SwapBytes(std::span<std::byte> bytes) const {
  if (array_.big_endian) records::SwapBytes(bytes, array_.element_bytes());
}

// Frames whose own bytes lie together, one after the other unless other axes are in between.
uint64_t FrameReader::OffsetOf(uint64_t frame) const {
  uint64_t element = 0;
  for (size_t axis = 0; axis < array_.shape.size(); ++axis) {
    const bool other = axis != axes_.rows && axis != axes_.columns &&
                       std::ranges::find(axes_.navigation, axis) == axes_.navigation.end();
    if (other) element += axes_.fixed[axis] * stride_[axis];
  }
  for (size_t i = axes_.navigation.size(); i-- > 0;) {
    const size_t axis = axes_.navigation[i];
    element += frame % array_.shape[axis] * stride_[axis];
    frame /= array_.shape[axis];
  }
  return array_.offset + element * array_.element_bytes();
}

FrameLocation FrameReader::Locate(uint64_t frame) const {
  const bool plain = array_.storage == Storage::kContiguous && axes_.InOrder() && InOnePiece();
  return {file_, plain ? std::optional<uint64_t>(OffsetOf(frame)) : std::nullopt};
}

Status FrameReader::DecodeContiguous(Call& call) const {
  if (!InOnePiece()) return DecodeSlabs(call);
  for (uint64_t frame = call.first; frame < call.last;) {
    const uint64_t offset = OffsetOf(frame);
    uint64_t end = frame + 1;
    while (end < call.last && (end - frame) * frame_bytes_ < kReadBytes &&
           OffsetOf(end) == offset + (end - frame) * frame_bytes_) {
      ++end;
    }
    const auto to =
        call.destination.subspan((frame - call.first) * frame_bytes_, (end - frame) * frame_bytes_);
    PENSTOCK_RETURN_IF_ERROR(call.context.ReadInto(
        {file_, array_.container->fd(), offset, to.size()}, to, array_.container->path()));
    SwapBytes(to);
    frame = end;
  }
  return Status::Ok();
}

// Frames that are interleaved in a contiguous array: reads the span of one row of all frames at
// once where that is not too long, of one row of one frame otherwise.
Status FrameReader::DecodeSlabs(Call& call) const {
  const uint64_t size = array_.element_bytes();
  const auto element_of = [&](uint64_t frame, uint64_t row) {
    uint64_t element = row * stride_[axes_.rows];
    for (size_t i = axes_.navigation.size(); i-- > 0;) {
      const size_t axis = axes_.navigation[i];
      element += frame % array_.shape[axis] * stride_[axis];
      frame /= array_.shape[axis];
    }
    for (size_t axis = 0; axis < array_.shape.size(); ++axis) {
      const bool other = axis != axes_.rows && axis != axes_.columns &&
                         std::ranges::find(axes_.navigation, axis) == axes_.navigation.end();
      if (other) element += axes_.fixed[axis] * stride_[axis];
    }
    return element;
  };
  const uint64_t row_span = (columns_ - 1) * stride_[axes_.columns] + 1;  // elements
  for (uint64_t frame = call.first; frame < call.last;) {
    // As many frames as one read of a row may cover.
    uint64_t low = element_of(frame, 0);
    uint64_t high = low + row_span;
    uint64_t end = frame + 1;
    for (; end < call.last; ++end) {
      const uint64_t at = element_of(end, 0);
      const uint64_t new_low = std::min(low, at);
      const uint64_t new_high = std::max(high, at + row_span);
      if ((new_high - new_low) * size > kMaxSlabBytes) break;
      low = new_low;
      high = new_high;
    }
    const uint64_t bytes = (high - low) * size;
    if (call.context.scratch.size() < bytes) {
      PENSTOCK_ASSIGN_OR_RETURN(call.context.scratch, AlignedBuffer::Allocate(bytes));
    }
    const auto slab = call.context.scratch.span().first(bytes);
    for (uint64_t row = 0; row < rows_; ++row) {
      const uint64_t begin = low + row * stride_[axes_.rows];
      const uint64_t offset = array_.offset + begin * size;
      PENSTOCK_RETURN_IF_ERROR(
          ReadFully(array_.container->fd(), offset, slab, array_.container->path()));
      if (call.context.observer != nullptr) call.context.observer->OnBytes(file_, offset, slab);
      for (uint64_t f = frame; f < end; ++f) {
        CopyElements(
            slab.data() + (element_of(f, row) - begin) * size, stride_[axes_.columns],
            call.destination.data() + (f - call.first) * frame_bytes_ + row * columns_ * size,
            columns_, size);
      }
    }
    frame = end;
  }
  SwapBytes(call.destination);
  return Status::Ok();
}

uint64_t FrameReader::Deliver(const Box& box, const std::byte* chunk, const Call& call) const {
  return grid_.Deliver(box, chunk, call.first, call.last, call.destination);
}

Status FrameReader::DecodeChunks(Call& call) const {
  const uint64_t scratch = ScratchBytes();
  if (call.context.scratch.size() < scratch) {
    PENSTOCK_ASSIGN_OR_RETURN(call.context.scratch, AlignedBuffer::Allocate(scratch));
  }
  const uint64_t chunk_bytes = array_.chunk_bytes();
  const uint64_t filters = FilterScratchBytes(array_.filters, chunk_bytes);
  const auto memory = call.context.scratch.span();
  const uint64_t chunk_at = memory.size() - (chunk_bytes + 63) / 64 * 64;
  const Buffers buffers{.read = memory.first(chunk_at - filters),
                        .filters = memory.subspan(chunk_at - filters, filters),
                        .chunk = memory.subspan(chunk_at, chunk_bytes)};

  const uint64_t signal_chunks = grid_.SignalChunks();
  std::vector<Box> reads;
  for (const uint64_t chunk : grid_.NavigationChunks(call.first, call.last)) {
    for (uint64_t s = 0; s < signal_chunks; ++s) {
      Box box = grid_.BoxOf(chunk, s);
      if (const auto kept = cache_->Find(cache_key_ + box.index)) {
        cache_->Took(cache_key_ + box.index, Deliver(box, kept->data(), call));
      } else if (array_.storage != Storage::kChunks) {
        PENSTOCK_RETURN_IF_ERROR(ReadByLibrary(box, call, buffers));
      } else if (array_.chunks[box.index].offset == StoredChunk::kNone) {
        PENSTOCK_RETURN_IF_ERROR(FillChunk(box, call, buffers.chunk));
      } else {
        reads.push_back(std::move(box));
      }
    }
  }
  const auto offset = [&](const Box& box) { return array_.chunks[box.index].offset; };
  std::ranges::sort(reads, {}, offset);
  for (size_t begin = 0; begin < reads.size();) {
    const uint64_t start = offset(reads[begin]) - lead_[reads[begin].index];
    size_t end = begin + 1;
    for (; end < reads.size(); ++end) {
      const StoredChunk& before = array_.chunks[reads[end - 1].index];
      const StoredChunk& next = array_.chunks[reads[end].index];
      if (next.offset - lead_[reads[end].index] != before.offset + before.bytes ||
          next.offset + next.bytes - start > kReadBytes ||
          (in_order_ && start / kReadBytes != (next.offset + next.bytes - 1) / kReadBytes)) {
        break;
      }
    }
    PENSTOCK_RETURN_IF_ERROR(ReadRun(std::span(reads).subspan(begin, end - begin), call, buffers));
    begin = end;
  }
  return Status::Ok();
}

// Where the chunks lie in the order of the frames, the file is read in windows of one length, each
// while the one before is decoded; elsewhere each run on its own.
Status FrameReader::ReadRun(std::span<const Box> run, Call& call, const Buffers& buffers) const {
  const StoredChunk& first = array_.chunks[run.front().index];
  const StoredChunk& last = array_.chunks[run.back().index];
  const uint64_t start = first.offset - lead_[run.front().index];
  uint64_t end = last.offset + last.bytes;
  if (last.offset == last_offset_ && end - start + tail_ <= buffers.read.size()) end += tail_;
  std::span<const std::byte> bytes;
  if (in_order_) {
    PENSTOCK_ASSIGN_OR_RETURN(bytes, ReadWindows(start, end, call, buffers.read));
  } else {
    const auto to = buffers.read.first(end - start);
    PENSTOCK_RETURN_IF_ERROR(
        ReadFully(array_.container->fd(), start, to, array_.container->path()));
    bytes = to;
  }
  if (call.context.observer != nullptr) call.context.observer->OnBytes(file_, start, bytes);
  for (const Box& box : run) {
    const StoredChunk& chunk = array_.chunks[box.index];
    Status used =
        UseChunk(box, bytes.subspan(chunk.offset - start, chunk.bytes), chunk.mask, call, buffers);
    if (!used.ok()) return Explain(std::move(used).error(), box);
  }
  return Status::Ok();
}

// Bytes [start, end), out of one window where they lie in one, else put together in `buffer`.
Result<std::span<const std::byte>> FrameReader::ReadWindows(uint64_t start, uint64_t end,
                                                            Call& call,
                                                            std::span<std::byte> buffer) const {
  const Container& container = *array_.container;
  std::span<const std::byte> bytes;
  for (uint64_t at = start; at < end;) {
    const uint64_t window = at / kReadBytes * kReadBytes;
    const uint64_t length = std::min(kReadBytes, container.identity().size - window);
    PENSTOCK_ASSIGN_OR_RETURN(
        bytes, call.context.reader.Read({file_, container.fd(), window, length}, container.path()));
    const uint64_t stop = std::min(end, window + length);
    bytes = bytes.subspan(at - window, stop - at);
    if (at == start && stop == end) return bytes;
    std::memcpy(buffer.data() + (at - start), bytes.data(), bytes.size());
    at = stop;
  }
  return std::span<const std::byte>(buffer.first(end - start));
}

Status FrameReader::UseChunk(const Box& box, std::span<const std::byte> stored, uint32_t mask,
                             Call& call, const Buffers& buffers) const {
  if (const auto frame = grid_.WholeFrames(box, call.first, call.last)) {
    const auto to =
        call.destination.subspan((*frame - call.first) * frame_bytes_, array_.chunk_bytes());
    PENSTOCK_RETURN_IF_ERROR(
        UndoFilters(array_.filters, mask, stored, array_.element_bytes(), buffers.filters, to));
    SwapBytes(to);
    return Status::Ok();
  }
  const uint64_t frames = grid_.FramesIn(box);
  // Chunks that hold other frames than those of this call are kept for the next.
  ChunkCache::Buffer kept;
  if (frames > 1) kept = cache_->Allocate(array_.chunk_bytes());
  const std::span<std::byte> chunk = kept != nullptr ? std::span(*kept) : buffers.chunk;
  Status undone =
      UndoFilters(array_.filters, mask, stored, array_.element_bytes(), buffers.filters, chunk);
  if (!undone.ok()) {
    if (kept != nullptr) cache_->Keep(0, std::move(kept), 0);
    return undone;
  }
  SwapBytes(chunk);
  const uint64_t delivered = Deliver(box, chunk.data(), call);
  if (kept != nullptr) cache_->Keep(cache_key_ + box.index, std::move(kept), frames - delivered);
  return Status::Ok();
}

Status FrameReader::FillChunk(const Box& box, Call& call, std::span<std::byte> chunk) const {
  for (size_t at = 0; at < chunk.size(); at += array_.fill.size()) {
    std::memcpy(chunk.data() + at, array_.fill.data(), array_.fill.size());
  }
  Deliver(box, chunk.data(), call);
  grid_.ForEachFrame(box, [&](uint64_t frame, uint64_t) {
    if (frame < call.first || frame >= call.last) return;
    call.context.report->MarkInvalid(call.number + static_cast<int64_t>(frame - call.first),
                                     "a chunk of the frame was never written");
  });
  return Status::Ok();
}

// H5Dread of the box into memory that has the shape of a chunk.
Status FrameReader::LoadElements(const Box& box, std::span<std::byte> chunk) const {
  const Hdf5Session session;
  const auto rank = static_cast<int>(array_.shape.size());
  const std::vector<hsize_t> shape(array_.chunk.begin(), array_.chunk.end());
  const std::vector<hsize_t> origin(box.origin.begin(), box.origin.end());
  const std::vector<hsize_t> extent(box.extent.begin(), box.extent.end());
  const std::vector<hsize_t> zero(box.origin.size(), 0);
  const Hdf5Handle memory(H5Screate_simple(rank, shape.data(), nullptr), H5Sclose);
  const Hdf5Handle file(H5Dget_space(array_.object.id()), H5Sclose);
  H5Sselect_hyperslab(memory.get(), H5S_SELECT_SET, zero.data(), nullptr, extent.data(), nullptr);
  H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, origin.data(), nullptr, extent.data(), nullptr);
  const Hdf5Handle stored(H5Dget_type(array_.object.id()), H5Tclose);
  const Hdf5Handle native(H5Tget_native_type(stored.get(), H5T_DIR_ASCEND), H5Tclose);
  if (H5Tget_size(native.get()) != array_.element_bytes() ||
      H5Dread(array_.object.id(), native.get(), memory.get(), file.get(), H5P_DEFAULT,
              chunk.data()) < 0) {
    return Error::Corrupt("the HDF5 library cannot read the elements");
  }
  return Status::Ok();
}

Status FrameReader::ReadByLibrary(const Box& box, Call& call, const Buffers& buffers) const {
  if (array_.storage == Storage::kLibrary) {
    const uint64_t frames = grid_.FramesIn(box);
    ChunkCache::Buffer kept;
    if (frames > 1) kept = cache_->Allocate(array_.chunk_bytes());
    const std::span<std::byte> chunk = kept != nullptr ? std::span(*kept) : buffers.chunk;
    Status loaded = LoadElements(box, chunk);
    if (!loaded.ok()) {
      if (kept != nullptr) cache_->Keep(0, std::move(kept), 0);
      return Explain(std::move(loaded).error(), box);
    }
    const uint64_t delivered = Deliver(box, chunk.data(), call);
    if (kept != nullptr) cache_->Keep(cache_key_ + box.index, std::move(kept), frames - delivered);
    return Status::Ok();
  }
  hsize_t bytes = 0;
  uint32_t mask = 0;
  {
    const Hdf5Session session;
    const std::vector<hsize_t> origin(box.origin.begin(), box.origin.end());
    if (H5Dget_chunk_storage_size(array_.object.id(), origin.data(), &bytes) < 0 || bytes == 0) {
      return FillChunk(box, call, buffers.chunk);
    }
    if (bytes > buffers.read.size() || H5Dread_chunk(array_.object.id(), H5P_DEFAULT, origin.data(),
                                                     &mask, buffers.read.data()) < 0) {
      return Explain(Error::Corrupt("the HDF5 library cannot read a chunk"), box);
    }
  }
  Status used = UseChunk(box, buffers.read.first(bytes), mask, call, buffers);
  if (!used.ok()) return Explain(std::move(used).error(), box);
  return Status::Ok();
}

Error FrameReader::Explain(Error error, const Box& box) const {
  std::string place = fmt::format("{}, chunk at {}", array_.path, ShapeText(box.origin));
  if (array_.storage == Storage::kChunks) {
    place += fmt::format(" (byte {}, {} bytes)", array_.chunks[box.index].offset,
                         array_.chunks[box.index].bytes);
  }
  if (!error.place().empty()) place = error.place() + ", " + place;
  const bool damaged = error.advice().empty() && error.kind() == ErrorKind::kCorrupt;
  Error explained = std::move(error).In(array_.container->path().string()).At(std::move(place));
  if (!damaged) return explained;
  return std::move(explained).Advice("copy the file again from where it was recorded");
}

}  // namespace penstock::ingest::hdf5
