#include "ingest/formats/empad/empad_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "ingest/formats/empad/empad_xml.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/text.h"

namespace penstock::ingest {

namespace {

using empad::Description;
using records::Lowercase;
using records::MakeAnomaly;
using records::ToUtf8;

// 128 rows of the image, then two rows that are no image.
constexpr int64_t kSide = 128;
constexpr uint64_t kImageBytes = uint64_t{kSide} * kSide * 4;
constexpr uint64_t kFooterBytes = uint64_t{2} * kSide * 4;
constexpr uint64_t kRecordBytes = kImageBytes + kFooterBytes;
// Neighbours that are looked at for a description or a raw file.
constexpr size_t kMaxNeighbours = 4096;
constexpr size_t kMaxDescriptions = 256;

bool HasExtension(const std::filesystem::path& path, std::string_view extension) {
  return Lowercase(path.extension().string()) == extension;
}

std::filesystem::path FolderOf(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

std::vector<std::filesystem::path> Neighbours(const std::filesystem::path& path,
                                              std::string_view extension) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  size_t seen = 0;
  for (std::filesystem::directory_iterator entry(FolderOf(path), error), end;
       !error && entry != end && seen < kMaxNeighbours; entry.increment(error), ++seen) {
    std::error_code ignored;
    if (HasExtension(entry->path(), extension) && entry->is_regular_file(ignored)) {
      found.push_back(entry->path());
    }
  }
  std::ranges::sort(found);
  return found;
}

bool IsFile(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

// "scan" of "scan.raw"; names are compared without their extension.
bool SameStem(const std::filesystem::path& a, const std::filesystem::path& b) {
  return a.stem() == b.stem();
}

bool FitsSize(const ScanShape& shape, uint64_t size) {
  const uint64_t frames = size / kRecordBytes;
  return size % kRecordBytes == 0 &&
         static_cast<uint64_t>(shape.rows) <= frames / static_cast<uint64_t>(shape.columns) &&
         static_cast<uint64_t>(shape.frame_count()) == frames;
}

// The description that names this raw file, or has its name.
std::optional<std::filesystem::path> DescriptionOf(const std::filesystem::path& raw) {
  std::optional<std::filesystem::path> same_name;
  std::vector<std::filesystem::path> candidates = Neighbours(raw, ".xml");
  candidates.resize(std::min(candidates.size(), kMaxDescriptions));
  for (const std::filesystem::path& xml : candidates) {
    const auto description = empad::ReadDescription(xml);
    if (!description.ok() || !empad::LooksLikeDescription(description->text)) continue;
    if (description->raw_name == raw.filename().string()) return xml;
    if (SameStem(xml, raw)) same_name = xml;
  }
  return same_name;
}

struct RawFile {
  std::filesystem::path path;
  std::string remark;  // where it is not the file that the XML names
};

Result<RawFile> FindRaw(const std::filesystem::path& xml, const Description& description) {
  if (!description.raw_name.empty()) {
    const std::filesystem::path named = FolderOf(xml) / description.raw_name;
    if (IsFile(named)) return RawFile{named, ""};
  }
  const std::string wanted =
      description.raw_name.empty() ? "no file" : fmt::format("'{}'", ToUtf8(description.raw_name));
  const std::vector<std::filesystem::path> raws = Neighbours(xml, ".raw");
  const auto same = std::ranges::find_if(
      raws, [&xml](const std::filesystem::path& raw) { return SameStem(raw, xml); });
  if (same != raws.end() || raws.size() == 1) {
    const std::filesystem::path& raw = same != raws.end() ? *same : raws.front();
    return RawFile{raw, fmt::format("raw_file names {}, which is not there; {} is taken, {}",
                                    wanted, ToUtf8(raw.filename().string()),
                                    same != raws.end() ? "which has the name of the XML file"
                                                       : "the only .raw file of the folder")};
  }
  return Error::NotFound("the raw file of this EMPAD acquisition is not there")
      .In(xml.string())
      .Expected(fmt::format("the raw file beside the XML file; raw_file names {}", wanted))
      .Found(fmt::format("{} .raw files in the folder", raws.size()))
      .Advice("put the raw file beside the XML file, or give it itself with --format empad");
}

std::string ShapeText(const ScanShape& shape) {
  return shape.is_series ? fmt::format("{} frames", shape.columns)
                         : fmt::format("{} x {}", shape.rows, shape.columns);
}

class EmpadOpener {
 public:
  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            bool this_file_only) {
    if (HasExtension(path, ".xml")) {
      xml_ = path;
    } else {
      raw_ = path;
      if (!this_file_only) xml_ = DescriptionOf(path);
    }
    if (xml_) {
      PENSTOCK_ASSIGN_OR_RETURN(description_, empad::ReadDescription(*xml_));
    }
    std::string remark;
    if (raw_.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(RawFile raw, FindRaw(*xml_, description_));
      raw_ = std::move(raw.path);
      remark = std::move(raw.remark);
    } else if (xml_ && description_.raw_name != raw_.filename().string()) {
      remark = fmt::format("raw_file names '{}'; the XML file is taken for its own name",
                           ToUtf8(description_.raw_name));
    }
    PENSTOCK_ASSIGN_OR_RETURN(OpenedFile file, OpenRegularFile(raw_));
    size_ = file.identity.size;
    if (size_ < kRecordBytes) {
      return Error::Corrupt("the file holds no complete frame")
          .In(raw_.string())
          .AtOffset(0)
          .Expected(fmt::format("frames of {} bytes (130 x 128 float32)", kRecordBytes))
          .Found(fmt::format("a file of {} bytes", size_))
          .Advice("check whether the file was copied completely");
    }
    source_.format = "empad";
    source_.suggested_name = (xml_ ? *xml_ : raw_).stem().string();
    source_.files.push_back({raw_, "frames", "application/x-empad-raw", file.identity});
    source_.signal = {kSide, kSide};
    source_.element_type = ElementType::kFloat32;
    source_.frame_count = static_cast<int64_t>(size_ / kRecordBytes);
    if (xml_) {
      PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(*xml_));
      source_.files.push_back({*xml_, "metadata", "application/xml", identity});
      source_.vendor_headers.push_back({xml_->filename().string(), description_.text});
      source_.facts = std::move(description_.facts);
      for (std::string& complaint : description_.complaints) {
        source_.anomalies.push_back(MakeAnomaly(AnomalyKind::kOther, *xml_, std::move(complaint)));
      }
      if (!remark.empty()) {
        source_.anomalies.push_back(MakeAnomaly(AnomalyKind::kOther, *xml_, std::move(remark)));
      }
    }
    CheckSize();
    RankShapes();
    const RecordLayout layout{.frame_bytes = kImageBytes, .frame_footer_bytes = kFooterBytes};
    return MakeRecordSource(std::move(source_), layout, std::move(file.fd));
  }

 private:
  void CheckSize() {
    const uint64_t rest = size_ % kRecordBytes;
    if (rest == 0) return;
    source_.anomalies.push_back(MakeAnomaly(
        AnomalyKind::kTruncated, raw_,
        fmt::format("expected frames of {} bytes, found {} bytes after the last whole one, which "
                    "are left out: the file is cut, or not of a first-generation EMPAD",
                    kRecordBytes, rest),
        size_ - rest, source_.frame_count));
  }

  // The shapes that fill the file exactly, in their order; the others are named. Without one that
  // fits, nothing says where the frames belong.
  void RankShapes() {
    std::vector<ScanShapeEvidence> shapes = std::move(description_.shapes);
    const std::string name = raw_.filename().string();
    std::ranges::move(empad::ShapesOfName(name), std::back_inserter(shapes));
    if (description_.raw_name != name) {
      std::ranges::move(empad::ShapesOfName(description_.raw_name), std::back_inserter(shapes));
    }
    std::string others;
    std::vector<ScanShapeEvidence> fitting;
    for (const ScanShapeEvidence& evidence : shapes) {
      if (FitsSize(evidence.shape, size_)) {
        fitting.push_back(evidence);
      } else {
        others += fmt::format("{}{} ({})", others.empty() ? "" : "; ", ShapeText(evidence.shape),
                              evidence.evidence);
      }
    }
    if (!shapes.empty() && fitting.empty()) {
      source_.anomalies.push_back(MakeAnomaly(
          AnomalyKind::kHeaderContradiction, raw_,
          fmt::format("the file holds {} frames ({} bytes), and no statement about the scan says "
                      "so: {}",
                      source_.frame_count, size_, others)));
      source_.scan_shapes = std::move(shapes);
      return;
    }
    if (!others.empty()) {
      source_.anomalies.push_back(MakeAnomaly(
          AnomalyKind::kOther, raw_,
          fmt::format("the file holds {} frames, which is {} ({}) and not {}", source_.frame_count,
                      ShapeText(fitting.front().shape), fitting.front().evidence, others)));
    }
    source_.scan_shapes = std::move(fitting);
  }

  std::optional<std::filesystem::path> xml_;
  std::filesystem::path raw_;
  uint64_t size_ = 0;
  Description description_;
  SourceDescription source_;
};

class Format final : public SourceFormat {
 public:
  std::string_view name() const override { return "empad"; }
  std::string_view description() const override { return "EMPAD (raw with XML)"; }

  Detection Detect(const std::filesystem::path& path,
                   std::span<const std::byte> head) const override {
    if (HasExtension(path, ".xml")) return DetectXml(path, head);
    if (HasExtension(path, ".raw")) return DetectRaw(path);
    return {};
  }

  Result<std::unique_ptr<FrameSource>> Open(const std::filesystem::path& path,
                                            const OpenOptions& options) const override {
    return EmpadOpener().Open(path, options.this_file_only);
  }

 private:
  static Detection DetectXml(const std::filesystem::path& path, std::span<const std::byte> head) {
    const std::string_view text = records::AsText(head);
    constexpr const char* kEvidence = "an XML root element with raw_file and scan_parameters";
    if (empad::LooksLikeDescription(text)) return {Confidence::kYes, kEvidence};
    // A long list of reconstructions may stand in front.
    if (text.find("<root") == std::string_view::npos) return {};
    const auto whole = ReadWholeFile(path, empad::kMaxXmlBytes);
    if (!whole.ok() || !empad::LooksLikeDescription(*whole)) return {};
    return {Confidence::kYes, kEvidence};
  }

  // Any file may be named .raw, so that its size alone says nothing.
  static Detection DetectRaw(const std::filesystem::path& path) {
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(path, error);
    if (error || size < kRecordBytes) return {};
    for (const ScanShapeEvidence& shape : empad::ShapesOfName(path.filename().string())) {
      if (FitsSize(shape.shape, size)) {
        return {Confidence::kYes, fmt::format("named as EMPAD names its files, and {} frames of {} "
                                              "bytes fill it exactly",
                                              size / kRecordBytes, kRecordBytes)};
      }
    }
    if (size % kRecordBytes != 0) return {};
    if (const auto xml = DescriptionOf(path)) {
      return {Confidence::kYes,
              "the EMPAD description " + xml->filename().string() + " belongs to it"};
    }
    return {};
  }
};

}  // namespace

const SourceFormat& EmpadFormat() {
  static const Format kFormat;
  return kFormat;
}

}  // namespace penstock::ingest
