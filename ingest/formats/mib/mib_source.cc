#include "ingest/formats/mib/mib_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "ingest/formats/mib/mib_metadata.h"
#include "ingest/formats/mib/mib_scan_shape.h"

namespace penstock::ingest {

namespace {

// One read: large enough for the device, small enough that it is still in the cache when decoded.
constexpr uint64_t kReadBytes = SourceReader::kMaxReadBytes;
// Files kept open. A series of one file per frame opens the others as it goes.
constexpr size_t kMaxOpenFiles = 256;

constexpr std::string_view kMibMediaType = "application/x-medipix-mib";

SourceDescription Describe(const MibSeries& series, const MibFrameHeader& last) {
  const MibGeometry& geometry = series.first().geometry;
  SourceDescription description;
  description.format = "mib";
  description.suggested_name = series.name;
  for (const MibFile& file : series.files) {
    description.files.push_back({.path = file.path,
                                 .role = "frames",
                                 .media_type = std::string(kMibMediaType),
                                 .identity = file.identity});
  }
  description.signal = geometry.signal;
  description.element_type = geometry.element_type;
  description.frame_count = series.frame_count();
  description.facts = MibFacts(series, last);
  description.vendor_headers = MibVendorHeaders(series);
  description.anomalies = series.anomalies;

  // Merlin's own display shows stored row 0 at the bottom.
  description.orientation.stored_to_display = OrientationRecord::Matrix{-1, 0, 0, 1};
  description.orientation.stored_to_display_source = "vendor-default";
  return description;
}

void Append(std::vector<Anomaly>& anomalies, std::vector<Anomaly> more) {
  std::ranges::move(more, std::back_inserter(anomalies));
}

// The 2-pixel gap of layout 2x2G is not in raw data; readers disagree on whether to insert it.
void NoteGap(const MibSeries& series, SourceDescription& description) {
  const MibGeometry& geometry = series.first().geometry;
  if (!geometry.quad || geometry.layout.assembly != "2x2G") return;
  Anomaly anomaly;
  anomaly.file = series.first().path.string();
  anomaly.message =
      "layout 2x2G: the chips are 2 pixels apart, but raw data has no pixels for the gap; the "
      "image "
      "is stored without it";
  description.anomalies.push_back(std::move(anomaly));
}

Result<MibFrameHeader> LastHeader(const MibSeries& series) {
  const MibFile& file = series.files.back();
  if (file.frame_count == 1) return file.first_header;
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenMibFile(file.path));
  return ReadMibFrameHeader(fd.get(), file, file.frame_count - 1, series.frame_count() - 1);
}

// Frames before the first one: unless the .hdr file says that all are there.
void CheckStart(const MibSeries& series, bool part_of_series, SourceDescription& description) {
  const MibFile& file = series.first();
  const int64_t sequence = file.first_header.sequence_number;
  if (sequence == 1 || part_of_series) return;
  const bool complete =
      series.sidecar && series.sidecar->GetCount(mib_key::kFrames) == series.frame_count();
  Anomaly anomaly;
  anomaly.kind = complete || sequence == 0 ? AnomalyKind::kOther : AnomalyKind::kMissingFrame;
  anomaly.file = file.path.string();
  anomaly.byte_offset = 0;
  anomaly.frame = 0;
  anomaly.message = fmt::format(
      "the first frame has sequence number {}, not 1{}", sequence,
      complete ? ", though the .hdr file's number of frames is there" : ": a file may be missing");
  if (anomaly.kind == AnomalyKind::kMissingFrame) {
    description.missing_frames.push_back(
        {.before_frame = 0, .count = sequence - 1, .evidence = anomaly.message});
  }
  description.anomalies.push_back(std::move(anomaly));
}

// In the gaps of the numbering; 0 where the numbers are not credible as a count of frames.
int64_t LostFrames(const SourceDescription& description) {
  int64_t lost = 0;
  for (const MissingFrames& gap : description.missing_frames) {
    if (gap.count > description.frame_count - lost) return 0;
    lost += gap.count;
  }
  return lost;
}

}  // namespace

MibSource::MibSource(std::filesystem::path path, bool this_file_only, State state)
    : path_(std::move(path)), this_file_only_(this_file_only), state_(std::move(state)) {
  descriptors_.resize(state_.series.files.size());
}

Result<MibSource::State> MibSource::Inspect(const std::filesystem::path& path,
                                            bool this_file_only) {
  State state;
  PENSTOCK_ASSIGN_OR_RETURN(state.series, CollectMibSeries(path, this_file_only));
  const MibSeries& series = state.series;
  PENSTOCK_ASSIGN_OR_RETURN(const MibFrameHeader last, LastHeader(series));
  SourceDescription& description = state.description;
  description = Describe(series, last);
  if (series.sidecar) {
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(series.sidecar->path));
    description.files.push_back({.path = series.sidecar->path,
                                 .role = "header",
                                 .media_type = "text/plain",
                                 .identity = identity});
  }
  std::vector<Anomaly> remarks = MibLayoutRemarks(series.first().geometry.layout);
  for (Anomaly& remark : remarks) remark.file = series.first().path.string();
  Append(description.anomalies, std::move(remarks));
  NoteGap(series, description);
  Append(description.anomalies, CheckMibSidecar(series));

  PENSTOCK_ASSIGN_OR_RETURN(state.numbering, SurveyMibNumbering(series));
  CheckStart(series, this_file_only, description);
  Append(description.anomalies, state.numbering.anomalies);
  std::ranges::copy(state.numbering.missing, std::back_inserter(description.missing_frames));

  PENSTOCK_ASSIGN_OR_RETURN(MibScanShapes shapes,
                            FindMibScanShapes(series, this_file_only, LostFrames(description)));
  description.scan_shapes = std::move(shapes.shapes);
  Append(description.anomalies, std::move(shapes.anomalies));
  return state;
}

Result<std::unique_ptr<MibSource>> MibSource::Open(const std::filesystem::path& path,
                                                   bool this_file_only) {
  PENSTOCK_ASSIGN_OR_RETURN(State state, Inspect(path, this_file_only));
  return std::unique_ptr<MibSource>(new MibSource(path, this_file_only, std::move(state)));
}

Result<int64_t> MibSource::Refresh() {
  PENSTOCK_ASSIGN_OR_RETURN(State now, Inspect(path_, this_file_only_));
  const MibFile& before = state_.series.first();
  const MibFile& after = now.series.first();
  if (now.series.frame_count() < state_.series.frame_count() ||
      now.series.files.size() < state_.series.files.size() || before.path != after.path ||
      before.geometry.layout != after.geometry.layout ||
      before.first_header.sequence_number != after.first_header.sequence_number) {
    return Error::Contradiction("the acquisition changed while it was followed")
        .In(path_)
        .Expected(fmt::format("at least {} frames in {} files, beginning with {}",
                              state_.series.frame_count(), state_.series.files.size(),
                              before.path.filename().string()))
        .Found(fmt::format("{} frames in {} files, beginning with {}", now.series.frame_count(),
                           now.series.files.size(), after.path.filename().string()));
  }
  state_ = std::move(now);
  const std::lock_guard lock(mutex_);
  descriptors_.assign(state_.series.files.size(), nullptr);
  return state_.series.frame_count();
}

Result<std::shared_ptr<const FileDescriptor>> MibSource::Descriptor(size_t file) const {
  {
    const std::lock_guard lock(mutex_);
    if (descriptors_[file] != nullptr) return descriptors_[file];
  }
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenMibFile(state_.series.files[file].path));
  auto opened = std::make_shared<const FileDescriptor>(std::move(fd));
  if (file >= kMaxOpenFiles) return opened;
  const std::lock_guard lock(mutex_);
  if (descriptors_[file] == nullptr) descriptors_[file] = std::move(opened);
  return descriptors_[file];
}

std::optional<FrameLocation> MibSource::Locate(int64_t frame) const {
  const MibSeries& series = state_.series;
  const size_t file = series.FileOfFrame(frame);
  return FrameLocation{file, series.files[file].OffsetOf(frame - series.first_frames[file])};
}

Status MibSource::Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                         DecodeContext& context) const {
  const MibSeries& series = state_.series;
  const MibGeometry& geometry = series.first().geometry;
  assert(0 <= first && first <= last && last <= series.frame_count());
  assert(destination.size() == static_cast<uint64_t>(last - first) * geometry.image_bytes());
  assert(context.report != nullptr);
  const auto frames_per_read =
      static_cast<int64_t>(std::max<uint64_t>(1, kReadBytes / geometry.record_bytes));
  for (int64_t frame = first; frame < last;) {
    const size_t file = series.FileOfFrame(frame);
    const int64_t end = std::min({last, series.first_frames[file + 1], frame + frames_per_read});
    const uint64_t bytes = static_cast<uint64_t>(end - frame) * geometry.record_bytes;
    const uint64_t offset = series.files[file].OffsetOf(frame - series.first_frames[file]);
    PENSTOCK_ASSIGN_OR_RETURN(const std::shared_ptr<const FileDescriptor> fd, Descriptor(file));
    PENSTOCK_ASSIGN_OR_RETURN(
        const std::span<const std::byte> records,
        context.Read({file, fd->get(), offset, bytes}, series.files[file].path));
    const uint64_t images_at = static_cast<uint64_t>(frame - first) * geometry.image_bytes();
    PENSTOCK_RETURN_IF_ERROR(DecodeRecords(
        file, frame, records,
        destination.subspan(images_at, static_cast<uint64_t>(end - frame) * geometry.image_bytes()),
        *context.report));
    frame = end;
  }
  return {};
}

Status MibSource::DecodeRecords(size_t file, int64_t first, std::span<const std::byte> records,
                                std::span<std::byte> images, DecodeReport& report) const {
  const MibGeometry& geometry = state_.series.first().geometry;
  const size_t count = records.size() / geometry.record_bytes;
  for (size_t i = 0; i < count; ++i) {
    const std::span<const std::byte> record =
        records.subspan(i * geometry.record_bytes, geometry.record_bytes);
    PENSTOCK_RETURN_IF_ERROR(CheckHeader(file, first + static_cast<int64_t>(i), record, report));
    DecodeMibPayload(geometry, record.subspan(geometry.layout.header_bytes),
                     images.subspan(i * geometry.image_bytes(), geometry.image_bytes()));
  }
  return {};
}

Status MibSource::CheckHeader(size_t file, int64_t frame, std::span<const std::byte> record,
                              DecodeReport& report) const {
  const MibFile& source = state_.series.files[file];
  const uint64_t offset = source.OffsetOf(frame - state_.series.first_frames[file]);
  PENSTOCK_ASSIGN_OR_RETURN(const MibFrameHeader header,
                            ParseLaterMibHeader(record, source, offset, frame));
  // Where the survey found a break it has been reported; what disagrees with it is news.
  auto anomaly = MibNumberAnomaly(source.path, offset, frame,
                                  state_.numbering.ExpectedSequence(frame), header.sequence_number);
  if (anomaly) report.AddAnomaly(std::move(*anomaly));
  report.AddFrameFacts(frame, {.sequence_number = header.sequence_number,
                               .exposure_ns = header.exposure_ns,
                               .time_unix_ns = header.utc_unix_ns});
  return {};
}

}  // namespace penstock::ingest
