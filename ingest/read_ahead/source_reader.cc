#include "penstock/ingest/source_reader.h"

#include <algorithm>
#include <cstring>
#include <list>

#include "ingest/read_ahead/stream.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

class SourceReader::Streams {
 public:
  Result<ReadAheadStream*> Of(const SourceRange& range, const std::filesystem::path& path) {
    const auto known = std::ranges::find(streams_, range.file, &Entry::file);
    if (known != streams_.end()) {
      streams_.splice(streams_.begin(), streams_, known);
      return streams_.front().stream.get();
    }
    PENSTOCK_ASSIGN_OR_RETURN(SourceReadMode mode, SourceReadMode::Of(range.fd, path));
    MakeRoom(2 * range.bytes);
    streams_.push_front({range.file, std::make_unique<ReadAheadStream>(std::move(mode))});
    return streams_.front().stream.get();
  }

 private:
  struct Entry {
    size_t file;
    std::unique_ptr<ReadAheadStream> stream;
  };

  // Descriptors are few too: a series may have a file per frame.
  static constexpr size_t kMaxStreams = 16;

  void MakeRoom(uint64_t bytes) {
    uint64_t used = bytes;
    for (const Entry& entry : streams_) used += entry.stream->memory_bytes();
    while (!streams_.empty() && (used > kMemoryBytes || streams_.size() >= kMaxStreams)) {
      used -= streams_.back().stream->memory_bytes();
      streams_.pop_back();
    }
  }

  std::list<Entry> streams_;  // the last used in front
};

SourceReader::SourceReader() = default;
SourceReader::~SourceReader() = default;
SourceReader::SourceReader(SourceReader&&) noexcept = default;
SourceReader& SourceReader::operator=(SourceReader&&) noexcept = default;

Result<std::span<const std::byte>> SourceReader::Read(const SourceRange& range,
                                                      const std::filesystem::path& path) {
  if (streams_ == nullptr) streams_ = std::make_unique<Streams>();
  PENSTOCK_ASSIGN_OR_RETURN(ReadAheadStream* const stream, streams_->Of(range, path));
  return stream->Read(range.offset, range.bytes, path);
}

Result<std::span<const std::byte>> DecodeContext::Read(const SourceRange& range,
                                                       const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes, reader.Read(range, path));
  if (observer != nullptr) observer->OnBytes(range.file, range.offset, bytes);
  return bytes;
}

Status DecodeContext::ReadInto(const SourceRange& range, std::span<std::byte> destination,
                               const std::filesystem::path& path) {
  for (uint64_t done = 0; done < range.bytes;) {
    SourceRange part = range;
    part.offset += done;
    part.bytes = std::min(SourceReader::kMaxReadBytes, range.bytes - done);
    PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes, Read(part, path));
    std::memcpy(destination.data() + done, bytes.data(), bytes.size());
    done += part.bytes;
  }
  return Status::Ok();
}

}  // namespace penstock::ingest
