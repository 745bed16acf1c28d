// Dectris master files: frames in data files that the master links to. docs/formats/dectris.md.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ingest/formats/hdf5/dresses.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr const char* kDetector = "entry/instrument/detector";
constexpr size_t kMaxDumpedRuns = 50000;
constexpr uint64_t kMaxMaskPixels = uint64_t{16} << 20;

class NoReport final : public DecodeReport {
 public:
  void AddAnomaly(Anomaly /*anomaly*/) override {}
  void MarkInvalid(int64_t /*frame*/, std::string_view /*reason*/) override {}
};

// An image of 32-bit numbers, compressed in whatever way frames may be.
Result<std::vector<uint32_t>> ReadImage(const Object& image) {
  PENSTOCK_ASSIGN_OR_RETURN(Object own, image.Get("."));
  PENSTOCK_ASSIGN_OR_RETURN(Array array, OpenArray(std::move(own)));
  if (array.type != ElementType::kUint32 || array.shape[0] > kMaxMaskPixels / array.shape[1]) {
    return Error::Unsupported("no mask of uint32")
        .Found(fmt::format("{} {}", ShapeText(array.shape), ZarrDataType(array.type)));
  }
  std::vector<uint32_t> values(array.shape[0] * array.shape[1]);
  const FrameReader reader(std::move(array), ImageAxes(2), 0, 0, std::make_shared<ChunkCache>(0));
  NoReport report;
  DecodeContext context;
  context.report = &report;
  PENSTOCK_RETURN_IF_ERROR(
      reader.Decode(0, 1, 0, std::as_writable_bytes(std::span(values)), context));
  return values;
}

class DectrisReader {
 public:
  explicit DectrisReader(const Object& root) : root_(root) {}

  Result<Selection> Read(const std::string& dataset_path) {
    PENSTOCK_RETURN_IF_ERROR(FindData());
    if (!dataset_path.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(Object chosen, root_.Get("/" + dataset_path));
      if (!chosen.is_dataset() || chosen.Shape().size() < 3) {
        return SelectPlain(root_, dataset_path);
      }
      selection_.parts.clear();
      selection_.parts.push_back(std::move(chosen));
    }
    const std::vector<uint64_t> shape = selection_.parts.front().Shape();
    selection_.axes = ImageAxes(shape.size());
    if (shape.size() == 4) {
      // Images, thresholds, rows, columns.
      selection_.axes.navigation = {0};
      if (shape[1] > 1) {
        AddAnomaly(selection_, selection_.parts.front(), AnomalyKind::kOther,
                   fmt::format("{} thresholds (channels): the first is taken", shape[1]));
      }
    }
    for (const Object& part : selection_.parts) {
      const std::vector<uint64_t> own = part.Shape();
      if (own.size() == shape.size() && !own.empty()) frames_ += own[0];
    }
    CompareCounts();
    ReadFacts();
    ReadMask();
    ReadSidecar();
    selection_.shape_is_evidence = false;
    selection_.suggested_name = root_.container()->path().stem().string();
    if (selection_.suggested_name.ends_with("_master")) {
      selection_.suggested_name.resize(selection_.suggested_name.size() - 7);
    }
    selection_.vendor_headers.push_back(DumpMetadata(root_, root_.container()->name()));
    return std::move(selection_);
  }

 private:
  // data_000001, data_000002, ... in the order of their numbers; or one dataset for all.
  Status FindData() {
    PENSTOCK_ASSIGN_OR_RETURN(const Object data, root_.Get("/entry/data"));
    std::vector<std::pair<int64_t, std::string>> numbered;
    for (const std::string& name : data.Children(1000000)) {
      if (!name.starts_with("data_") || name.size() > 20) continue;
      const std::string digits = name.substr(5);
      if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) continue;
      numbered.emplace_back(std::stoll(digits), name);
    }
    std::ranges::sort(numbered);
    if (numbered.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(Object all, data.Get("data"));
      selection_.parts.push_back(std::move(all));
      return Status::Ok();
    }
    int64_t expected = numbered.front().first;
    if (expected > 1) {
      AddAnomaly(selection_, data, AnomalyKind::kHeaderContradiction,
                 fmt::format("the first link is {}: data files before it are missing",
                             numbered.front().second));
    }
    int64_t next_image = -1;
    for (const auto& [number, name] : numbered) {
      if (number != expected) {
        AddAnomaly(selection_, data, AnomalyKind::kHeaderContradiction,
                   fmt::format("the links leave out data_{:06} before {}", expected, name));
      }
      expected = number + 1;
      auto part = data.Get(name);
      if (!part.ok()) return std::move(part).error();
      if (!part->is_dataset()) {
        return Error::Corrupt("a link of the master leads to no dataset")
            .In(root_.container()->path().string())
            .At("/entry/data/" + name);
      }
      CheckNumbers(*part, name, next_image);
      selection_.parts.push_back(std::move(part).value());
    }
    return Status::Ok();
  }

  // Images are numbered through all data files, from 1.
  void CheckNumbers(const Object& part, const std::string& name, int64_t& next_image) {
    const auto low = part.NumberAttribute("image_nr_low");
    const auto high = part.NumberAttribute("image_nr_high");
    if (!low || !high || std::abs(*low) > 1e15 || std::abs(*high) > 1e15) return;
    const auto first = static_cast<int64_t>(*low);
    const auto last = static_cast<int64_t>(*high);
    const std::vector<uint64_t> shape = part.Shape();
    if (!shape.empty() && last - first + 1 != static_cast<int64_t>(shape[0])) {
      AddAnomaly(selection_, part, AnomalyKind::kHeaderContradiction,
                 fmt::format("{} says images {} to {}, but holds {}", name, first, last, shape[0]));
    }
    const int64_t expected = next_image < 0 ? 1 : next_image;
    if (first > expected) {
      MissingFrames missing;
      missing.before_frame = seen_frames_;
      missing.count = first - expected;
      missing.evidence = fmt::format("{} begins with image {}, not {}", name, first, expected);
      AddAnomaly(selection_, part, AnomalyKind::kMissingFrame, missing.evidence);
      selection_.missing_frames.push_back(std::move(missing));
    } else if (first < expected) {
      AddAnomaly(selection_, part, AnomalyKind::kDuplicateFrame,
                 fmt::format("{} begins with image {}, which was there before", name, first));
    }
    next_image = last + 1;
    if (!shape.empty()) seen_frames_ += static_cast<int64_t>(shape[0]);
  }

  std::optional<double> Number(const std::string& path) const {
    const auto dataset = root_.Find(kDetector + ("/" + path));
    return dataset ? dataset->Number() : std::nullopt;
  }

  void CompareCounts() {
    const auto images = Number("detectorSpecific/nimages");
    const auto triggers = Number("detectorSpecific/ntrigger");
    if (!images || !triggers) return;
    const double expected = *images * *triggers;
    if (expected == static_cast<double>(frames_) || expected < 1) return;
    AddAnomaly(selection_, root_,
               static_cast<double>(frames_) < expected ? AnomalyKind::kMissingFrame
                                                       : AnomalyKind::kExtraFrames,
               fmt::format("{} images of {} triggers were asked for, {} are there", *images,
                           *triggers, frames_));
  }

  // A scalar with the unit that stands beside it.
  void AddNumber(const std::string& name, std::string path, bool zero_is_unset = false) {
    const auto dataset = root_.Find(kDetector + ("/" + name));
    const auto value = dataset ? dataset->Number() : std::nullopt;
    if (!value || (zero_is_unset && *value == 0)) return;
    AddFact(selection_, std::move(path), *value, dataset->TextAttribute("units").value_or(""),
            dataset->Place());
  }
  void AddText(const std::string& name, std::string path) {
    const auto dataset = root_.Find(kDetector + ("/" + name));
    const auto text = dataset ? dataset->Text() : std::nullopt;
    if (!text || text->empty()) return;
    AddFact(selection_, std::move(path), *text, "", dataset->Place());
  }
  void AddFlag(const std::string& name, std::string path) {
    const auto dataset = root_.Find(kDetector + ("/" + name));
    const auto value = dataset ? dataset->Number() : std::nullopt;
    if (!value) return;
    AddFact(selection_, std::move(path), *value != 0, "", dataset->Place());
  }

  void ReadFacts() {
    const std::string detector = "measurement/instrument/detector1/";
    const std::string event = "measurement/event1/instrument/detector1/";
    AddText("description", detector + "description");
    AddText("detector_number", detector + "serial_number");
    AddText("sensor_material", detector + "sensor_material");
    AddNumber("sensor_thickness", detector + "sensor_thickness");
    AddNumber("x_pixel_size", detector + "x_pixel_size");
    AddNumber("y_pixel_size", detector + "y_pixel_size");
    AddNumber("bit_depth_readout", detector + "bit_depth_readout");
    AddNumber("count_time", event + "count_time");
    AddNumber("frame_time", event + "frame_time");
    AddNumber("threshold_energy", event + "threshold_energy");
    AddNumber("saturation_value", event + "saturation_value");
    AddFlag("countrate_correction_applied", event + "countrate_correction_applied");
    AddFlag("flatfield_correction_applied", event + "flatfield_applied");
    AddFlag("pixel_mask_applied", event + "pixel_mask_applied");
    AddFlag("virtual_pixel_correction_applied", event + "virtual_pixel_interpolation_applied");
    const auto start =
        root_.Find(std::string(kDetector) + "/detectorSpecific/data_collection_date");
    if (const auto text = start ? start->Text() : std::nullopt) {
      // Only with its zone is it a start time.
      const bool zone = text->size() > 19 && text->find_first_of("Z+-", 19) != std::string::npos;
      if (zone && (*text)[10] == 'T') {
        for (const char* path : {"start_time", "measurement/event1/start_time"}) {
          AddFact(selection_, path, *text, "", start->Place());
        }
      }
    }
  }

  // Masked pixels hold the largest value of the type; the mask itself is kept as a list of runs.
  void ReadMask() {
    const auto mask = root_.Find(std::string(kDetector) + "/detectorSpecific/pixel_mask");
    if (!mask || !mask->is_dataset()) return;
    const std::vector<uint64_t> shape = mask->Shape();
    const std::vector<uint64_t> frame = selection_.parts.front().Shape();
    if (shape.size() != 2 || frame.size() < 2 || shape[0] != frame[frame.size() - 2] ||
        shape[1] != frame.back()) {
      AddAnomaly(
          selection_, *mask, AnomalyKind::kOther,
          fmt::format("the mask has shape {}, the frames {}", ShapeText(shape), ShapeText(frame)));
      return;
    }
    const auto values = ReadImage(*mask);
    if (!values.ok()) {
      AddAnomaly(selection_, *mask, AnomalyKind::kOther,
                 "the mask is left out: " + values.error().ToString());
      return;
    }
    std::string text = "row-major runs of masked pixels: first, count, value\n";
    size_t runs = 0;
    for (size_t i = 0; i < values->size();) {
      size_t end = i + 1;
      while (end < values->size() && (*values)[end] == (*values)[i]) ++end;
      if ((*values)[i] != 0 && ++runs <= kMaxDumpedRuns) {
        text += fmt::format("{} {} {}\n", i, end - i, (*values)[i]);
      }
      i = end;
    }
    if (runs > kMaxDumpedRuns) text += fmt::format("({} more)\n", runs - kMaxDumpedRuns);
    selection_.vendor_headers.push_back({root_.container()->name() + " pixel_mask", text});
  }

  // NAME.h5 beside NAME_master.h5, written by the scan controller.
  void ReadSidecar() {
    const std::string master = root_.container()->path().filename().string();
    if (!master.ends_with("_master.h5")) return;
    const std::filesystem::path path =
        root_.container()->path().parent_path() / (master.substr(0, master.size() - 10) + ".h5");
    std::error_code problem;
    if (!std::filesystem::is_regular_file(path, problem)) return;
    auto container = Container::Open(path);
    auto root = container.ok() ? Object::Root(*container) : Result<Object>(container.error());
    const auto metadata = root.ok() ? root->Find("STEM Metadata") : std::nullopt;
    if (!metadata) {
      AddAnomaly(selection_, root_, AnomalyKind::kOther,
                 fmt::format("{} beside it has no group 'STEM Metadata': left out",
                             path.filename().string()));
      return;
    }
    selection_.other_files.push_back({.path = path,
                                      .role = "metadata",
                                      .media_type = "application/x-hdf5",
                                      .identity = (*container)->identity()});
    selection_.vendor_headers.push_back(DumpMetadata(*root, path.filename().string()));
    const std::string event = "measurement/event1/instrument/";
    AddSidecarFact(*metadata, "High Tension", event + "ebeam_column/electron_source/voltage", "V");
    AddSidecarFact(*metadata, "Camera Length", event + "optics/camera_length", "m");
    AddSidecarFact(*metadata, "Magnification", event + "optics/magnification", "");
    AddSidecarFact(*metadata, "ScanDwellTime", event + "ebeam_column/scan_controller/dwell_time",
                   "s");
    AddSidecarShape(*metadata);
  }

  void AddSidecarFact(const Object& metadata, const std::string& name, std::string path,
                      std::string units) {
    const auto value = metadata.NumberAttribute(name);
    if (!value || *value == 0) return;
    AddFact(selection_, std::move(path), *value, std::move(units),
            fmt::format("{}: {}", metadata.Place(), name));
  }

  void AddSidecarShape(const Object& metadata) {
    const double columns = metadata.NumberAttribute("NumPixelsX").value_or(0);
    const double rows = metadata.NumberAttribute("NumPixelsY").value_or(0);
    const double prescan = metadata.NumberAttribute("NumPixelsPrescan").value_or(0);
    const auto good = [](double n, double least) {
      return n >= least && n <= 1e9 && n == std::floor(n);
    };
    if (!good(columns, 1) || !good(rows, 1) || !good(prescan, 0)) return;
    ScanShapeEvidence evidence;
    evidence.shape = {static_cast<int64_t>(rows), static_cast<int64_t>(columns), false};
    evidence.evidence =
        fmt::format("{}: NumPixelsY = {}, NumPixelsX = {}", metadata.Place(), rows, columns);
    const double frames = static_cast<double>(frames_);
    if (rows * columns != frames && prescan > 0 && rows * (columns + prescan) == frames) {
      evidence.extra_frames_per_row = static_cast<int64_t>(prescan);
      evidence.evidence += fmt::format(", NumPixelsPrescan = {}", prescan);
      AddAnomaly(selection_, metadata, AnomalyKind::kOther,
                 fmt::format("the lines are {} frames longer than the scan (NumPixelsPrescan): the "
                             "last of each are left out",
                             prescan));
    }
    selection_.scan_shapes.push_back(std::move(evidence));
    const auto size = metadata.NumberAttribute("Pixel Size");
    const auto calibrated = metadata.NumberAttribute("IsPixelSizeCalibrated");
    if (!size || *size <= 0) return;
    for (const char* name : {"axis_m", "axis_k"}) {
      AxisCalibration axis;
      axis.step = *size;
      axis.units = "nm";
      axis.long_name = fmt::format("scan position, {} axis, nm",
                                   std::string_view(name) == "axis_m" ? "slow" : "fast");
      axis.evidence =
          fmt::format("{}: Pixel Size{}", metadata.Place(),
                      calibrated && *calibrated == 0 ? " (IsPixelSizeCalibrated = 0)" : "");
      selection_.scan_axes[name] = std::move(axis);
    }
  }

  const Object& root_;
  Selection selection_;
  uint64_t frames_ = 0;
  int64_t seen_frames_ = 0;
};

}  // namespace

Result<Selection> SelectDectris(const Object& root, const std::string& dataset_path) {
  return DectrisReader(root).Read(dataset_path);
}

}  // namespace penstock::ingest::hdf5
