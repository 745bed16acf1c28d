#include "ingest/formats/frms6/frms6_format.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "ingest/formats/frms6/frms6_header.h"
#include "ingest/formats/records/correction.h"
#include "ingest/formats/records/record_series.h"
#include "ingest/formats/records/text.h"

namespace penstock::ingest {

namespace {

using frms6::File;
using frms6::Measurement;
using records::Correction;
using records::MakeAnomaly;

constexpr size_t kMaxFiles = 65536;

// The two halves of the chip lie side by side: the left one is the upper half of the image, the
// right one, turned by 180 degrees, the lower. Rows that were binned are repeated.
struct Unfolding {
  size_t stored_rows = 0;
  size_t columns = 0;  // of the image
  size_t binning = 1;

  size_t Rows() const { return 2 * stored_rows * binning; }

  // Calls sink(image row, pixels) for each image row of a folded frame.
  template <typename Sink>
  void Apply(std::span<const std::byte> folded, std::vector<uint16_t>& row, Sink sink) const {
    row.resize(columns);
    const auto pixels = std::as_bytes(std::span(row));
    for (size_t y = 0; y < 2 * stored_rows; ++y) {
      const bool lower = y >= stored_rows;
      const size_t stored = lower ? 2 * stored_rows - 1 - y : y;
      const std::byte* const from =
          folded.data() + (stored * 2 * columns + (lower ? columns : 0)) * sizeof(uint16_t);
      std::memcpy(row.data(), from, columns * sizeof(uint16_t));
      if (lower) std::reverse(row.begin(), row.end());
      for (size_t i = 0; i < binning; ++i) sink(y * binning + i, pixels);
    }
  }
};

class Frms6Source final : public records::RecordSeries {
 public:
  Frms6Source(SourceDescription description, std::vector<records::RecordFile> files,
              uint64_t record_bytes, Unfolding unfolding, Correction correction)
      : RecordSeries(std::move(description), std::move(files), record_bytes),
        unfolding_(unfolding),
        correction_(std::move(correction)) {}

 protected:
  Status DecodeRun(const records::RecordRun& run, std::span<std::byte> frames,
                   DecodeReport& /*report*/) const override {
    std::vector<uint16_t> row;
    const size_t image_row_bytes = unfolding_.columns * ElementSize(description().element_type);
    for (int64_t i = 0; i < run.frame_count; ++i) {
      const auto record =
          run.bytes.subspan(static_cast<size_t>(i) * record_bytes(), record_bytes());
      const auto image = frames.subspan(static_cast<size_t>(i) * frame_bytes(), frame_bytes());
      unfolding_.Apply(record.subspan(frms6::kFrameHeaderBytes), row,
                       [&](size_t y, std::span<const std::byte> pixels) {
                         const auto place = image.subspan(y * image_row_bytes, image_row_bytes);
                         if (correction_.empty()) {
                           std::memcpy(place.data(), pixels.data(), pixels.size());
                         } else {
                           records::Correct(correction_, y * unfolding_.columns,
                                            ElementType::kUint16, pixels, place);
                         }
                       });
    }
    return Status::Ok();
  }

 private:
  const Unfolding unfolding_;
  const Correction correction_;
};

class Frms6Opener {
 public:
  Frms6Opener(const std::filesystem::path& path, const OpenOptions& options)
      : path_(path), options_(options) {}

  Result<std::unique_ptr<FrameSource>> Open() {
    const auto name = frms6::ParseName(path_);
    base_ = name ? name->first : path_.stem().string();
    PENSTOCK_RETURN_IF_ERROR(ReadMeasurement());
    PENSTOCK_RETURN_IF_ERROR(CollectFiles());
    PENSTOCK_RETURN_IF_ERROR(CheckSameGeometry());
    const File& first = signal_.front();
    unfolding_ = {static_cast<size_t>(first.rows), static_cast<size_t>(first.columns) / 2,
                  static_cast<size_t>(measurement_.binning)};
    source_.format = "frms6";
    source_.suggested_name = base_;
    source_.signal = {static_cast<int64_t>(unfolding_.Rows()),
                      static_cast<int64_t>(unfolding_.columns)};
    source_.element_type = ElementType::kUint16;
    std::vector<records::RecordFile> files = CountFrames();
    if (source_.frame_count == 0) {
      return Error::Corrupt("the acquisition holds no complete frame")
          .In(first.path.string())
          .Expected(fmt::format("frames of {} bytes after a header of {}", first.RecordBytes(),
                                frms6::kFileHeaderBytes))
          .Found(fmt::format("{} files without one", signal_.size()))
          .Advice("check whether the files were copied completely");
    }
    CheckCounts();
    CheckWindow();
    AddOtherFiles();
    Describe();
    PENSTOCK_RETURN_IF_ERROR(PrepareCorrection());
    return std::unique_ptr<FrameSource>(
        std::make_unique<Frms6Source>(std::move(source_), std::move(files), first.RecordBytes(),
                                      unfolding_, std::move(correction_)));
  }

 private:
  std::filesystem::path Folder() const {
    return path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  }
  void Report(AnomalyKind kind, const std::filesystem::path& file, std::string message,
              std::optional<uint64_t> offset = {}, std::optional<int64_t> frame = {}) {
    source_.anomalies.push_back(MakeAnomaly(kind, file, std::move(message), offset, frame));
  }

  Status ReadMeasurement() {
    header_path_ = records::Lowercase(path_.extension().string()) == ".hdr"
                       ? path_
                       : Folder() / (base_ + ".hdr");
    std::error_code ignored;
    if (!std::filesystem::exists(header_path_, ignored)) {
      return Error::NotFound("the header of the FRMS6 acquisition is not there")
          .In(header_path_.string())
          .Expected("the .hdr file beside the .frms6 files: it states how rows were binned")
          .Found("no such file")
          .Advice("copy the .hdr file too");
    }
    PENSTOCK_ASSIGN_OR_RETURN(measurement_, frms6::ReadMeasurement(header_path_));
    for (std::string& complaint : measurement_.complaints) {
      Report(AnomalyKind::kOther, header_path_, std::move(complaint));
    }
    return Status::Ok();
  }

  // By number, not by name: 1000 follows 999.
  Status CollectFiles() {
    std::map<int64_t, std::filesystem::path> members;
    if (options_.this_file_only && frms6::ParseName(path_)) {
      members.emplace(frms6::ParseName(path_)->second, path_);
    } else {
      std::error_code error;
      for (std::filesystem::directory_iterator entry(Folder(), error), end; !error && entry != end;
           entry.increment(error)) {
        const auto name = frms6::ParseName(entry->path());
        if (!name || name->first != base_) continue;
        const auto [existing, inserted] = members.emplace(name->second, entry->path());
        if (!inserted) {
          return Error::Contradiction("two files have the same number")
              .In(entry->path().string())
              .Expected("one file of each number")
              .Found(existing->second.filename().string());
        }
        if (members.size() > kMaxFiles) {
          return Error::Unsupported(fmt::format("more than {} files", kMaxFiles))
              .In(path_.string());
        }
      }
      if (error) {
        return Error::FromErrno(error.value(), "cannot list the folder").In(Folder().string());
      }
    }
    for (const auto& [number, member] : members) {
      PENSTOCK_ASSIGN_OR_RETURN(File file, frms6::InspectFile(member, number));
      if (number == 0 && !options_.this_file_only) {
        dark_ = std::move(file);
      } else {
        signal_.push_back(std::move(file));
      }
    }
    if (signal_.empty()) {
      return Error::NotFound("there are no signal frames")
          .In(header_path_.string())
          .Expected(fmt::format("{}_001.frms6 and following", base_))
          .Found(dark_ ? "only the file of the dark frames" : "no .frms6 file");
    }
    return Status::Ok();
  }

  Status CheckSameGeometry() {
    const File& first = signal_.front();
    std::vector<const File*> others;
    for (const File& file : signal_) others.push_back(&file);
    if (dark_) others.push_back(&*dark_);
    for (const File* file : others) {
      if (file->rows == first.rows && file->columns == first.columns) continue;
      return Error::Contradiction("the files of one acquisition hold frames of different size")
          .In(file->path.string())
          .AtOffset(88)
          .Expected(fmt::format("{} rows of {} as in {}", first.rows, first.columns,
                                first.path.filename().string()))
          .Found(fmt::format("{} rows of {}", file->rows, file->columns))
          .Advice("files of another acquisition may have the same name");
    }
    return Status::Ok();
  }

  void CheckFile(const File& file, std::optional<int64_t> first_frame) {
    const int64_t end = first_frame.value_or(0) + file.frame_count;
    const uint64_t offset =
        frms6::kFileHeaderBytes + static_cast<uint64_t>(file.frame_count) * file.RecordBytes();
    if (file.declared_frames > file.frame_count) {
      Report(AnomalyKind::kTruncated, file.path,
             fmt::format("expected {} frames, found {} whole ones and {} bytes",
                         file.declared_frames, file.frame_count, file.trailing_bytes),
             offset, end);
    } else if (file.trailing_bytes != 0) {
      Report(file.declared_frames == 0 ? AnomalyKind::kTruncated : AnomalyKind::kOther, file.path,
             fmt::format("{} bytes behind the last frame are left out", file.trailing_bytes),
             offset, end);
    }
  }

  // A file that ends early with others behind it loses frames inside the acquisition.
  void NoteCut(const File& file, int64_t end) {
    const int64_t lost = file.declared_frames - file.frame_count;
    if (lost <= 0) {
      cut_uncounted_ = cut_uncounted_ || (file.declared_frames == 0 && file.trailing_bytes != 0);
      return;
    }
    if (!cut_.empty() && cut_.back().before_frame == end) {
      cut_.back().count += lost;
      return;
    }
    cut_.push_back({end, lost,
                    fmt::format("{} is cut: {} of {} frames", file.path.filename().string(),
                                file.frame_count, file.declared_frames)});
  }

  std::vector<records::RecordFile> CountFrames() {
    std::vector<records::RecordFile> files;
    int64_t frames = 0;
    for (const File& file : signal_) {
      CheckFile(file, frames);
      if (&file != &signal_.back()) NoteCut(file, frames + file.frame_count);
      files.push_back({source_.files.size(), frms6::kFileHeaderBytes, file.frame_count});
      source_.files.push_back({file.path, "frames", "application/x-frms6", file.identity});
      frames += file.frame_count;
    }
    source_.frame_count = frames;
    return files;
  }

  // Numbers that are left out are files that were not copied. Where it is one, the count of the
  // header tells how many frames it held.
  void CheckCounts() {
    const auto declared = measurement_.signal_frames;
    std::vector<std::pair<size_t, int64_t>> gaps;  // file behind the gap, files missing
    for (size_t i = 0; i < signal_.size() && !options_.this_file_only; ++i) {
      const int64_t expected = i == 0 ? 1 : signal_[i - 1].number + 1;
      if (signal_[i].number != expected) gaps.emplace_back(i, signal_[i].number - expected);
    }
    const int64_t lost = declared ? *declared - source_.frame_count : 0;
    int64_t before = 0;
    for (size_t i = 0; !gaps.empty() && i < gaps.front().first; ++i)
      before += signal_[i].frame_count;
    std::erase_if(
        cut_, [this](const MissingFrames& gap) { return gap.before_frame >= source_.frame_count; });
    if (cut_uncounted_ || (!gaps.empty() && !cut_.empty())) {
      Report(
          AnomalyKind::kHeaderContradiction, header_path_,
          "a file is cut or missing with others behind it, and nothing says how many frames were "
          "lost there: the frames behind have no certain place");
    } else if (!cut_.empty()) {
      for (const MissingFrames& gap : cut_) {
        Report(AnomalyKind::kMissingFrame, header_path_, gap.evidence, {}, gap.before_frame);
      }
      source_.missing_frames = cut_;
    } else if (gaps.size() == 1 && lost > 0 && before < source_.frame_count) {
      const File& file = signal_[gaps.front().first];
      std::string evidence =
          fmt::format("{} file{} missing in front of {}, and {} of {} signalFrames",
                      gaps.front().second, gaps.front().second == 1 ? " is" : "s are",
                      file.path.filename().string(), lost, *declared);
      source_.missing_frames.push_back({before, lost, evidence});
      Report(AnomalyKind::kMissingFrame, file.path, std::move(evidence), {}, before);
    } else if (!gaps.empty()) {
      Report(
          AnomalyKind::kHeaderContradiction, header_path_,
          fmt::format("files are missing in {} place{} of the numbering, and nothing says how many "
                      "frames they held: the frames behind them have no certain place",
                      gaps.size(), gaps.size() == 1 ? "" : "s"));
    } else if (declared && lost != 0 && !options_.this_file_only) {
      Report(
          lost > 0 ? AnomalyKind::kMissingFrame : AnomalyKind::kExtraFrames, header_path_,
          fmt::format("signalFrames = {}, but the files hold {}", *declared, source_.frame_count));
    }
    if (dark_) {
      CheckFile(*dark_, {});
      if (measurement_.dark_frames && *measurement_.dark_frames != dark_->frame_count) {
        Report(AnomalyKind::kOther, dark_->path,
               fmt::format("expected {} dark frames (darkFrames), found {}",
                           *measurement_.dark_frames, dark_->frame_count));
      }
    }
    if (!measurement_.scan || options_.this_file_only) return;
    const auto [rows, columns] = *measurement_.scan;
    source_.scan_shapes.push_back({{rows, columns, false},
                                   fmt::format("{}: stemImageSize = {}x{}",
                                               header_path_.filename().string(), rows, columns)});
    if (rows != columns) {
      Report(AnomalyKind::kOther, header_path_,
             fmt::format("stemImageSize is {}x{}, taken as rows x columns as the reference reader "
                         "does; whether that is right is not known",
                         rows, columns));
    }
    // Both are below 2^31.
    if (declared && rows * columns != *declared) {
      Report(AnomalyKind::kHeaderContradiction, header_path_,
             fmt::format("stemImageSize = {}x{} does not make signalFrames = {}", rows, columns,
                         *declared));
    }
  }

  // The window is stated as stored, or as the image is.
  void CheckWindow() {
    const auto [height, width] = measurement_.window;
    const int64_t stored_rows = signal_.front().rows;
    const int64_t stored_columns = signal_.front().columns;
    const bool fits = (height == stored_rows || height == stored_rows * measurement_.binning ||
                       height == source_.signal.rows) &&
                      (width == stored_columns || width == source_.signal.columns);
    if (fits) return;
    Report(AnomalyKind::kOther, header_path_,
           fmt::format("readoutMode states a window of {} x {}, the files hold {} x {} (image {} x "
                       "{})",
                       height, width, stored_rows, stored_columns, source_.signal.rows,
                       source_.signal.columns));
  }

  void AddOtherFiles() {
    const auto identity = IdentifyFile(header_path_);
    if (identity.ok()) {
      source_.files.push_back({header_path_, "header", "text/plain", *identity});
    }
    if (dark_) {
      source_.files.push_back({dark_->path, "dark", "application/x-frms6", dark_->identity});
    }
  }

  void Describe() {
    const std::string name = header_path_.filename().string();
    source_.vendor_headers.push_back({name, measurement_.text});
    source_.facts.push_back(
        {"measurement/instrument/detector1/name", "pnCCD", "", "the FRMS6 format of PNDetector"});
    source_.facts.push_back({"measurement/instrument/detector1/fabrication/vendor", "PNDetector",
                             "", "the FRMS6 format of PNDetector"});
    if (measurement_.dwell_us && *measurement_.dwell_us > 0) {
      source_.facts.push_back(
          {"measurement/event1/instrument/ebeam_column/scan_controller/dwell_time",
           static_cast<double>(*measurement_.dwell_us) / 1e6, "s",
           fmt::format("{}: dwellTimeMicroseconds = {}", name, *measurement_.dwell_us)});
    }
    const auto gain = measurement_.values.find("gain");
    if (gain != measurement_.values.end()) {
      source_.facts.push_back({"measurement/event1/instrument/detector1/gain_setting", gain->second,
                               "", name + ": gain"});
    }
  }

  Status PrepareCorrection() {
    if (options_.subtract_dark) PENSTOCK_RETURN_IF_ERROR(ReadDark());
    if (!options_.gain_file.empty()) {
      const std::filesystem::path path = options_.gain_file;
      PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(path));
      PENSTOCK_ASSIGN_OR_RETURN(correction_.gain, records::ReadGain(path, source_.signal));
      source_.files.push_back({path, "gain", "application/octet-stream", identity});
      source_.corrections.push_back("multiplied by the gain reference " + path.filename().string());
    }
    if (!correction_.empty()) source_.element_type = ElementType::kFloat32;
    return Status::Ok();
  }

  // The mean of the dark frames, summed in float32 in parts of 128 as the reference reader does.
  Status ReadDark() {
    if (!dark_ || dark_->frame_count == 0) {
      return Error::NotFound("there are no dark frames to subtract")
          .In(dark_ ? dark_->path.string() : header_path_.string())
          .Expected(base_ + "_000.frms6 with frames")
          .Found(dark_ ? "no complete frame in it" : "no such file");
    }
    constexpr int64_t kPart = 128;
    const auto pixels = static_cast<size_t>(source_.signal.pixel_count());
    std::vector<float> part(pixels);
    correction_.dark.assign(pixels, 0);
    std::vector<std::byte> record(dark_->RecordBytes());
    std::vector<uint16_t> row;
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd,
                              OpenFile(dark_->path, O_RDONLY | O_NONBLOCK));
    for (int64_t frame = 0; frame < dark_->frame_count; ++frame) {
      const uint64_t offset =
          frms6::kFileHeaderBytes + static_cast<uint64_t>(frame) * record.size();
      PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), offset, record, dark_->path));
      unfolding_.Apply(std::span<const std::byte>(record).subspan(frms6::kFrameHeaderBytes), row,
                       [&](size_t y, std::span<const std::byte>) {
                         float* const sums = part.data() + y * unfolding_.columns;
                         for (size_t x = 0; x < row.size(); ++x) sums[x] += row[x];
                       });
      if (frame % kPart != kPart - 1 && frame + 1 != dark_->frame_count) continue;
      for (size_t i = 0; i < pixels; ++i) correction_.dark[i] += part[i];
      std::ranges::fill(part, 0.0F);
    }
    for (float& value : correction_.dark) value /= static_cast<float>(dark_->frame_count);
    source_.corrections.push_back(fmt::format("mean of {} dark frames of {} subtracted",
                                              dark_->frame_count, dark_->path.filename().string()));
    return Status::Ok();
  }

  const std::filesystem::path& path_;
  const OpenOptions& options_;
  std::string base_;
  std::filesystem::path header_path_;
  Measurement measurement_;
  std::vector<File> signal_;
  std::optional<File> dark_;
  std::vector<MissingFrames> cut_;
  bool cut_uncounted_ = false;
  Unfolding unfolding_;
  Correction correction_;
  SourceDescription source_;
};

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "frms6"; }
  std::string_view description() const override { return "PNDetector FRMS6 (pnCCD)"; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    const std::string extension = records::Lowercase(path.extension().string());
    if (extension == ".hdr" && frms6::LooksLikeMeasurement(records::AsText(head))) {
      return {Confidence::kYes, "a .hdr file with [measurementInfo]"};
    }
    if (!frms6::IsFileHead(head)) return {};
    return {extension == ".frms6" ? Confidence::kYes : Confidence::kMaybe,
            "the head of an FRMS6 file"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    return Frms6Opener(path, options).Open();
  }
};

}  // namespace

const SourceFormat& Frms6Format() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
