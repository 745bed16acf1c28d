// One file read in ranges that follow one another, each read while the caller works on the one
// before.

#ifndef PENSTOCK_INGEST_READ_AHEAD_STREAM_H_
#define PENSTOCK_INGEST_READ_AHEAD_STREAM_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "ingest/read_ahead/source_file.h"
#include "penstock/base/aligned_buffer.h"
#include "penstock/base/read_queue.h"
#include "penstock/base/result.h"

namespace penstock::ingest {

// Not thread-safe.
class ReadAheadStream {
 public:
  explicit ReadAheadStream(SourceReadMode mode) : mode_(std::move(mode)) {}
  ~ReadAheadStream();
  ReadAheadStream(const ReadAheadStream&) = delete;
  ReadAheadStream& operator=(const ReadAheadStream&) = delete;

  uint64_t memory_bytes() const { return windows_[0].buffer.size() + windows_[1].buffer.size(); }
  // As SourceReader::Read.
  Result<std::span<const std::byte>> Read(uint64_t offset, uint64_t bytes,
                                          const std::filesystem::path& path);

 private:
  // A range that is being read or has been; the pieces are read side by side.
  struct Window {
    AlignedBuffer buffer;
    uint64_t begin = 0;  // of what was asked for
    uint64_t end = 0;
    uint64_t read_begin = 0;  // of what is read: aligned where it is read directly
    bool direct = false;
    bool filled = false;  // holds begin to end, or is about to
    std::array<uint64_t, 8> piece_offsets{};
    std::array<uint64_t, 8> piece_bytes{};
    size_t pieces_under_way = 0;
    std::optional<Error> failure;

    bool Holds(uint64_t offset, uint64_t bytes) const {
      return filled && begin <= offset && offset + bytes <= end;
    }
  };

  Status Begin(Window& window, uint64_t offset, uint64_t bytes);
  Status SubmitPiece(Window& window, size_t piece);
  Status Wait(Window& window, const std::filesystem::path& path);
  Status TakeCompletion();
  void Drain();

  SourceReadMode mode_;
  std::unique_ptr<ReadQueue> queue_;
  std::array<Window, 2> windows_;
  size_t current_ = 0;  // the window that the caller holds
  size_t under_way_ = 0;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_READ_AHEAD_STREAM_H_
