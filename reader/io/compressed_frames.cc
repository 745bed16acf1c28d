#include "reader/io/compressed_frames.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "penstock/base/file.h"

namespace penstock {

namespace {

// Of decoded frames: with what is stored of them they fit an L2 cache of 2 MiB.
constexpr uint64_t kRunBytes = uint64_t{1} << 20;
// The kernel is asked for so much at once, when half of it has been read.
constexpr uint64_t kAheadBytes = uint64_t{8} << 20;

int64_t FramesOfRun(uint64_t frame_bytes, int64_t tile_frames, size_t buffer_bytes) {
  const auto unit = static_cast<uint64_t>(std::max<int64_t>(tile_frames, 1));
  if (unit > buffer_bytes / frame_bytes) {
    return static_cast<int64_t>(std::max<uint64_t>(buffer_bytes / frame_bytes, 1));
  }
  return static_cast<int64_t>(std::max<uint64_t>(kRunBytes / frame_bytes / unit, 1) * unit);
}

Status MakeRoom(AlignedBuffer& buffer, size_t bytes) {
  if (buffer.size() >= bytes) return {};
  buffer = AlignedBuffer();  // the old one's memory first
  PENSTOCK_ASSIGN_OR_RETURN(buffer, AlignedBuffer::Allocate(bytes));
  return {};
}

}  // namespace

CompressedFrames::CompressedFrames(const Dataset& dataset, int64_t tile_frames, size_t buffer_bytes)
    : dataset_(dataset),
      frame_bytes_(dataset.shape().frame_bytes()),
      element_bytes_(ElementSize(dataset.shape().element_type)),
      run_frames_(FramesOfRun(frame_bytes_, tile_frames, buffer_bytes)) {}

Status CompressedFrames::Open(int fd, int64_t block, const std::filesystem::path& path) {
  Close();
  PENSTOCK_ASSIGN_OR_RETURN(
      index_, ChunkIndex::Read(fd, dataset_.shape(), dataset_.grid(), block,
                               dataset_.blocks()[static_cast<size_t>(block)].bytes, path));
  fd_ = fd;
  path_ = &path;
  return {};
}

void CompressedFrames::Close() {
  index_.reset();
  fd_ = -1;
}

CompressedFrames::StoredRange CompressedFrames::StoredBytesOf(FrameRange frames) const {
  return {.begin = index_->begin(index_->ChunkOfFrame(frames.first)),
          .end = index_->end(index_->ChunkOfFrame(frames.last - 1))};
}

Status CompressedFrames::Start(FrameRange frames, bool ahead, ChunkReader* past_cache) {
  frames_ = frames;
  past_cache_ = past_cache;
  next_ = frames.first;
  const int64_t first = index_->ChunkOfFrame(frames.first);
  const int64_t last = index_->ChunkOfFrame(frames.last - 1);
  decoded_ = {.first = index_->FramesOf(first).first, .last = index_->FramesOf(first).first};
  // A part of a chunk on either side of a run.
  const int64_t held =
      std::min(run_frames_, frames.last - frames.first) + 2 * (index_->chunk_frames() - 1);
  PENSTOCK_RETURN_IF_ERROR(MakeRoom(pixels_, static_cast<size_t>(held) * frame_bytes_));
  chunk_ = {};
  chunk_begin_ = index_->begin(first);
  advised_ = index_->begin(first);
  if (past_cache_ != nullptr) return {};
  advise_end_ = ahead ? index_->end(index_->chunk_count() - 1) : index_->end(last);
  Advise(advised_);
  return {};
}

void CompressedFrames::Advise(uint64_t from) {
  if (from + kAheadBytes / 2 < advised_ || advised_ >= advise_end_) return;
  const uint64_t end = std::min(advised_ + kAheadBytes, advise_end_);
  // Only a hint.
  posix_fadvise(fd_, static_cast<off_t>(advised_), static_cast<off_t>(end - advised_),
                POSIX_FADV_WILLNEED);
  advised_ = end;
}

Result<std::span<const std::byte>> CompressedFrames::ReadStored(uint64_t begin, uint64_t end) {
  if (past_cache_ != nullptr) return TakeFromChunks(begin, end);
  PENSTOCK_RETURN_IF_ERROR(MakeRoom(stored_, end - begin));
  const std::span<std::byte> stored = stored_.span().first(end - begin);
  Advise(begin);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd_, begin, stored, *path_));
  return std::span<const std::byte>(stored);
}

// Where they were read, but for bytes that lie in more than one chunk.
Result<std::span<const std::byte>> CompressedFrames::TakeFromChunks(uint64_t begin, uint64_t end) {
  size_t taken = 0;
  if (begin == end) return std::span<const std::byte>();  // all of them are lost
  while (true) {
    const uint64_t at = begin + taken;
    const uint64_t chunk_end = chunk_begin_ + chunk_.size();
    if (at >= chunk_begin_ && at < chunk_end) {
      const size_t count = std::min(end, chunk_end) - at;
      const std::span<const std::byte> part = chunk_.subspan(at - chunk_begin_, count);
      if (taken == 0 && at + count == end) return part;
      PENSTOCK_RETURN_IF_ERROR(MakeRoom(stored_, end - begin));
      std::copy(part.begin(), part.end(), stored_.data() + taken);
      taken += count;
      if (begin + taken == end) return std::span<const std::byte>(stored_.span().first(taken));
    }
    chunk_begin_ = chunk_end;
    PENSTOCK_ASSIGN_OR_RETURN(chunk_, past_cache_->Next());
    if (chunk_.empty()) return Error::Internal("read beyond the stored range").In(path_->string());
  }
}

Status CompressedFrames::DecodeChunk(int64_t chunk, std::span<const std::byte> stored,
                                     std::span<std::byte> pixels) {
  if (stored.empty()) {  // absent: all of its frames are lost
    std::memset(pixels.data(), 0, pixels.size());
    return {};
  }
  Status decoded = decoder_.Decode(element_bytes_, stored, pixels);
  if (decoded.ok()) return {};
  const FrameRange frames = index_->FramesOf(chunk);
  return Error(decoded.error())
      .In(path_->string())
      .At(fmt::format("offset {}, frames {}-{}", index_->begin(chunk), frames.first,
                      frames.last - 1));
}

Result<CompressedFrames::Run> CompressedFrames::Next(ExtentCheck& check) {
  Run run;
  run.frame_count = std::min(run_frames_, frames_.last - next_);
  if (run.frame_count == 0) return run;
  const int64_t end = next_ + run.frame_count;
  if (decoded_.first < next_ && decoded_.last > next_) {
    // The rest of the last chunk.
    std::memmove(pixels_.data(),
                 pixels_.data() + static_cast<size_t>(next_ - decoded_.first) * frame_bytes_,
                 static_cast<size_t>(decoded_.last - next_) * frame_bytes_);
    decoded_.first = next_;
  } else if (decoded_.last == next_) {
    decoded_.first = next_;
  }
  if (decoded_.last < end) {
    const int64_t first = index_->ChunkOfFrame(decoded_.last);
    const int64_t last = index_->ChunkOfFrame(end - 1);
    const uint64_t begin = index_->begin(first);
    const auto read = ReadStored(begin, index_->end(last));
    if (!read.ok()) {
      return Error(read.error()).At(fmt::format("frames {}-{}", next_, end - 1));
    }
    const std::span<const std::byte> stored = *read;
    PENSTOCK_RETURN_IF_ERROR(check.Update(stored));
    for (int64_t chunk = first; chunk <= last; ++chunk) {
      const size_t at = static_cast<size_t>(decoded_.last - decoded_.first) * frame_bytes_;
      PENSTOCK_RETURN_IF_ERROR(DecodeChunk(
          chunk,
          stored.subspan(index_->begin(chunk) - begin, index_->end(chunk) - index_->begin(chunk)),
          pixels_.span().subspan(at, index_->chunk_bytes())));
      decoded_.last = index_->FramesOf(chunk).last;
    }
  }
  run.pixels = pixels_.data() + static_cast<size_t>(next_ - decoded_.first) * frame_bytes_;
  next_ = end;
  return run;
}

}  // namespace penstock
