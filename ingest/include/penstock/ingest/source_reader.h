// SourceReader: reads a worker's share of the vendor's files, ahead of the decoder.
//
// A decoder asks for ranges that follow one another; while it works on one, the next of the same
// length is read. Files on a local disk are read directly (O_DIRECT) where the page cache does not
// hold them: copying a range into the page cache costs as much as decoding it, and an acquisition
// is larger than memory. What the page cache holds is taken from there.

#ifndef PENSTOCK_INGEST_SOURCE_READER_H_
#define PENSTOCK_INGEST_SOURCE_READER_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "penstock/base/result.h"

namespace penstock::ingest {

// Receives the source's bytes as the decoder reads them, so that vendor files are hashed while hot.
// Thread-safe.
class RawBytesObserver {
 public:
  virtual ~RawBytesObserver() = default;
  // `file` is an index into SourceDescription::files.
  virtual void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) = 0;
};

// Where a range of bytes lies. The descriptor must be open during the call only; the same index
// must mean the same file at every call.
struct SourceRange {
  size_t file = 0;  // index into SourceDescription::files
  int fd = -1;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Not thread-safe: one per worker.
class SourceReader {
 public:
  // Longer ranges are better asked for in parts: the memory that is used follows from the length.
  static constexpr uint64_t kMaxReadBytes = uint64_t{4} << 20;
  // What one reader uses when no range is longer than that: files read side by side (the sectors of
  // a camera) have a buffer and one for reading ahead each, those used last are kept.
  static constexpr uint64_t kMemoryBytes = uint64_t{24} << 20;

  SourceReader();
  ~SourceReader();
  SourceReader(SourceReader&&) noexcept;
  SourceReader& operator=(SourceReader&&) noexcept;

  // The bytes of the range. They stay valid until the next call for the same file, or for another
  // one; but where no range is longer than 768 KiB, 16 files keep theirs side by side. kCorrupt
  // where the file ends inside the range, kIo where the system says so, each with path and offset.
  Result<std::span<const std::byte>> Read(const SourceRange& range,
                                          const std::filesystem::path& path);

 private:
  class Streams;
  std::unique_ptr<Streams> streams_;  // made at the first use
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_SOURCE_READER_H_
