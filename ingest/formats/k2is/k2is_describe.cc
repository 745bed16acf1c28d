#include "ingest/formats/k2is/k2is_describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ingest/formats/gatan_tags/gatan_facts.h"
#include "ingest/formats/gatan_tags/tag_tree.h"
#include "ingest/formats/raw/record_source.h"
#include "ingest/formats/records/text.h"

namespace penstock::ingest::k2is {

namespace {

constexpr size_t kTagTextBytes = size_t{8} << 20;
constexpr int64_t kMostScanPositions = int64_t{1} << 31;

class Describer {
 public:
  Describer(const AcquisitionFiles& files, const Acquisition& acquisition,
            std::optional<int64_t> flagged)
      : files_(files), acquisition_(acquisition), flagged_(flagged) {}

  Result<SourceDescription> Describe() {
    result_.format = "k2is";
    result_.suggested_name = Name();
    for (const SectorFile& sector : acquisition_.sectors) {
      result_.files.push_back({.path = sector.path,
                               .role = "frames",
                               .media_type = "application/x-gatan-k2is",
                               .identity = sector.identity});
    }
    result_.signal = {kFrameRows, kFrameColumns};
    result_.element_type = ElementType::kUint16;
    result_.frame_count = acquisition_.frame_count;
    result_.anomalies = acquisition_.anomalies;
    result_.orientation.file_to_stored_source = "format";
    AddDetector();
    PENSTOCK_RETURN_IF_ERROR(ReadTags());
    ChooseFirstFrame();
    AddMissingFrames();
    AddLostSectors();
    PENSTOCK_RETURN_IF_ERROR(LookForCopies());
    return std::move(result_);
  }

 private:
  void Report(AnomalyKind kind, const std::filesystem::path& file, std::string message,
              std::optional<uint64_t> offset = {}, std::optional<int64_t> frame = {}) {
    result_.anomalies.push_back(
        records::MakeAnomaly(kind, file, std::move(message), offset, frame));
  }

  const std::filesystem::path& FirstFile() const { return acquisition_.sectors.front().path; }

  std::string Name() const {
    std::string name = files_.prefix;
    while (!name.empty() && (name.back() == '_' || name.back() == '-' || name.back() == ' ')) {
      name.pop_back();
    }
    if (name.empty()) name = FirstFile().parent_path().filename().string();
    return name.empty() ? "k2is" : name;
  }

  void AddDetector() {
    const std::string evidence =
        FirstFile().filename().string() + ": block headers of a Gatan K2 IS";
    result_.facts.push_back(
        {"measurement/instrument/detector1/fabrication/vendor", "Gatan", "", evidence});
    result_.facts.push_back({"measurement/instrument/detector1/name", "K2 IS", "", evidence});
    result_.facts.push_back(
        {"measurement/instrument/detector1/bit_depth_readout", 12, "", evidence});
  }

  Status ReadTags() {
    if (!files_.gtg) {
      Report(AnomalyKind::kOther, FirstFile(),
             fmt::format("there is no {}.gtg: neither scan shape nor metadata are known, and the "
                         "first frame is found as for a time series; in a scan it is one earlier "
                         "(--scan-shape with --sync-offset -1)",
                         files_.prefix));
      return Status::Ok();
    }
    const std::filesystem::path& path = *files_.gtg;
    PENSTOCK_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(path));
    auto tags = gatan::ReadTagTree(file.fd.get(), file.identity.size, path);
    if (!tags.ok()) {
      return std::move(tags).error().Context(
          "reading the scan shape (without the .gtg a .bin file can be given, with --scan-shape)");
    }
    result_.files.push_back({.path = path,
                             .role = "metadata",
                             .media_type = "application/x-gatan-tags",
                             .identity = file.identity});
    const std::string name = path.filename().string();
    result_.vendor_headers.push_back(
        {name + " tags", gatan::TagTreeText(tags->root, kTagTextBytes)});
    if (const gatan::TagNode* image = tags->root.Child("SI Image Tags")) {
      gatan::AddGatanFacts(*image, name + ": SI Image Tags", result_.facts);
    }
    AddScanShape(tags->root, path);
    return Status::Ok();
  }

  // "SI Dimensions" counts every recorded frame of a row, "Spatial Sampling" those of the scan; the
  // rest of a row is fly-back.
  void AddScanShape(const gatan::TagNode& root, const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    const auto size = [&root](const char* axis) -> std::optional<int64_t> {
      const gatan::TagNode* node = root.Find({"SI Dimensions", axis});
      return node == nullptr ? std::nullopt : node->Integer();
    };
    const auto sampling = [&root](const char* axis) -> std::optional<int64_t> {
      const gatan::TagNode* node =
          root.Find({"SI Image Tags", "SI", "Acquisition", "Spatial Sampling", axis});
      return node == nullptr ? std::nullopt : node->Integer();
    };
    if (root.Child("SI Dimensions") == nullptr) return;
    is_scan_ = true;
    const auto rows = size("Size Y");
    const auto columns = size("Size X");
    if (!rows || !columns || *rows < 1 || *columns < 1 || *rows > kMostScanPositions / *columns) {
      Report(AnomalyKind::kHeaderContradiction, path,
             fmt::format("SI Dimensions are no scan: Size Y = {}, Size X = {}",
                         rows ? std::to_string(*rows) : "not a number",
                         columns ? std::to_string(*columns) : "not a number"));
      return;
    }
    std::string evidence =
        fmt::format("{}: SI Dimensions: Size Y = {}, Size X = {}", name, *rows, *columns);
    const auto height = sampling("Height (pixels)");
    const auto width = sampling("Width (pixels)");
    const bool has_flyback = height && width && *height == *rows && *width >= 1 &&
                             *width < *columns && *columns - *width < *width;
    if (has_flyback) {
      result_.scan_shapes.push_back(
          {.shape = {*rows, *width, false},
           .evidence = fmt::format("{}; Spatial Sampling: Height = {}, Width = {}, so that {} of "
                                   "each row are fly-back",
                                   evidence, *height, *width, *columns - *width),
           .extra_frames_per_row = *columns - *width});
      return;
    }
    if (height && width && (*height != *rows || *width != *columns)) {
      Report(AnomalyKind::kOther, path,
             fmt::format("Spatial Sampling says {} x {}, SI Dimensions {} x {}: the latter are "
                         "taken",
                         *height, *width, *rows, *columns));
    }
    result_.scan_shapes.push_back({{*rows, *columns, false}, std::move(evidence), 0});
  }

  int64_t IdOf(int64_t frame) const { return acquisition_.PlaceOf(frame).id; }

  void ChooseFirstFrame() {
    std::string& evidence = result_.first_frame_evidence;
    if (!flagged_) {
      Report(is_scan_ ? AnomalyKind::kHeaderContradiction : AnomalyKind::kOther, FirstFile(),
             "no frame has the shutter flag, which tells where the acquisition begins: it is taken "
             "from its first whole frame");
      evidence =
          fmt::format("no frame has the shutter flag: the first whole one (number {})", IdOf(0));
    } else if (!is_scan_) {
      result_.first_frame = *flagged_;
      evidence = fmt::format("frame {} (number {}) is the first with the shutter flag", *flagged_,
                             IdOf(*flagged_));
    } else if (*flagged_ == 0) {
      Report(AnomalyKind::kOther, FirstFile(),
             "the first whole frame already has the shutter flag: in a scan the flag rises one "
             "frame late, so that the scan's first frame may not be in the files",
             {}, 0);
      evidence =
          fmt::format("the first whole frame (number {}) already has the shutter flag", IdOf(0));
    } else {
      result_.first_frame = *flagged_ - 1;
      evidence = fmt::format(
          "frame {} (number {}) is the first with the shutter flag, which rises one frame late in "
          "a scan: the scan begins with frame {} (number {})",
          *flagged_, IdOf(*flagged_), *flagged_ - 1, IdOf(*flagged_ - 1));
    }
    evidence += "; " + acquisition_.start_evidence;
  }

  void AddMissingFrames() {
    for (size_t i = 1; i < acquisition_.spans.size(); ++i) {
      const FrameSpan& before = acquisition_.spans[i - 1];
      const FrameSpan& span = acquisition_.spans[i];
      const int64_t lost = span.first_id - before.last_id - 1;
      if (lost == 0) continue;
      std::string message =
          fmt::format("frame number {} follows {}", span.first_id, before.last_id);
      if (lost > 0) {
        Report(AnomalyKind::kMissingFrame, FirstFile(),
               fmt::format("{}: {} frames are missing", message, lost), {}, span.first_frame);
        result_.missing_frames.push_back(
            {.before_frame = span.first_frame, .count = lost, .evidence = std::move(message)});
        continue;
      }
      const bool inside = span.first_frame > result_.first_frame;
      Report(inside ? AnomalyKind::kHeaderContradiction : AnomalyKind::kOther, FirstFile(),
             message + (inside ? ": the numbers of the frames go back inside the acquisition"
                               : ": before the acquisition's first frame"),
             {}, span.first_frame);
    }
  }

  void AddLostSectors() {
    if (acquisition_.lost_sectors.empty()) return;
    result_.pixel_mask.values.resize(static_cast<size_t>(kFrameRows * kFrameColumns), 0);
    std::string list;
    for (const int sector : acquisition_.lost_sectors) {
      list += fmt::format("{}{}", list.empty() ? "" : ", ", sector + 1);
      for (int64_t row = 0; row < kFrameRows; ++row) {
        const auto begin =
            result_.pixel_mask.values.begin() + row * kFrameColumns + sector * kSectorColumns;
        std::fill(begin, begin + kSectorColumns, 1U);
      }
    }
    result_.pixel_mask.applied = true;
    result_.pixel_mask.evidence = fmt::format("no data of sector {}", list);
    result_.corrections.push_back(
        fmt::format("rescue: columns of sector {} set to zero for want of data", list));
  }

  // A sector that was copied over another: the same pixels in two files. Constant pixels (dark
  // frames) say nothing.
  Status LookForCopies() {
    const std::array<int64_t, 2> looks = {result_.first_frame, acquisition_.frame_count / 2};
    std::vector<std::string> pixels(acquisition_.sectors.size());
    for (const int64_t frame : looks) {
      const FramePlace place = acquisition_.PlaceOf(frame);
      for (size_t i = 0; i < acquisition_.sectors.size(); ++i) {
        const SectorFile& sector = acquisition_.sectors[i];
        const std::vector<FramePiece> pieces = PiecesOf(sector, place);
        if (pieces.empty()) continue;
        std::vector<std::byte> block(kBlockBytes - kHeaderBytes);
        PENSTOCK_RETURN_IF_ERROR(
            ReadFully(sector.fd.get(), pieces.front().offset + kHeaderBytes, block, sector.path));
        const bool constant =
            std::ranges::adjacent_find(block, std::ranges::not_equal_to{}) == block.end();
        if (constant) continue;
        pixels[i].append(reinterpret_cast<const char*>(block.data()), block.size());
      }
    }
    for (size_t i = 0; i < pixels.size(); ++i) {
      for (size_t j = i + 1; j < pixels.size(); ++j) {
        if (pixels[i].empty() || pixels[i] != pixels[j]) continue;
        Report(AnomalyKind::kHeaderContradiction, acquisition_.sectors[j].path,
               fmt::format("the same pixels as in {}: one is a copy of the other",
                           acquisition_.sectors[i].path.filename().string()));
      }
    }
    return Status::Ok();
  }

  const AcquisitionFiles& files_;
  const Acquisition& acquisition_;
  const std::optional<int64_t> flagged_;
  bool is_scan_ = false;
  SourceDescription result_;
};

}  // namespace

Result<SourceDescription> DescribeAcquisition(const AcquisitionFiles& files,
                                              const Acquisition& acquisition,
                                              std::optional<int64_t> flagged_frame) {
  return Describer(files, acquisition, flagged_frame).Describe();
}

}  // namespace penstock::ingest::k2is
