#include "ingest/formats/blo/blo_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ingest/formats/blo/blo_header.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/numbering.h"
#include "ingest/formats/records/record_series.h"
#include "ingest/formats/records/text.h"

namespace penstock::ingest {

namespace {

using blo::Header;
using blo::kRecordHeaderBytes;
using records::LoadLittle;
using records::MakeAnomaly;

bool HasMarker(std::span<const std::byte> record) {
  return record[0] == std::byte{0xAA} && record[1] == std::byte{0x55};
}

std::string Marker(std::span<const std::byte> record) {
  return records::Hexadecimal(record.first(2));
}

class BloSource final : public records::RecordSeries {
 public:
  BloSource(const SourceDescription& description, const Header& header,
            records::Numbering numbering)
      : RecordSeries(description,
                     {{.file = 0,
                       .first_record = header.frames_offset,
                       .frame_count = description.frame_count}},
                     header.RecordBytes()),
        numbering_(std::move(numbering)) {}

 protected:
  Status DecodeRun(const records::RecordRun& run, std::span<std::byte> frames,
                   DecodeReport& report) const override {
    for (int64_t i = 0; i < run.frame_count; ++i) {
      const auto record = run.bytes.subspan(static_cast<size_t>(i) * record_bytes());
      CheckHeader(run, i, record, report);
      std::memcpy(frames.data() + static_cast<size_t>(i) * frame_bytes(),
                  record.data() + kRecordHeaderBytes, frame_bytes());
    }
    return Status::Ok();
  }

 private:
  void CheckHeader(const records::RecordRun& run, int64_t i, std::span<const std::byte> record,
                   DecodeReport& report) const {
    const int64_t frame = run.first_frame + i;
    const uint64_t offset = run.offset + static_cast<uint64_t>(i) * record_bytes();
    if (!HasMarker(record)) {
      report.AddAnomaly(MakeAnomaly(
          AnomalyKind::kOther, PathOf(run),
          fmt::format("the frame begins with {} instead of aa 55: its pixels may be shifted",
                      Marker(record)),
          offset, frame));
      report.MarkInvalid(frame, "no marker in front of the frame");
      return;
    }
    const int64_t number = LoadLittle<uint32_t>(record, 2);
    FrameHeaderFacts facts;
    facts.sequence_number = number;
    report.AddFrameFacts(frame, facts);
    if (!numbering_.usable() || number == numbering_.Expected(frame)) return;
    report.AddAnomaly(MakeAnomaly(
        AnomalyKind::kOther, PathOf(run),
        fmt::format("the frame has number {}, expected {}", number, numbering_.Expected(frame)),
        offset, frame));
  }

  const records::Numbering numbering_;
};

class BloOpener {
 public:
  explicit BloOpener(const std::filesystem::path& path) : path_(path) {}

  Result<std::unique_ptr<FrameSource>> Open() {
    PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(path_));
    fd_ = file.fd.get();
    size_ = file.identity.size;
    PENSTOCK_ASSIGN_OR_RETURN(header_, blo::ReadHeader(fd_, size_, path_));
    if (size_ < header_.frames_offset || FramesInFile() == 0) {
      return Error::Corrupt("the file holds no complete frame")
          .In(path_.string())
          .AtOffset(header_.frames_offset)
          .Expected(fmt::format("frames of {} bytes from {} on", header_.RecordBytes(),
                                header_.frames_offset))
          .Found(fmt::format("a file of {} bytes", size_))
          .Advice("check whether the file was copied completely");
    }
    source_.format = "blo";
    source_.suggested_name = path_.stem().string();
    source_.files.push_back({path_, "frames", "application/x-blo", file.identity});
    source_.signal = {header_.side, header_.side};
    source_.element_type = header_.depth == 16 ? ElementType::kUint16 : ElementType::kUint8;
    PENSTOCK_RETURN_IF_ERROR(CheckMarkers());
    PENSTOCK_RETURN_IF_ERROR(CountFrames());
    for (const std::string& complaint : header_.complaints) Report(AnomalyKind::kOther, complaint);
    blo::Describe(header_, path_.filename().string(), source_);
    PENSTOCK_ASSIGN_OR_RETURN(records::Numbering numbering, Survey());
    std::ranges::copy(numbering.anomalies(), std::back_inserter(source_.anomalies));
    source_.missing_frames = numbering.missing();
    return std::unique_ptr<FrameSource>(
        std::make_unique<BloSource>(source_, header_, std::move(numbering)));
  }

 private:
  uint64_t FramesInFile() const { return (size_ - header_.frames_offset) / header_.RecordBytes(); }
  uint64_t OffsetOf(int64_t frame) const {
    return header_.frames_offset + static_cast<uint64_t>(frame) * header_.RecordBytes();
  }
  void Report(AnomalyKind kind, std::string message, std::optional<uint64_t> offset = {},
              std::optional<int64_t> frame = {}) {
    source_.anomalies.push_back(MakeAnomaly(kind, path_, std::move(message), offset, frame));
  }

  using RecordHeader = std::array<std::byte, kRecordHeaderBytes>;
  Result<RecordHeader> ReadRecordHeader(uint64_t offset) const {
    RecordHeader record;
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd_, offset, record, path_));
    return record;
  }

  // The first two frames tell whether place and depth of the pixels are right.
  Status CheckMarkers() {
    PENSTOCK_ASSIGN_OR_RETURN(const RecordHeader first, ReadRecordHeader(OffsetOf(0)));
    if (!HasMarker(first)) {
      return Error::Corrupt("there is no frame where the header says")
          .In(path_.string())
          .AtOffset(OffsetOf(0))
          .AtFrame(0)
          .Expected("aa 55")
          .Found(Marker(first))
          .Advice("the header is damaged, or the file was written by an unknown version");
    }
    if (FramesInFile() < 2) return Status::Ok();
    PENSTOCK_ASSIGN_OR_RETURN(const RecordHeader second, ReadRecordHeader(OffsetOf(1)));
    if (HasMarker(second)) return Status::Ok();
    const int other = header_.depth == 8 ? 16 : 8;
    const uint64_t other_offset = header_.frames_offset + header_.RecordBytes(other);
    if (other_offset + kRecordHeaderBytes > size_) return Status::Ok();
    PENSTOCK_ASSIGN_OR_RETURN(const RecordHeader there, ReadRecordHeader(other_offset));
    if (!HasMarker(there)) return Status::Ok();
    return Error::Contradiction("the pixels have another depth than the header says")
        .In(path_.string())
        .AtOffset(OffsetOf(1))
        .AtFrame(1)
        .Expected(fmt::format("the second frame {} bytes behind the first ({} bit)",
                              header_.RecordBytes(), header_.depth))
        .Found(fmt::format("it {} bytes behind ({} bit)", header_.RecordBytes(other), other))
        .Advice(
            "read it as raw: --format raw with --offset, --frame-header 6, --sig-shape, --dtype");
  }

  // What lies behind the declared frames counts as frames only where it begins like one.
  Status CountFrames() {
    const auto in_file = static_cast<int64_t>(FramesInFile());
    const int64_t declared = header_.Frames();
    source_.frame_count = in_file;
    const uint64_t rest = (size_ - header_.frames_offset) % header_.RecordBytes();
    if (in_file > declared) {
      PENSTOCK_ASSIGN_OR_RETURN(const RecordHeader next, ReadRecordHeader(OffsetOf(declared)));
      if (HasMarker(next)) return Status::Ok();  // the scan leaves them out and says so
      source_.frame_count = declared;
    }
    const uint64_t behind = size_ - OffsetOf(source_.frame_count);
    if (source_.frame_count < declared) {
      Report(rest != 0 ? AnomalyKind::kTruncated : AnomalyKind::kMissingFrame,
             fmt::format("expected {} frames of {} bytes for a scan of {} x {}, found {}{}",
                         declared, header_.RecordBytes(), header_.rows, header_.columns, in_file,
                         rest != 0 ? fmt::format(" and {} bytes of the next", rest) : ""),
             OffsetOf(in_file), in_file);
    } else if (behind != 0) {
      Report(AnomalyKind::kOther,
             fmt::format("{} bytes behind the last frame are left out", behind),
             OffsetOf(source_.frame_count));
    }
    return Status::Ok();
  }

  Result<records::Numbering> Survey() const {
    records::NumberedFrames frames;
    frames.frame_count = source_.frame_count;
    frames.file = path_;
    frames.largest = 4 * header_.Frames();
    frames.number = [this](int64_t frame) -> Result<int64_t> {
      PENSTOCK_ASSIGN_OR_RETURN(const RecordHeader record, ReadRecordHeader(OffsetOf(frame)));
      return int64_t{LoadLittle<uint32_t>(record, 2)};
    };
    return records::SurveyNumbering(frames);
  }

  const std::filesystem::path& path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  Header header_;
  SourceDescription source_;
};

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "blo"; }
  std::string_view description() const override { return "NanoMEGAS block file (BLO)"; }

  Detection Detect(const std::filesystem::path& /*path*/,
                   std::span<const std::byte> head) const override {
    if (!records::AsText(head).starts_with("IMGBLO")) return {};
    return {Confidence::kYes, "starts with 'IMGBLO'"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& /*options*/) const override {
    return BloOpener(path).Open();
  }
};

}  // namespace

const SourceFormat& BloFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
