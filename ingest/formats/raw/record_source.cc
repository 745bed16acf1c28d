#include "ingest/formats/raw/record_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "ingest/formats/records/numbers.h"

namespace penstock::ingest {

namespace {

using records::SwapBytes;

// Bytes read at once where the frames do not lie back to back.
constexpr uint64_t kReadBytes = SourceReader::kMaxReadBytes;

class RecordSource final : public FrameSource {
 public:
  RecordSource(SourceDescription description, RecordLayout layout, FileDescriptor fd, bool may_grow)
      : description_(std::move(description)),
        layout_(layout),
        fd_(std::move(fd)),
        may_grow_(may_grow) {}

  const SourceDescription& description() const override { return description_; }

  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override {
    assert(first >= 0 && first <= last && last <= description_.frame_count);
    assert(destination.size() == static_cast<uint64_t>(last - first) * layout_.frame_bytes);
    if (layout_.record_bytes() == layout_.frame_bytes) {
      return DecodeContiguous(first, destination, context);
    }
    // Only the frames' own bytes are copied out of the records.
    const auto records_at_once =
        static_cast<int64_t>(std::max<uint64_t>(1, kReadBytes / layout_.record_bytes()));
    for (int64_t frame = first; frame < last;) {
      const int64_t count = std::min(records_at_once, last - frame);
      PENSTOCK_RETURN_IF_ERROR(DecodeRecords(frame, count, destination, context));
      destination = destination.subspan(static_cast<uint64_t>(count) * layout_.frame_bytes);
      frame += count;
    }
    return Status::Ok();
  }

  std::optional<FrameLocation> Locate(int64_t frame) const override {
    return FrameLocation{0, OffsetOf(frame)};
  }

  bool MayGrow() const override { return may_grow_; }

  Result<int64_t> Refresh() override {
    if (!may_grow_) return description_.frame_count;
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity now, IdentifyFile(path()));
    const FileIdentity& before = description_.files.front().identity;
    if (now.inode != before.inode || now.device != before.device || now.size < before.size) {
      return Error::Contradiction("the file was replaced or cut while it was followed")
          .In(path().string())
          .Expected(fmt::format("at least {} bytes of the same file", before.size))
          .Found(fmt::format("{} bytes{}", now.size,
                             now.inode == before.inode ? "" : " of another file of this name"));
    }
    std::erase_if(description_.anomalies,
                  [](const Anomaly& anomaly) { return anomaly.kind == AnomalyKind::kTruncated; });
    if (auto torn = TornRecord(path(), now.size, layout_)) {
      description_.anomalies.push_back(*std::move(torn));
    }
    description_.files.front().identity = now;
    description_.frame_count =
        static_cast<int64_t>((now.size - layout_.file_header_bytes) / layout_.record_bytes());
    return description_.frame_count;
  }

 private:
  const std::filesystem::path& path() const { return description_.files.front().path; }

  uint64_t OffsetOf(int64_t frame) const {
    return layout_.file_header_bytes + static_cast<uint64_t>(frame) * layout_.record_bytes();
  }

  Status DecodeContiguous(int64_t first, std::span<std::byte> destination,
                          DecodeContext& context) const {
    const uint64_t offset = OffsetOf(first);
    PENSTOCK_RETURN_IF_ERROR(
        context.ReadInto({0, fd_.get(), offset, destination.size()}, destination, path()));
    SwapBytes(destination, layout_.swap_bytes);
    return Status::Ok();
  }

  Status DecodeRecords(int64_t first, int64_t count, std::span<std::byte> destination,
                       DecodeContext& context) const {
    const uint64_t bytes = static_cast<uint64_t>(count) * layout_.record_bytes();
    PENSTOCK_ASSIGN_OR_RETURN(const std::span<const std::byte> records,
                              context.Read({0, fd_.get(), OffsetOf(first), bytes}, path()));
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t at = static_cast<uint64_t>(i) * layout_.record_bytes();
      const std::span<std::byte> frame =
          destination.subspan(static_cast<uint64_t>(i) * layout_.frame_bytes, layout_.frame_bytes);
      std::memcpy(frame.data(), records.data() + at + layout_.frame_header_bytes, frame.size());
      SwapBytes(frame, layout_.swap_bytes);
    }
    return Status::Ok();
  }

  SourceDescription description_;
  const RecordLayout layout_;
  const FileDescriptor fd_;
  const bool may_grow_;
};

}  // namespace

std::unique_ptr<FrameSource> MakeRecordSource(SourceDescription description, RecordLayout layout,
                                              FileDescriptor fd, bool may_grow) {
  return std::make_unique<RecordSource>(std::move(description), layout, std::move(fd), may_grow);
}

std::optional<Anomaly> TornRecord(const std::filesystem::path& path, uint64_t file_bytes,
                                  const RecordLayout& layout) {
  const uint64_t record = layout.record_bytes();
  const uint64_t body = file_bytes - layout.file_header_bytes;
  if (body % record == 0) return std::nullopt;
  Anomaly anomaly;
  anomaly.kind = AnomalyKind::kTruncated;
  anomaly.file = path.string();
  anomaly.byte_offset = file_bytes - body % record;
  anomaly.frame = static_cast<int64_t>(body / record);
  anomaly.message = fmt::format(
      "expected whole records of {} bytes, found {} bytes after the last one, which are left out",
      record, body % record);
  return anomaly;
}

Result<OpenedFile> OpenRegularFile(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDONLY | O_NONBLOCK));
  struct stat information {};
  if (fstat(fd.get(), &information) != 0) {
    return Error::FromErrno(errno, "cannot examine").In(path.string());
  }
  if (!S_ISREG(information.st_mode)) {
    return Error::InvalidArgument("not a regular file")
        .In(path.string())
        .Expected("a file")
        .Found(S_ISDIR(information.st_mode) ? "a directory" : "a device, pipe or socket");
  }
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  return OpenedFile{std::move(fd), identity};
}

}  // namespace penstock::ingest
