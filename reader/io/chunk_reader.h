// ChunkReader: a byte range of a file, read ahead chunk by chunk into a few reused buffers in huge
// pages.
//
// While the caller works on one chunk the next ones are being read, never more requests than the
// queue depth at a time, which adapts to the disk. The buffers are allocated once, registered with
// the kernel and serve any number of ranges: fresh memory per block would halve the rate. There are
// no more of them in use than that depth needs, so that what has come is still in the processor's
// cache when it is worked on.

#ifndef PENSTOCK_READER_IO_CHUNK_READER_H_
#define PENSTOCK_READER_IO_CHUNK_READER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/read_queue.h"
#include "penstock/base/result.h"
#include "reader/io/read_depth.h"

namespace penstock {

// What is to be read. `fd` and the file must stay until the range is read or another one begins.
struct ByteRange {
  int fd = -1;
  uint64_t begin = 0;
  uint64_t end = 0;
  size_t chunk_bytes = 0;  // the last chunk may be shorter
};

// Not thread-safe; one per worker.
class ChunkReader {
 public:
  // `depth` reads of `request_bytes` under way, 0: as many as bring more (ReadDepth); io_uring if
  // `asynchronous` and the kernel has it.
  ChunkReader(size_t request_bytes, int depth, bool asynchronous);
  ~ChunkReader();
  ChunkReader(const ChunkReader&) = delete;
  ChunkReader& operator=(const ChunkReader&) = delete;

  // Begins to read. With O_DIRECT descriptors the requests are aligned, whatever the range.
  Status Start(const ByteRange& range, const std::filesystem::path& path_for_errors);
  // The next chunk; empty after the last. Valid until the next call. A failed read names file and
  // offset; a file that ends inside of the range is kCorrupt.
  Result<std::span<const std::byte>> Next();
  // True where the rest comes without another call: its reads are done or under way.
  bool HasAskedForAll() const { return queue_->is_asynchronous() && submit_chunk_ == chunk_count_; }

 private:
  struct Slot {
    std::span<std::byte> buffer;
    int pending = 0;
  };
  struct Request {
    bool busy = false;
    size_t slot = 0;
    uint64_t offset = 0;
    std::byte* to = nullptr;
    size_t bytes = 0;
  };

  uint64_t ChunkBegin(int64_t chunk) const;
  uint64_t ChunkEnd(int64_t chunk) const;
  size_t SlotsFor(int depth) const;
  Status AllocateSlots(size_t count, size_t bytes);
  Status Submit(size_t request);
  Status SubmitAhead();
  Status TakeCompletion();
  void Drain();

  size_t request_bytes_;
  ReadDepth depth_;
  std::chrono::steady_clock::time_point last_chunk_;  // when it was handed out
  std::unique_ptr<ReadQueue> queue_;
  AlignedBuffer memory_;  // of all slots
  std::vector<Slot> slots_;
  size_t slots_used_ = 0;  // by this range
  std::vector<Request> requests_;
  int under_way_ = 0;

  ByteRange range_;
  std::filesystem::path path_;
  int64_t chunk_count_ = 0;
  int64_t current_ = -1;        // the chunk that the caller holds
  int64_t submit_chunk_ = 0;    // the chunk that is being submitted
  uint64_t submit_offset_ = 0;  // how far, as a file offset
  std::optional<Error> failure_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_CHUNK_READER_H_
