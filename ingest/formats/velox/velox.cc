// Velox EMD: images under /Data/Image, frames along the last axis. docs/formats/velox.md.

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "ingest/formats/hdf5/dresses.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr int kMaxJsonDepth = 64;

// Column 0 of the metadata: the text of the first frame, ended by a NUL.
std::optional<std::string> FirstMetadata(const Object& image) {
  const auto metadata = image.Find("Metadata");
  if (!metadata || !metadata->is_dataset()) return std::nullopt;
  const std::vector<uint64_t> shape = metadata->Shape();
  if (shape.size() != 2 || shape[0] == 0 || shape[0] > (1 << 20) || shape[1] == 0) {
    return std::nullopt;
  }
  const Hdf5Handle properties(H5Dget_create_plist(metadata->id()), H5Pclose);
  const H5D_layout_t layout = H5Pget_layout(properties.get());
  if (layout == H5D_VIRTUAL || H5Pget_external_count(properties.get()) != 0) return std::nullopt;
  std::string text(shape[0], '\0');
  const hsize_t zero[2] = {0, 0};
  const hsize_t count[2] = {shape[0], 1};
  const Hdf5Handle memory(H5Screate_simple(1, count, nullptr), H5Sclose);
  const Hdf5Handle file(H5Dget_space(metadata->id()), H5Sclose);
  H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, zero, nullptr, count, nullptr);
  if (H5Dread(metadata->id(), H5T_NATIVE_UINT8, memory.get(), file.get(), H5P_DEFAULT,
              text.data()) < 0) {
    return std::nullopt;
  }
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

// nlohmann's parser recurses: nesting is looked at first.
std::optional<Json> ParseText(const std::string& text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && (text[i] == '{' || text[i] == '[')) {
      if (++depth > kMaxJsonDepth) return std::nullopt;
    } else if (!quoted && (text[i] == '}' || text[i] == ']')) {
      --depth;
    }
  }
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return std::nullopt;
  return json;
}

class VeloxReader {
 public:
  VeloxReader(const Object& root, const Object& image, Object data)
      : root_(root), image_(image), data_(std::move(data)), shape_(data_.Shape()) {}

  Result<Selection> Read() {
    FrameAxes& axes = selection_.axes;
    axes.navigation = {2};
    axes.rows = 0;
    axes.columns = 1;
    axes.fixed.assign(3, 0);
    selection_.statements.resize(3);
    ReadMetadata();
    selection_.vendor_headers.push_back(DumpMetadata(root_, root_.container()->name()));
    selection_.parts.push_back(std::move(data_));
    return std::move(selection_);
  }

 private:
  void ReadMetadata() {
    const auto text = FirstMetadata(image_);
    if (!text || text->empty()) {
      AddAnomaly(selection_, image_, AnomalyKind::kOther,
                 "there is no metadata of the first frame");
      return;
    }
    const auto json = ParseText(*text);
    if (!json) {
      AddAnomaly(selection_, image_, AnomalyKind::kOther, "the metadata is not JSON");
      return;
    }
    metadata_ = std::move(*json);
    selection_.vendor_headers.push_back(
        {fmt::format("{} {}/Metadata frame 0", root_.container()->name(), image_.path()),
         metadata_.dump(1, ' ', false, Json::error_handler_t::replace)});
    ReadPixelSize();
    ReadFacts();
    CompareScanSize();
  }

  const Json* At(std::string_view path) const {
    const Json* at = &metadata_;
    while (!path.empty()) {
      const std::string name(path.substr(0, path.find('/')));
      path.remove_prefix(std::min(path.size(), name.size() + 1));
      if (!at->is_object()) return nullptr;
      const auto found = at->find(name);
      if (found == at->end()) return nullptr;
      at = &*found;
    }
    return at;
  }
  // All values are texts.
  std::optional<double> Number(std::string_view path) const {
    const Json* value = At(path);
    return value == nullptr ? std::nullopt : AsNumber(*value);
  }
  std::string Text(std::string_view path) const {
    const Json* value = At(path);
    return value != nullptr && value->is_string() ? value->get<std::string>() : "";
  }
  std::string Evidence(std::string_view path) const {
    return fmt::format("{}/Metadata: {}", image_.Place(), path);
  }

  void ReadPixelSize() {
    const auto axis = [&](size_t index, const char* size, const char* offset, const char* unit) {
      const auto step = Number(fmt::format("BinaryResult/PixelSize/{}", size));
      AxisStatement& statement = selection_.statements[index];
      statement.units = Text(fmt::format("BinaryResult/{}", unit));
      statement.evidence = Evidence(fmt::format("BinaryResult/PixelSize/{}", size));
      if (!step || *step <= 0 || statement.units.empty()) return;
      statement.step = step;
      statement.offset = Number(fmt::format("BinaryResult/Offset/{}", offset)).value_or(0);
    };
    axis(0, "height", "y", "PixelUnitY");
    axis(1, "width", "x", "PixelUnitX");
  }

  void AddNumber(std::string_view path, std::string fact, std::string units) {
    if (const auto value = Number(path)) {
      AddFact(selection_, std::move(fact), *value, std::move(units), Evidence(path));
    }
  }
  void AddText(std::string_view path, std::string fact) {
    const std::string text = Text(path);
    if (!text.empty()) AddFact(selection_, std::move(fact), text, "", Evidence(path));
  }

  void ReadFacts() {
    const std::string event = "measurement/event1/instrument/";
    AddNumber("Optics/AccelerationVoltage", event + "ebeam_column/electron_source/voltage", "V");
    AddNumber("Optics/CameraLength", event + "optics/camera_length", "m");
    AddNumber("Optics/NominalMagnification", event + "optics/magnification", "");
    AddNumber("Optics/BeamConvergence", event + "optics/semi_convergence_angle", "rad");
    AddNumber("Optics/LastMeasuredScreenCurrent", event + "optics/screen_current", "A");
    AddNumber("Scan/DwellTime", event + "ebeam_column/scan_controller/dwell_time", "s");
    AddNumber("Stage/AlphaTilt", event + "stage1/tilt1", "rad");
    AddNumber("Stage/BetaTilt", event + "stage1/tilt2", "rad");
    AddText("Instrument/InstrumentModel", "measurement/instrument/name");
    AddText("BinaryResult/Detector", "measurement/instrument/detector1/name");
    AddDetector(event);
    if (const auto seconds = Number("Acquisition/AcquisitionStartDatetime/DateTime");
        seconds && *seconds > 0 && *seconds < 4e9) {
      std::tm utc{};
      const auto time = static_cast<std::time_t>(*seconds);
      gmtime_r(&time, &utc);
      const std::string text = fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", utc);
      for (const char* path : {"start_time", "measurement/event1/start_time"}) {
        AddFact(selection_, path, text, "",
                Evidence("Acquisition/AcquisitionStartDatetime/DateTime (Unix time)"));
      }
    }
  }

  // The exposure of the detector that BinaryResult names.
  void AddDetector(const std::string& event) {
    const std::string index = Text("BinaryResult/DetectorIndex");
    if (index.empty()) return;
    const std::string detector = "Detectors/Detector-" + index;
    AddNumber(detector + "/ExposureTime", event + "detector1/count_time", "s");
  }

  void CompareScanSize() {
    const auto width = Number("Scan/ScanSize/width");
    const auto height = Number("Scan/ScanSize/height");
    if (!width || !height || *width < 2 || *height < 2) return;
    if (*width * *height != static_cast<double>(shape_[2]) || shape_[2] < 2) return;
    AddAnomaly(
        selection_, image_, AnomalyKind::kOther,
        fmt::format("there are as many frames as a scan of {} x {} has positions: --scan-shape "
                    "{},{} if they are one",
                    *height, *width, *height, *width));
  }

  const Object& root_;
  const Object& image_;
  Object data_;
  const std::vector<uint64_t> shape_;
  Json metadata_;
  Selection selection_;
};

}  // namespace

Result<Selection> SelectVelox(const Object& root, const std::string& dataset_path) {
  const auto list = root.Find("Data/Image");
  std::vector<Object> images;
  std::vector<Object> candidates;
  std::string refused;
  for (const std::string& name : list ? list->Children(10000) : std::vector<std::string>()) {
    auto image = list->Find(name);
    auto data = image ? image->Find("Data") : std::nullopt;
    if (!data || !data->is_dataset()) continue;
    if (data->Shape().size() != 3 || !data->IsNumeric()) {
      refused += (refused.empty() ? "" : "; ") + Describe(*data);
      continue;
    }
    images.push_back(std::move(*image));
    candidates.push_back(std::move(*data));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Choice choice, Choose(root, candidates, dataset_path));
  if (!choice.found) {
    if (!dataset_path.empty()) return SelectPlain(root, dataset_path);
    return Error::Unsupported("the file holds no image that can be read")
        .In(root.container()->path().string())
        .Expected("/Data/Image/NAME/Data with rows, columns and frames of plain numbers")
        .Found(refused.empty() ? "none" : refused);
  }
  return VeloxReader(root, images[choice.index], std::move(candidates[choice.index])).Read();
}

}  // namespace penstock::ingest::hdf5
