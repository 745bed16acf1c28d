#include "ingest/formats/records/record_series.h"

#include <algorithm>
#include <cassert>

#include "ingest/formats/raw/record_source.h"

namespace penstock::ingest::records {

namespace {

constexpr uint64_t kReadBytes = SourceReader::kMaxReadBytes;
// Files kept open; the others are opened as they are needed.
constexpr size_t kMaxOpenFiles = 256;

}  // namespace

RecordSeries::RecordSeries(SourceDescription description, std::vector<RecordFile> files,
                           uint64_t record_bytes)
    : description_(std::move(description)), files_(std::move(files)), record_bytes_(record_bytes) {
  frame_bytes_ = static_cast<uint64_t>(description_.signal.pixel_count()) *
                 ElementSize(description_.element_type);
  int64_t frames = 0;
  for (const RecordFile& file : files_) {
    first_frames_.push_back(frames);
    frames += file.frame_count;
  }
  first_frames_.push_back(frames);
  assert(frames == description_.frame_count);
  descriptors_.resize(files_.size());
}

size_t RecordSeries::FileOfFrame(int64_t frame) const {
  const auto after = std::ranges::upper_bound(first_frames_, frame);
  return static_cast<size_t>(after - first_frames_.begin()) - 1;
}

uint64_t RecordSeries::OffsetOf(size_t index, int64_t frame) const {
  return files_[index].first_record +
         static_cast<uint64_t>(frame - first_frames_[index]) * record_bytes_;
}

std::optional<FrameLocation> RecordSeries::Locate(int64_t frame) const {
  assert(0 <= frame && frame < description_.frame_count);
  const size_t index = FileOfFrame(frame);
  return FrameLocation{files_[index].file, OffsetOf(index, frame)};
}

Result<std::shared_ptr<const FileDescriptor>> RecordSeries::Descriptor(size_t index) const {
  {
    const std::lock_guard lock(mutex_);
    if (descriptors_[index] != nullptr) return descriptors_[index];
  }
  PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file,
                            OpenRegularFile(description_.files[files_[index].file].path));
  auto opened = std::make_shared<const FileDescriptor>(std::move(file.fd));
  if (index >= kMaxOpenFiles) return opened;
  const std::lock_guard lock(mutex_);
  if (descriptors_[index] == nullptr) descriptors_[index] = std::move(opened);
  return descriptors_[index];
}

// A record that is larger than a read is put together in the scratch memory.
Result<std::span<const std::byte>> RecordSeries::ReadRange(const SourceRange& range,
                                                           DecodeContext& context) const {
  const std::filesystem::path& path = description_.files[range.file].path;
  if (range.bytes <= kReadBytes) return context.Read(range, path);
  if (context.scratch.size() < range.bytes) {
    PENSTOCK_ASSIGN_OR_RETURN(context.scratch, AlignedBuffer::Allocate(range.bytes));
  }
  const std::span<std::byte> bytes = context.scratch.span().first(range.bytes);
  PENSTOCK_RETURN_IF_ERROR(context.ReadInto(range, bytes, path));
  return std::span<const std::byte>(bytes);
}

Status RecordSeries::Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                            DecodeContext& context) const {
  assert(0 <= first && first <= last && last <= description_.frame_count);
  assert(destination.size() == static_cast<uint64_t>(last - first) * frame_bytes_);
  assert(context.report != nullptr);
  const auto frames_per_read =
      static_cast<int64_t>(std::max<uint64_t>(1, kReadBytes / record_bytes_));
  for (int64_t frame = first; frame < last;) {
    const size_t index = FileOfFrame(frame);
    const RecordFile& file = files_[index];
    const int64_t end = std::min({last, first_frames_[index + 1], frame + frames_per_read});
    RecordRun run;
    run.first_frame = frame;
    run.frame_count = end - frame;
    run.file = file.file;
    run.offset = OffsetOf(index, frame);
    const uint64_t bytes = static_cast<uint64_t>(run.frame_count) * record_bytes_;
    PENSTOCK_ASSIGN_OR_RETURN(const std::shared_ptr<const FileDescriptor> fd, Descriptor(index));
    const SourceRange range{run.file, fd->get(), run.offset, bytes};
    PENSTOCK_ASSIGN_OR_RETURN(run.bytes, ReadRange(range, context));
    const uint64_t frames_bytes = static_cast<uint64_t>(run.frame_count) * frame_bytes_;
    PENSTOCK_RETURN_IF_ERROR(DecodeRun(run, destination.first(frames_bytes), *context.report));
    destination = destination.subspan(frames_bytes);
    frame = end;
  }
  return Status::Ok();
}

}  // namespace penstock::ingest::records
