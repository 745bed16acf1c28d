#include "ingest/read_ahead/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace penstock::ingest {

namespace {

// Reads of this length side by side keep a solid-state disk busy.
constexpr uint64_t kPieceBytes = uint64_t{1} << 20;
constexpr size_t kPieces = 8;

uint64_t AlignDown(uint64_t offset) { return offset / kDirectIoAlignment * kDirectIoAlignment; }
uint64_t AlignUp(uint64_t offset) { return AlignDown(offset + kDirectIoAlignment - 1); }

}  // namespace

ReadAheadStream::~ReadAheadStream() { Drain(); }

// The kernel writes into the buffers until the last completion.
void ReadAheadStream::Drain() {
  while (under_way_ > 0) {
    if (!TakeCompletion().ok()) return;
  }
}

Result<std::span<const std::byte>> ReadAheadStream::Read(uint64_t offset, uint64_t bytes,
                                                         const std::filesystem::path& path) {
  Window& ahead = windows_[1 - current_];
  const bool foreseen = ahead.Holds(offset, bytes);
  const bool follows = foreseen || windows_[current_].end == offset;
  if (foreseen) {
    current_ = 1 - current_;
  } else if (!windows_[current_].Holds(offset, bytes)) {
    Drain();
    ahead.filled = false;
    PENSTOCK_RETURN_IF_ERROR(Begin(windows_[current_], offset, bytes));
  }
  Window& window = windows_[current_];
  PENSTOCK_RETURN_IF_ERROR(Wait(window, path));
  // The caller is at the end of its window: the next range will be wanted soon.
  if (offset + bytes == window.end && (follows || offset == 0) &&
      mode_.file_bytes() >= kMinReadAheadBytes) {
    Window& next = windows_[1 - current_];
    next.filled = false;
    const uint64_t end = std::min(mode_.file_bytes(), window.end + bytes);
    // That it cannot be read ahead is no error: it may never be asked for.
    if (end > window.end && !Begin(next, window.end, end - window.end).ok()) next.filled = false;
  }
  return std::span<const std::byte>(window.buffer.span())
      .subspan(offset - window.read_begin, bytes);
}

Status ReadAheadStream::Begin(Window& window, uint64_t offset, uint64_t bytes) {
  if (queue_ == nullptr) {
    auto queue = mode_.file_bytes() < kMinReadAheadBytes
                     ? Result<std::unique_ptr<ReadQueue>>(MakePreadQueue())
                     : MakeUringQueue(static_cast<int>(2 * kPieces));
    queue_ = queue.ok() ? std::move(queue).value() : MakePreadQueue();
  }
  window.begin = offset;
  window.end = offset + bytes;
  window.failure.reset();
  window.direct = mode_.direct_fd() >= 0 && !mode_.IsResident(offset, bytes);
  window.read_begin = window.direct ? AlignDown(offset) : offset;
  const uint64_t read_end = window.direct ? AlignUp(window.end) : window.end;
  const uint64_t needed = std::max<uint64_t>(1, read_end - window.read_begin);
  if (window.buffer.size() < needed) {
    window.buffer = AlignedBuffer();
    PENSTOCK_ASSIGN_OR_RETURN(window.buffer, AlignedBuffer::Allocate(needed));
  }
  window.filled = true;
  const uint64_t piece_bytes = std::max(kPieceBytes, AlignUp((needed + kPieces - 1) / kPieces));
  size_t piece = 0;
  for (uint64_t at = window.read_begin; at < read_end; at += piece_bytes, ++piece) {
    window.piece_offsets[piece] = at;
    window.piece_bytes[piece] = std::min(piece_bytes, read_end - at);
    PENSTOCK_RETURN_IF_ERROR(SubmitPiece(window, piece));
    ++window.pieces_under_way;
    ++under_way_;
  }
  return Status::Ok();
}

Status ReadAheadStream::SubmitPiece(Window& window, size_t piece) {
  const auto tag = static_cast<uint64_t>(&window - windows_.data()) * kPieces + piece;
  return queue_->Submit(window.direct ? mode_.direct_fd() : mode_.buffered_fd(),
                        window.piece_offsets[piece],
                        window.buffer.data() + (window.piece_offsets[piece] - window.read_begin),
                        window.piece_bytes[piece], tag);
}

Status ReadAheadStream::TakeCompletion() {
  PENSTOCK_ASSIGN_OR_RETURN(const ReadQueue::Completion completion, queue_->Wait());
  Window& window = windows_[completion.tag / kPieces];
  const size_t piece = completion.tag % kPieces;
  uint64_t& offset = window.piece_offsets[piece];
  uint64_t& bytes = window.piece_bytes[piece];
  if (completion.result > 0) {
    const auto count = static_cast<uint64_t>(completion.result);
    offset += count;
    bytes -= std::min(bytes, count);
  }
  // A direct range may end behind the end of the file.
  const bool enough = bytes == 0 || offset >= window.end;
  const bool again = completion.result == -EINTR || completion.result == -EAGAIN;
  if (!enough && !window.failure && (completion.result > 0 || again)) {
    // After a short read the next offset need not be aligned.
    if (window.direct && offset % kDirectIoAlignment != 0) {
      window.failure = Error::Corrupt("the file ends too early")
                           .AtOffset(offset)
                           .Expected(fmt::format("at least {} bytes", window.end))
                           .Found(fmt::format("{} bytes", offset));
    } else {
      return SubmitPiece(window, piece);
    }
  }
  --window.pieces_under_way;
  --under_way_;
  if (enough || window.failure) return Status::Ok();
  if (completion.result == 0) {
    window.failure = Error::Corrupt("the file ends too early")
                         .AtOffset(offset)
                         .Expected(fmt::format("at least {} bytes", window.end))
                         .Found(fmt::format("{} bytes", offset));
  } else {
    window.failure =
        Error::FromErrno(static_cast<int>(-completion.result), "cannot read").AtOffset(offset);
  }
  return Status::Ok();
}

Status ReadAheadStream::Wait(Window& window, const std::filesystem::path& path) {
  while (window.pieces_under_way > 0) PENSTOCK_RETURN_IF_ERROR(TakeCompletion());
  if (!window.failure) return Status::Ok();
  // Some file systems take the flag and refuse the read.
  if (window.direct && window.failure->system_errno() == EINVAL) {
    Drain();
    mode_.GiveUpDirect();
    PENSTOCK_RETURN_IF_ERROR(Begin(window, window.begin, window.end - window.begin));
    return Wait(window, path);
  }
  Error failure = *window.failure;
  window.filled = false;
  window.failure.reset();
  return std::move(failure).In(path);
}

}  // namespace penstock::ingest
