#include "ingest/formats/tvips/tvips_format.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/numbering.h"
#include "ingest/formats/records/record_series.h"
#include "ingest/formats/records/text.h"
#include "ingest/formats/tvips/tvips_header.h"

namespace penstock::ingest {

namespace {

using records::MakeAnomaly;
using tvips::ImageHeader;
using tvips::ScanPosition;
using tvips::SeriesHeader;

constexpr size_t kMaxFiles = 65536;
// The begin of the scan, and the end of its first row, are looked for this far.
constexpr int64_t kMaxScanSearch = 4096;

class TvipsSource final : public records::RecordSeries {
 public:
  TvipsSource(SourceDescription description, std::vector<records::RecordFile> files,
              SeriesHeader header, records::Numbering numbering)
      : RecordSeries(std::move(description), std::move(files), header.RecordBytes()),
        header_(std::move(header)),
        numbering_(std::move(numbering)) {}

 protected:
  Status DecodeRun(const records::RecordRun& run, std::span<std::byte> frames,
                   DecodeReport& report) const override {
    for (int64_t i = 0; i < run.frame_count; ++i) {
      const auto record =
          run.bytes.subspan(static_cast<size_t>(i) * record_bytes(), record_bytes());
      std::memcpy(frames.data() + static_cast<size_t>(i) * frame_bytes(),
                  record.data() + header_.image_header_bytes, frame_bytes());
      ReportHeader(run, i, record.first(header_.UnderstoodBytes()), report);
    }
    return Status::Ok();
  }

 private:
  void ReportHeader(const records::RecordRun& run, int64_t i, std::span<const std::byte> bytes,
                    DecodeReport& report) const {
    const int64_t frame = run.first_frame + i;
    const ImageHeader image = tvips::ParseImageHeader(header_, bytes);
    FrameHeaderFacts facts;
    if (numbering_.usable()) facts.sequence_number = image.counter;
    facts.time_unix_ns = image.time_unix_ns;
    report.AddFrameFacts(frame, facts);
    if (!numbering_.usable() || image.counter == numbering_.Expected(frame)) return;
    report.AddAnomaly(MakeAnomaly(AnomalyKind::kOther, PathOf(run),
                                  fmt::format("the image has number {}, expected {}", image.counter,
                                              numbering_.Expected(frame)),
                                  run.offset + static_cast<uint64_t>(i) * record_bytes(), frame));
  }

  const SeriesHeader header_;
  const records::Numbering numbering_;
};

class TvipsOpener {
 public:
  TvipsOpener(const std::filesystem::path& path, const OpenOptions& options)
      : path_(path), options_(options) {}

  Result<std::unique_ptr<FrameSource>> Open() {
    PENSTOCK_RETURN_IF_ERROR(CollectFiles());
    PENSTOCK_RETURN_IF_ERROR(OpenFiles());
    source_.format = "tvips";
    const auto name = tvips::ParseName(path_);
    source_.suggested_name = name ? name->first : path_.stem().string();
    source_.signal = {header_.rows, header_.columns};
    source_.element_type = header_.Type();
    if (source_.frame_count == 0) {
      return Error::Corrupt("the stream holds no complete image")
          .In(source_.files.front().path.string())
          .AtOffset(tvips::kSeriesHeaderBytes)
          .Expected(fmt::format("images of {} bytes behind {} bytes of header",
                                header_.FrameBytes(), header_.image_header_bytes))
          .Found(fmt::format("a file of {} bytes", source_.files.front().identity.size))
          .Advice("check whether the files were copied completely");
    }
    PENSTOCK_ASSIGN_OR_RETURN(records::Numbering numbering, Survey());
    if (!lost_inside_.empty() && numbering.missing().empty()) {
      Report(AnomalyKind::kHeaderContradiction, path_,
             lost_inside_ +
                 ", and the numbers of the images do not say how many are lost: the "
                 "images behind have no certain place");
    }
    std::ranges::copy(numbering.anomalies(), std::back_inserter(source_.anomalies));
    source_.missing_frames = numbering.missing();
    PENSTOCK_RETURN_IF_ERROR(Describe());
    PENSTOCK_RETURN_IF_ERROR(FindScan());
    return std::unique_ptr<FrameSource>(std::make_unique<TvipsSource>(
        std::move(source_), std::move(files_), std::move(header_), std::move(numbering)));
  }

 private:
  std::filesystem::path Folder() const {
    return path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  }
  void Report(AnomalyKind kind, const std::filesystem::path& file, std::string message,
              std::optional<uint64_t> offset = {}, std::optional<int64_t> frame = {}) {
    source_.anomalies.push_back(MakeAnomaly(kind, file, std::move(message), offset, frame));
  }

  Status CollectFiles() {
    const auto name = tvips::ParseName(path_);
    if (!name || options_.this_file_only) {
      members_.emplace(0, path_);
      return Status::Ok();
    }
    std::error_code error;
    for (std::filesystem::directory_iterator entry(Folder(), error), end; !error && entry != end;
         entry.increment(error)) {
      const auto other = tvips::ParseName(entry->path());
      if (!other || other->first != name->first) continue;
      const auto [existing, inserted] = members_.emplace(other->second, entry->path());
      if (!inserted) {
        return Error::Contradiction("two files have the same number")
            .In(entry->path().string())
            .Expected("one file of each number")
            .Found(existing->second.filename().string());
      }
      if (members_.size() > kMaxFiles) {
        return Error::Unsupported(fmt::format("more than {} files", kMaxFiles)).In(path_.string());
      }
    }
    if (error) {
      return Error::FromErrno(error.value(), "cannot list the folder").In(Folder().string());
    }
    if (members_.empty()) {
      return Error::NotFound("the file is not there").In(path_.string());
    }
    if (members_.begin()->first != 0) {
      return Error::NotFound("the first file of the stream is not there")
          .In(path_.string())
          .Expected(fmt::format("{}_000.tvips, which holds the header", name->first))
          .Found(fmt::format("{} as the first", members_.begin()->second.filename().string()))
          .Advice("copy the missing file too");
    }
    return Status::Ok();
  }

  Status OpenFiles() {
    int64_t previous = -1;
    for (const auto& [number, member] : members_) {
      PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(member));
      const uint64_t size = file.identity.size;
      const bool first = source_.files.empty();
      if (first) {
        PENSTOCK_ASSIGN_OR_RETURN(header_, tvips::ReadSeriesHeader(file.fd.get(), size, member));
      }
      if (number != previous + 1) {
        lost_inside_ = fmt::format("a file is missing in front of {}", member.filename().string());
        Report(AnomalyKind::kMissingFrame, member, lost_inside_, {}, source_.frame_count);
      }
      previous = number;
      const uint64_t begin = first ? tvips::kSeriesHeaderBytes : 0;
      const uint64_t record = header_.RecordBytes();
      const uint64_t count = (size - begin) / record;
      const uint64_t rest = (size - begin) % record;
      files_.push_back({source_.files.size(), begin, static_cast<int64_t>(count)});
      source_.files.push_back({member, "frames", "application/x-tvips", file.identity});
      source_.frame_count += static_cast<int64_t>(count);
      if (rest == 0) continue;
      if (number != members_.rbegin()->first) {
        lost_inside_ = fmt::format("{} ends inside an image", member.filename().string());
      }
      Report(AnomalyKind::kTruncated, member,
             fmt::format("expected images of {} bytes, found {} bytes behind the last whole one, "
                         "which are left out",
                         record, rest),
             size - rest, source_.frame_count);
    }
    return Status::Ok();
  }

  Result<ImageHeader> HeaderOf(int64_t frame) {
    size_t index = 0;
    while (frame >= files_[index].frame_count) frame -= files_[index++].frame_count;
    const std::filesystem::path& path = source_.files[index].path;
    if (index != open_file_ || !open_.valid()) {
      PENSTOCK_ASSIGN_OR_RETURN(open_, OpenFile(path, O_RDONLY | O_NONBLOCK));
      open_file_ = index;
    }
    std::array<std::byte, tvips::kMaxImageHeaderBytes> buffer{};
    const auto bytes = std::span(buffer).first(header_.UnderstoodBytes());
    PENSTOCK_RETURN_IF_ERROR(
        ReadFully(open_.get(),
                  files_[index].first_record + static_cast<uint64_t>(frame) * header_.RecordBytes(),
                  bytes, path));
    return tvips::ParseImageHeader(header_, bytes);
  }

  Result<records::Numbering> Survey() {
    PENSTOCK_ASSIGN_OR_RETURN(const ImageHeader first, HeaderOf(0));
    records::NumberedFrames frames;
    frames.frame_count = source_.frame_count;
    frames.file = source_.files.front().path;
    // Streams are seen to begin with either; what was before the first image is not known.
    frames.first_number = first.counter;
    frames.largest = UINT32_MAX;
    frames.number = [this](int64_t frame) -> Result<int64_t> {
      PENSTOCK_ASSIGN_OR_RETURN(const ImageHeader image, HeaderOf(frame));
      return image.counter;
    };
    return records::SurveyNumbering(frames);
  }

  Status Describe() {
    PENSTOCK_ASSIGN_OR_RETURN(const ImageHeader first, HeaderOf(0));
    PENSTOCK_ASSIGN_OR_RETURN(const ImageHeader last, HeaderOf(source_.frame_count - 1));
    const std::string name = source_.files.front().path.filename().string();
    const auto add = [this](const char* path, Json value, const char* units, std::string evidence) {
      source_.facts.push_back({path, std::move(value), units, std::move(evidence)});
    };
    if (header_.high_tension > 0) {
      add("measurement/event1/instrument/ebeam_column/electron_source/voltage",
          header_.high_tension * 1000.0, "V",
          fmt::format("{}: stream header, high tension {} kV", name, header_.high_tension));
    }
    const std::string of_first = name + ": header of image 0, ";
    if (const auto text =
            first.time_unix_ns ? records::UtcText(*first.time_unix_ns) : std::nullopt) {
      for (const char* path : {"start_time", "measurement/event1/start_time"}) {
        add(path, *text, "", of_first + "Unix time");
      }
    }
    if (const auto text = last.time_unix_ns ? records::UtcText(*last.time_unix_ns) : std::nullopt) {
      add("measurement/event1/end_time", *text, "",
          fmt::format("{}: header of image {}, Unix time", name, source_.frame_count - 1));
    }
    const auto tilt = [&](const char* path, const std::optional<double>& degrees,
                          const char* what) {
      if (degrees && std::isfinite(*degrees)) add(path, *degrees, "deg", of_first + what);
    };
    tilt("measurement/event1/instrument/stage1/tilt1", first.stage_alpha, "stage alpha");
    tilt("measurement/event1/instrument/stage1/tilt2", first.stage_beta, "stage beta");
    if (first.mode == 1U || first.mode == 2U) {
      add("measurement/event1/instrument/ebeam_column/operation_mode",
          first.mode == 1U ? "imaging" : "diffraction", "",
          of_first + fmt::format("mode = {}", *first.mode));
    }
    source_.vendor_headers.push_back(
        {name + " stream header",
         fmt::format("version {}\ncolumns {}\nrows {}\nbits per pixel {}\ncamera offset {}, {}\n"
                     "camera binning {}, {}\npixel size {} nm\nhigh tension {} kV\ntotal "
                     "magnification {}\nimage header bytes {}\n",
                     header_.version, header_.columns, header_.rows, header_.bits, header_.offset_x,
                     header_.offset_y, header_.binning_x, header_.binning_y, header_.pixel_size,
                     header_.high_tension, header_.magnification, header_.image_header_bytes)});
    source_.vendor_headers.push_back(
        {name + " stream header (hexadecimal)", records::Hexadecimal(header_.fixed)});
    return Status::Ok();
  }

  // Images carry the position that the beam had: 0,0 until the scan begins, then along the rows.
  // The first image at x = 1 after one at 0,0 tells where it begins, the first step back how long
  // a row is.
  Status FindScan() {
    if (header_.version != 2 || header_.UnderstoodBytes() < 76) return Status::Ok();
    const int64_t limit = std::min(source_.frame_count, kMaxScanSearch);
    std::optional<int64_t> begin;
    std::optional<int64_t> columns;
    std::optional<ScanPosition> previous;
    for (int64_t frame = 0; frame < limit && !columns; ++frame) {
      PENSTOCK_ASSIGN_OR_RETURN(const ImageHeader image, HeaderOf(frame));
      if (!image.scan) return Status::Ok();
      if (begin && image.scan->x < previous->x) columns = previous->x + 1;
      if (!begin && previous == ScanPosition{0, 0} && image.scan == ScanPosition{1, 0}) {
        begin = frame - 1;
      }
      previous = image.scan;
    }
    if (!begin || !columns) return Status::Ok();
    const int64_t rows = (source_.frame_count - *begin) / *columns;
    if (rows < 1) return Status::Ok();
    const std::string name = source_.files.front().path.filename().string();
    source_.first_frame = *begin;
    source_.first_frame_evidence = fmt::format(
        "{}: scan positions of the image headers: the scan begins with image {}", name, *begin);
    source_.scan_shapes.push_back(
        {{rows, *columns, false},
         fmt::format("{}: scan positions of the image headers: rows of {}, {} whole rows", name,
                     *columns, rows)});
    const int64_t last = *begin + rows * *columns - 1;
    PENSTOCK_ASSIGN_OR_RETURN(const ImageHeader image, HeaderOf(last));
    const ScanPosition expected{*columns - 1, rows - 1};
    if (image.scan == expected) return Status::Ok();
    Report(AnomalyKind::kOther, path_,
           fmt::format(
               "expected scan position x = {}, y = {} in the last row, found {}: images "
               "were recorded behind the scan, or are missing inside it",
               expected.x, expected.y,
               image.scan ? fmt::format("x = {}, y = {}", image.scan->x, image.scan->y) : "none"),
           {}, last);
    return Status::Ok();
  }

  const std::filesystem::path& path_;
  const OpenOptions& options_;
  std::map<int64_t, std::filesystem::path> members_;
  std::vector<records::RecordFile> files_;
  std::string lost_inside_;  // why images inside the stream are lost, if they are
  SeriesHeader header_;
  FileDescriptor open_;  // the file that was looked into last
  size_t open_file_ = 0;
  SourceDescription source_;
};

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "tvips"; }
  std::string_view description() const override { return "TVIPS stream (TemCam)"; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    if (records::Lowercase(path.extension().string()) != ".tvips") return {};
    if (tvips::IsSeriesHeader(head)) return {Confidence::kYes, "a .tvips file with its header"};
    const auto name = tvips::ParseName(path);
    if (!name || name->second == 0) return {};
    return {Confidence::kYes, "a later file of a .tvips stream, by its name"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    return TvipsOpener(path, options).Open();
  }
};

}  // namespace

const SourceFormat& TvipsFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
