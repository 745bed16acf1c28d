#include "ingest/formats/seq/seq_format.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "ingest/formats/mrc/mrc_format.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/correction.h"
#include "ingest/formats/records/record_series.h"
#include "ingest/formats/records/text.h"
#include "ingest/formats/seq/seq_header.h"

namespace penstock::ingest {

namespace {

using records::Correction;
using records::LoadLittle;
using records::MakeAnomaly;
using seq::Header;

constexpr uint64_t kMaxSidecarBytes = uint64_t{4} << 20;

class SeqSource final : public records::RecordSeries {
 public:
  SeqSource(const SourceDescription& description, Header header, Correction correction)
      : RecordSeries(description,
                     {{.file = 0,
                       .first_record = header.FirstRecord(),
                       .frame_count = description.frame_count}},
                     header.record_bytes),
        header_(std::move(header)),
        correction_(std::move(correction)) {}

 protected:
  Status DecodeRun(const records::RecordRun& run, std::span<std::byte> frames,
                   DecodeReport& report) const override {
    const size_t image_bytes = header_.FrameBytes();
    for (int64_t i = 0; i < run.frame_count; ++i) {
      const auto record =
          run.bytes.subspan(static_cast<size_t>(i) * record_bytes(), record_bytes());
      const auto frame = frames.subspan(static_cast<size_t>(i) * frame_bytes(), frame_bytes());
      if (correction_.empty()) {
        std::memcpy(frame.data(), record.data(), image_bytes);
      } else {
        records::Correct(correction_, 0, header_.element_type, record.first(image_bytes), frame);
      }
      if (const auto time = seq::TimeBehind(header_, record.subspan(image_bytes))) {
        FrameHeaderFacts facts;
        facts.time_unix_ns = *time;
        report.AddFrameFacts(run.first_frame + i, facts);
      }
    }
    return Status::Ok();
  }

 private:
  const Header header_;
  const Correction correction_;
};

// One image out of an MRC file, as float32.
Result<std::vector<float>> ReadReference(const std::filesystem::path& path,
                                         const SignalShape& shape) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::unique_ptr<FrameSource> source, MrcFormat().Open(path, {}));
  const SourceDescription& description = source->description();
  if (description.signal != shape || description.frame_count != 1 ||
      IsComplex(description.element_type)) {
    return Error::InvalidArgument("the reference does not fit the frames")
        .In(path.string())
        .Expected(fmt::format("one image of {} x {}", shape.rows, shape.columns))
        .Found(fmt::format("{} of {} x {}", description.frame_count, description.signal.rows,
                           description.signal.columns));
  }
  struct NoReport final : DecodeReport {
    void AddAnomaly(Anomaly /*anomaly*/) override {}
    void MarkInvalid(int64_t /*source_frame*/, std::string_view /*reason*/) override {}
  } report;
  DecodeContext context;
  context.report = &report;
  const auto pixels = static_cast<size_t>(shape.pixel_count());
  std::vector<std::byte> bytes(pixels * ElementSize(description.element_type));
  PENSTOCK_RETURN_IF_ERROR(source->Decode(0, 1, bytes, context));
  std::vector<float> values(pixels);
  VisitElementType(description.element_type, [&](auto zero) {
    using Value = decltype(zero);
    if constexpr (std::is_arithmetic_v<Value>) {
      for (size_t i = 0; i < pixels; ++i) {
        values[i] = static_cast<float>(LoadLittle<Value>(bytes, i * sizeof(Value)));
      }
    }
  });
  return values;
}

class SeqOpener {
 public:
  SeqOpener(const std::filesystem::path& path, const OpenOptions& options)
      : path_(path), options_(options) {}

  Result<std::unique_ptr<FrameSource>> Open() {
    PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(path_));
    const uint64_t size = file.identity.size;
    PENSTOCK_ASSIGN_OR_RETURN(header_, seq::ReadHeader(file.fd.get(), size, path_));
    const uint64_t first = header_.FirstRecord();
    if (size < first || size - first < header_.record_bytes) {
      return Error::Corrupt("the file holds no complete image")
          .In(path_.string())
          .AtOffset(first)
          .Expected(fmt::format("images of {} bytes, one every {}", header_.FrameBytes(),
                                header_.record_bytes))
          .Found(fmt::format("a file of {} bytes", size))
          .Advice("check whether the file was copied completely");
    }
    source_.format = "seq";
    source_.suggested_name = Base().filename().string();
    source_.files.push_back({path_, "frames", "application/x-norpix-seq", file.identity});
    source_.signal = {header_.rows, header_.columns};
    source_.element_type = header_.element_type;
    source_.frame_count = static_cast<int64_t>((size - first) / header_.record_bytes);
    CheckCount(size);
    for (const std::string& text : header_.contradictions) {
      Report(AnomalyKind::kHeaderContradiction, text, 564);
    }
    PENSTOCK_RETURN_IF_ERROR(AddTimes(file.fd.get()));
    Describe();
    PENSTOCK_RETURN_IF_ERROR(AddSidecars());
    PENSTOCK_RETURN_IF_ERROR(PrepareCorrection());
    return std::unique_ptr<FrameSource>(
        std::make_unique<SeqSource>(source_, std::move(header_), std::move(correction_)));
  }

 private:
  void Report(AnomalyKind kind, std::string message, std::optional<uint64_t> offset = {},
              std::optional<int64_t> frame = {}) {
    source_.anomalies.push_back(MakeAnomaly(kind, path_, std::move(message), offset, frame));
  }

  // "scan" of "scan.seq" and of "scan.seq.seq", which is what some software makes of it.
  std::filesystem::path Base() const {
    std::filesystem::path base = path_;
    for (int i = 0; i < 2 && records::Lowercase(base.extension().string()) == ".seq"; ++i) {
      base.replace_extension();
    }
    return base;
  }

  void CheckCount(uint64_t size) {
    const uint64_t rest = (size - header_.FirstRecord()) % header_.record_bytes;
    if (rest != 0) {
      Report(AnomalyKind::kTruncated,
             fmt::format("{} bytes behind the last of {} whole images are left out", rest,
                         source_.frame_count),
             size - rest, source_.frame_count);
    }
    if (header_.allocated_frames == source_.frame_count) return;
    const bool fewer = source_.frame_count < header_.allocated_frames;
    Report(fewer ? AnomalyKind::kMissingFrame : AnomalyKind::kOther,
           fmt::format("the header states {} images, the file holds {}", header_.allocated_frames,
                       source_.frame_count),
           572, source_.frame_count);
  }

  Result<std::optional<int64_t>> TimeOf(int fd, int64_t frame) const {
    std::array<std::byte, 8> behind{};
    const uint64_t room = header_.record_bytes - header_.FrameBytes();
    if (room < header_.TimeBytes()) return std::optional<int64_t>();
    const uint64_t offset = header_.FirstRecord() +
                            static_cast<uint64_t>(frame) * header_.record_bytes +
                            header_.FrameBytes();
    const auto bytes = std::span(behind).first(header_.TimeBytes());
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd, offset, bytes, path_));
    return seq::TimeBehind(header_, bytes);
  }

  Status AddTimes(int fd) {
    const std::string name = path_.filename().string();
    PENSTOCK_ASSIGN_OR_RETURN(const auto first, TimeOf(fd, 0));
    PENSTOCK_ASSIGN_OR_RETURN(const auto last, TimeOf(fd, source_.frame_count - 1));
    if (const auto text = first ? records::UtcText(*first) : std::nullopt) {
      for (const char* path : {"start_time", "measurement/event1/start_time"}) {
        source_.facts.push_back({path, *text, "", name + ": time of image 0 (Unix time)"});
      }
    }
    if (const auto text = last ? records::UtcText(*last) : std::nullopt) {
      source_.facts.push_back(
          {"measurement/event1/end_time", *text, "",
           fmt::format("{}: time of image {} (Unix time)", name, source_.frame_count - 1)});
    }
    return Status::Ok();
  }

  void Describe() {
    const std::string name = path_.filename().string();
    if (header_.bit_depth_real > 0 && header_.bit_depth_real <= header_.bit_depth) {
      source_.facts.push_back({"measurement/event1/instrument/detector1/bit_depth_readout",
                               header_.bit_depth_real, "",
                               name + ": header, offset 560 (real bit depth)"});
    }
    source_.vendor_headers.push_back(
        {name + " header (hexadecimal)", records::Hexadecimal(header_.fixed)});
    if (!header_.description.empty()) {
      source_.vendor_headers.push_back({name + " description", header_.description});
    }
  }

  // What lies beside "scan.seq" as "scan.seq.dark.mrc" or "scan.dark.mrc"; nothing where it does
  // not.
  std::optional<std::filesystem::path> Beside(std::string_view ending) const {
    for (const char* middle : {".seq", ""}) {
      std::filesystem::path path = Base();
      path += middle;
      path += ending;
      std::error_code ignored;
      if (path != path_ && std::filesystem::is_regular_file(path, ignored)) return path;
    }
    return std::nullopt;
  }

  Status AddFile(const std::filesystem::path& path, const char* role, const char* media_type) {
    for (const SourceFile& file : source_.files) {
      if (file.path == path) return Status::Ok();
    }
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(path));
    source_.files.push_back({path, role, media_type, identity});
    return Status::Ok();
  }

  // References, the metadata of DE cameras and their map of bad pixels: listed, not applied.
  Status AddSidecars() {
    if (options_.this_file_only) return Status::Ok();
    if (const auto dark = Beside(".dark.mrc")) {
      PENSTOCK_RETURN_IF_ERROR(AddFile(*dark, "dark", "application/x-mrc"));
    }
    if (const auto gain = Beside(".gain.mrc")) {
      PENSTOCK_RETURN_IF_ERROR(AddFile(*gain, "gain", "application/x-mrc"));
    }
    if (const auto xml = Beside(".Config.Metadata.xml")) {
      PENSTOCK_RETURN_IF_ERROR(AddFile(*xml, "metadata", "application/xml"));
      const auto text = ReadWholeFile(*xml, kMaxSidecarBytes);
      if (text.ok()) {
        source_.vendor_headers.push_back({xml->filename().string(), records::ToUtf8(*text)});
      }
    }
    if (const auto metadata = Beside(".metadata")) {
      PENSTOCK_RETURN_IF_ERROR(AddFile(*metadata, "metadata", "application/octet-stream"));
      const auto bytes = ReadWholeFile(*metadata, kMaxSidecarBytes);
      if (bytes.ok()) {
        const auto head = AsBytes(*bytes).first(std::min<size_t>(bytes->size(), 1024));
        source_.vendor_headers.push_back(
            {metadata->filename().string() + " (hexadecimal)", records::Hexadecimal(head)});
      }
    }
    return Status::Ok();
  }

  Status PrepareCorrection() {
    if (options_.subtract_dark) {
      const auto dark = Beside(".dark.mrc");
      if (!dark) {
        return Error::NotFound("there is no dark reference to subtract")
            .In(path_.string())
            .Expected(Base().filename().string() + ".seq.dark.mrc beside the sequence")
            .Found("no such file");
      }
      PENSTOCK_RETURN_IF_ERROR(AddFile(*dark, "dark", "application/x-mrc"));
      PENSTOCK_ASSIGN_OR_RETURN(correction_.dark, ReadReference(*dark, source_.signal));
      source_.corrections.push_back(
          fmt::format("dark reference {} subtracted", dark->filename().string()));
    }
    if (!options_.gain_file.empty()) {
      const std::filesystem::path path = options_.gain_file;
      if (records::Lowercase(path.extension().string()) == ".mrc") {
        PENSTOCK_ASSIGN_OR_RETURN(const std::vector<float> gain,
                                  ReadReference(path, source_.signal));
        correction_.gain.assign(gain.begin(), gain.end());
        PENSTOCK_RETURN_IF_ERROR(records::CheckGain(correction_.gain, source_.signal, path));
      } else {
        PENSTOCK_ASSIGN_OR_RETURN(correction_.gain, records::ReadGain(path, source_.signal));
      }
      PENSTOCK_RETURN_IF_ERROR(AddFile(path, "gain", "application/octet-stream"));
      source_.corrections.push_back("multiplied by the gain reference " + path.filename().string());
    }
    if (!correction_.empty()) source_.element_type = ElementType::kFloat32;
    return Status::Ok();
  }

  const std::filesystem::path& path_;
  const OpenOptions& options_;
  Header header_;
  Correction correction_;
  SourceDescription source_;
};

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "seq"; }
  std::string_view description() const override { return "Norpix sequence (SEQ, DE cameras)"; }

  Detection Detect(const std::filesystem::path& /*path*/,
                   std::span<const std::byte> head) const override {
    if (!seq::IsHeader(head)) return {};
    return {Confidence::kYes, "starts with ed fe 00 00 and 'Norpix seq'"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    return SeqOpener(path, options).Open();
  }
};

}  // namespace

const SourceFormat& SeqFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
