#include "ingest/formats/mrc/mrc_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ingest/formats/mrc/mrc_header.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/record_series.h"
#include "ingest/formats/records/text.h"
#include "ingest/unpack/unpack.h"

namespace penstock::ingest {

namespace {

using mrc::Header;
using records::MakeAnomaly;

// Modes whose pixels are wider in memory than in the file.
class WideningSource final : public records::RecordSeries {
 public:
  WideningSource(const SourceDescription& description, const Header& header)
      : RecordSeries(description,
                     {{.file = 0,
                       .first_record = header.DataOffset(),
                       .frame_count = description.frame_count}},
                     header.SectionBytes()),
        columns_(static_cast<size_t>(header.columns)),
        rows_(static_cast<size_t>(header.rows)),
        nibbles_(header.pixels.nibbles),
        big_endian_(header.big_endian) {}

 protected:
  Status DecodeRun(const records::RecordRun& run, std::span<std::byte> frames,
                   DecodeReport& /*report*/) const override {
    if (!nibbles_) {
      const size_t pixels = static_cast<size_t>(run.frame_count) * columns_ * rows_;
      WidenFloat16(run.bytes.data(), frames.data(), pixels, big_endian_);
      return Status::Ok();
    }
    const size_t row_bytes = (columns_ + 1) / 2;
    for (size_t row = 0; row < static_cast<size_t>(run.frame_count) * rows_; ++row) {
      UnpackUint4(run.bytes.data() + row * row_bytes, frames.data() + row * columns_, columns_);
    }
    return Status::Ok();
  }

 private:
  const size_t columns_;
  const size_t rows_;
  const bool nibbles_;
  const bool big_endian_;
};

Result<std::unique_ptr<FrameSource>> OpenMrc(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file, OpenRegularFile(path));
  const uint64_t size = file.identity.size;
  PENSTOCK_ASSIGN_OR_RETURN(const Header header, mrc::ReadHeader(file.fd.get(), size, path));
  const uint64_t section = header.SectionBytes();
  if (size < header.DataOffset() || size - header.DataOffset() < section) {
    return Error::Corrupt("the file holds no complete section")
        .In(path.string())
        .AtOffset(std::min(size, header.DataOffset()))
        .Expected(fmt::format("{} x {} pixels of mode {} ({} bytes) from {} on", header.rows,
                              header.columns, header.mode, section, header.DataOffset()))
        .Found(fmt::format("a file of {} bytes", size))
        .Advice("check whether the file was copied completely");
  }
  SourceDescription source;
  source.format = "mrc";
  source.suggested_name = path.stem().string();
  source.files.push_back({path, "frames", "application/x-mrc", file.identity});
  source.signal = {header.rows, header.columns};
  source.element_type = header.pixels.element_type;
  const uint64_t body = size - header.DataOffset();
  const auto sections = static_cast<uint64_t>(header.sections);
  const uint64_t whole = std::min(sections, body / section);
  source.frame_count = static_cast<int64_t>(whole);
  const uint64_t end = header.DataOffset() + whole * section;
  if (whole < sections) {
    source.anomalies.push_back(
        MakeAnomaly(AnomalyKind::kTruncated, path,
                    fmt::format("expected {} sections of {} bytes, found {} and {} bytes", sections,
                                section, whole, size - end),
                    end, source.frame_count));
  } else if (size > end) {
    source.anomalies.push_back(MakeAnomaly(
        size - end >= section ? AnomalyKind::kExtraFrames : AnomalyKind::kOther, path,
        fmt::format("{} bytes behind the last of {} sections are left out", size - end, sections),
        end));
  }
  for (const std::string& complaint : header.complaints) {
    source.anomalies.push_back(MakeAnomaly(AnomalyKind::kOther, path, complaint));
  }
  PENSTOCK_RETURN_IF_ERROR(mrc::Describe(header, file.fd.get(), path, source));
  if (header.pixels.half || header.pixels.nibbles) {
    return std::unique_ptr<FrameSource>(std::make_unique<WideningSource>(source, header));
  }
  RecordLayout layout;
  layout.file_header_bytes = header.DataOffset();
  layout.frame_bytes = section;
  layout.swap_bytes = header.big_endian ? header.pixels.swap_bytes : 1;
  return MakeRecordSource(std::move(source), layout, std::move(file.fd));
}

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "mrc"; }
  std::string_view description() const override { return "MRC stack or volume"; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(path, error);
    if (error || !mrc::LooksLikeHeader(head, size)) return {};
    if (records::AsText(head.subspan(208, 4)) == "MAP ") {
      return {Confidence::kYes, "an MRC header with the word 'MAP '"};
    }
    const std::string extension = records::Lowercase(path.extension().string());
    const bool named = extension.starts_with(".mrc") || extension == ".st" || extension == ".rec" ||
                       extension == ".ali" || extension == ".map";
    if (!named) return {};
    return {Confidence::kMaybe, "sizes and mode of an MRC header, which fill the file exactly"};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& /*options*/) const override {
    return OpenMrc(path);
  }
};

}  // namespace

const SourceFormat& MrcFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
