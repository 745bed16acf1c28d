#include "ingest/formats/dm/dm_describe.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "ingest/formats/gatan_tags/gatan_facts.h"

namespace penstock::ingest::dm {

namespace {

using gatan::TagKind;
using gatan::TagNode;

constexpr size_t kTagTextBytes = size_t{8} << 20;

// The one unit that Gatan's programs write with a letter beyond ASCII.
std::string UnitOf(const TagNode* node) {
  if (node == nullptr || node->kind != TagKind::kText) return {};
  std::string unit = node->text;
  for (const std::string_view micro : {"\u00B5", "\u03BC"}) {
    if (unit.starts_with(micro)) unit.replace(0, micro.size(), "u");
  }
  return unit;
}

class Describer {
 public:
  Describer(const gatan::TagTree& tree, const std::vector<DmImage>& images, const DmImage& image,
            const std::filesystem::path& path)
      : tree_(tree),
        images_(images),
        image_(image),
        path_(path),
        name_(path.filename().string()),
        where_(fmt::format("{}: ImageList/#{}", name_, image.index)) {}

  Result<SourceDescription> Describe(const FileIdentity& identity) {
    result_.format = "dm";
    result_.suggested_name = path_.stem().string();
    result_.files.push_back({.path = path_,
                             .role = "frames",
                             .media_type = "application/x-gatan-dm",
                             .identity = identity});
    PENSTOCK_RETURN_IF_ERROR(CheckType());
    PENSTOCK_RETURN_IF_ERROR(CheckAxes());
    PENSTOCK_RETURN_IF_ERROR(CheckSize());
    AddScanShape();
    AddAxes();
    result_.orientation.file_to_stored_source = "format";
    if (const TagNode* tags = image_.node->Child("ImageTags")) {
      gatan::AddGatanFacts(*tags, where_ + "/ImageTags", result_.facts);
    }
    result_.vendor_headers.push_back(
        {name_ + " tags", gatan::TagTreeText(tree_.root, kTagTextBytes)});
    NoteOtherImages();
    return std::move(result_);
  }

 private:
  void Report(AnomalyKind kind, std::string message, std::optional<uint64_t> offset = {}) {
    Anomaly anomaly;
    anomaly.kind = kind;
    anomaly.file = path_.string();
    anomaly.byte_offset = offset;
    anomaly.message = std::move(message);
    result_.anomalies.push_back(std::move(anomaly));
  }

  Error Refused(std::string what, std::string expected) const {
    return Error::Unsupported(std::move(what))
        .In(path_.string())
        .AtOffset(image_.data_offset)
        .Expected(std::move(expected))
        .Found(image_.Text());
  }

  // A text or number of ImageTags/"Meta Data", as text.
  const TagNode* MetaData(const char* name) const {
    return image_.node->Find({"ImageTags", "Meta Data", name});
  }

  Status CheckType() {
    if (const auto type = ElementTypeOf(image_.data_type)) {
      result_.element_type = *type;
      return Status::Ok();
    }
    std::string what = "this type of pixel is not known";
    const std::string type = DataTypeName(image_.data_type);
    if (type.find("complex") != std::string::npos) what = "images of complex numbers are not read";
    if (type == "colour") what = "colour images are not read";
    return Refused(std::move(what), "an image of integers or real numbers")
        .Advice("another image of the file can be chosen with --dataset-path");
  }

  // Frames must lie in one piece each: the axes of the detector are the fast ones.
  Status CheckAxes() {
    const size_t count = image_.dimensions.size();
    const TagNode* format = MetaData("Format");
    const bool is_spectra =
        format != nullptr && (format->text == "Spectrum image" || format->text == "Spectrum");
    if (count < 2 || is_spectra || image_.node->Find({"ImageTags", "spim"}) != nullptr) {
      return Refused("this data set holds spectra; penstock ingests images", "frames of an image")
          .Advice("another image of the file can be chosen with --dataset-path");
    }
    if (count > 4) {
      return Refused(fmt::format("data sets of {} dimensions are not read", count), "2, 3 or 4");
    }
    const TagNode* swapped = MetaData("Data Order Swapped");
    const auto order = swapped == nullptr ? std::nullopt : swapped->Number();
    if (count > 2 && order && *order == 0) {
      return Refused("the pixels of a frame do not lie together: the scan is the fast axis",
                     "Data Order Swapped = 1 in the tags")
          .Advice("save the data set again with a GMS that writes detector frames, or export it");
    }
    if (count == 4 && !order) {
      Report(AnomalyKind::kHeaderContradiction,
             "a data set of four dimensions without the tag 'Data Order Swapped': older programs "
             "wrote the scan as the fast axis; if accepted, the first two dimensions are taken for "
             "the detector",
             image_.data_offset);
    }
    return Status::Ok();
  }

  Status CheckSize() {
    const std::vector<int64_t>& dimensions = image_.dimensions;
    const uint64_t pixel_bytes = ElementSize(result_.element_type);
    uint64_t pixels = 1;
    for (const int64_t size : dimensions) {
      const auto extent = static_cast<uint64_t>(size);
      if (extent > image_.data_bytes / pixel_bytes / pixels) {
        pixels = 0;
        break;
      }
      pixels *= extent;
    }
    if (pixels == 0) {
      return Error::Corrupt("the image has fewer pixels than its dimensions say")
          .In(path_.string())
          .AtOffset(image_.data_offset)
          .Expected(image_.Text())
          .Found(fmt::format("{} bytes", image_.data_bytes))
          .Advice("the file is damaged; copy it again");
    }
    if (pixels * pixel_bytes != image_.data_bytes) {
      Report(AnomalyKind::kHeaderContradiction,
             fmt::format("{} takes {} bytes, the file has {}", image_.Text(), pixels * pixel_bytes,
                         image_.data_bytes),
             image_.data_offset);
    }
    const TagNode* depth = image_.node->Find({"ImageData", "PixelDepth"});
    const auto depth_bytes = depth == nullptr ? std::nullopt : depth->Integer();
    if (depth_bytes && static_cast<uint64_t>(*depth_bytes) != pixel_bytes) {
      Report(AnomalyKind::kHeaderContradiction,
             fmt::format("PixelDepth is {} bytes, a pixel of {} has {}", *depth_bytes,
                         image_.Text(), pixel_bytes));
    }
    result_.signal = {dimensions[1], dimensions[0]};
    result_.frame_count = static_cast<int64_t>(pixels) / (dimensions[0] * dimensions[1]);
    return Status::Ok();
  }

  void AddScanShape() {
    const std::vector<int64_t>& dimensions = image_.dimensions;
    if (dimensions.size() == 4) {
      result_.scan_shapes.push_back(
          {{dimensions[3], dimensions[2], false},
           fmt::format("{}/ImageData/Dimensions: {} x {} behind {} x {} pixels", where_,
                       dimensions[2], dimensions[3], dimensions[0], dimensions[1]),
           0});
      return;
    }
    if (dimensions.size() != 3) return;
    // A stack that a program of the NCEM made of a scan.
    const TagNode* columns = image_.node->Find({"ImageTags", "4D STEM Tags", "Scan shape X"});
    const TagNode* rows = image_.node->Find({"ImageTags", "4D STEM Tags", "Scan shape Y"});
    if (columns == nullptr || rows == nullptr || !columns->Integer() || !rows->Integer()) return;
    const int64_t x = *columns->Integer();
    const int64_t y = *rows->Integer();
    if (x < 1 || y < 1 || x > (int64_t{1} << 31) || y > (int64_t{1} << 31)) return;
    result_.scan_shapes.push_back(
        {{y, x, false},
         fmt::format("{}/ImageTags/4D STEM Tags: Scan shape X = {}, Y = {}", where_, x, y),
         0});
  }

  // value(i) = (i - Origin) * Scale. Without a unit there is no calibration.
  void AddAxes() {
    const TagNode* list = image_.node->Find({"ImageData", "Calibrations", "Dimension"});
    if (list == nullptr) return;
    constexpr const char* kNames[] = {"axis_i", "axis_j", "axis_k", "axis_m"};
    constexpr const char* kWhat[] = {"detector columns", "detector rows", "fast axis", "slow axis"};
    const size_t count = std::min(image_.dimensions.size(), list->children.size());
    for (size_t i = 0; i < count; ++i) {
      const TagNode& dimension = list->children[i];
      const TagNode* origin = dimension.Child("Origin");
      const TagNode* scale = dimension.Child("Scale");
      if (origin == nullptr || scale == nullptr) continue;
      const auto first = origin->Number();
      const auto step = scale->Number();
      const std::string unit = UnitOf(dimension.Child("Units"));
      if (!first || !step || unit.empty() || *step == 0 || !std::isfinite(*first) ||
          !std::isfinite(*step)) {
        continue;
      }
      AxisCalibration axis;
      axis.offset = -*first * *step;
      axis.step = *step;
      axis.units = unit;
      axis.long_name = fmt::format("{} ({})", kWhat[i], unit);
      axis.evidence = fmt::format("{}/ImageData/Calibrations/Dimension/#{}: Origin {}, Scale {}",
                                  where_, i, *first, *step);
      result_.axes[kNames[i]] = std::move(axis);
    }
  }

  void NoteOtherImages() {
    std::string others;
    for (const DmImage& other : images_) {
      if (other.index == image_.index || other.is_thumbnail) continue;
      if (others.size() < 400) others += (others.empty() ? "" : ", ") + other.Text();
    }
    if (others.empty()) return;
    Report(AnomalyKind::kOther,
           fmt::format("the file holds more images; {} is taken, --dataset-path takes another: {}",
                       image_.Text(), others));
  }

  const gatan::TagTree& tree_;
  const std::vector<DmImage>& images_;
  const DmImage& image_;
  const std::filesystem::path& path_;
  const std::string name_;
  const std::string where_;
  SourceDescription result_;
};

}  // namespace

Result<SourceDescription> DescribeImage(const gatan::TagTree& tree,
                                        const std::vector<DmImage>& images, const DmImage& image,
                                        const std::filesystem::path& path,
                                        const FileIdentity& identity) {
  return Describer(tree, images, image, path).Describe(identity);
}

}  // namespace penstock::ingest::dm
