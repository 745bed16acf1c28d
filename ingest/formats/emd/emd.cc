// EMD of Berkeley and what grew out of it: NCEM, Prismatic, fpd, py4DSTEM up to 0.13, EMD 1.0.
// docs/formats/emd.md.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ingest/formats/hdf5/dresses.h"

namespace penstock::ingest::hdf5 {

namespace {

// "[n_m]" is nm, "[]" none. EMD writes angstrom as A, which elsewhere is ampere.
std::string Units(std::string text) {
  std::erase_if(text, [](char c) { return c == '[' || c == ']' || c == '_'; });
  if (text == "A") return "angstrom";
  if (text == "A^-1" || text == "1/A") return "1/angstrom";
  if (text == "nm^-1") return "1/nm";
  return text;
}

bool CountsPixels(const std::string& units) {
  return units.empty() || units == "pix" || units == "pixel" || units == "pixels" || units == "px";
}

struct Candidate {
  Object group;
  Object data;
};

class EmdReader {
 public:
  EmdReader(const Object& root, Candidate candidate)
      : root_(root),
        group_(std::move(candidate.group)),
        data_(std::move(candidate.data)),
        shape_(data_.Shape()) {}

  Result<Selection> Read() {
    selection_.axes = ImageAxes(shape_.size());
    ReadDimensions();
    ReadCalibration();
    ReadMicroscope();
    ReadSimulation();
    const auto& title = group_.name();
    if (!title.empty()) {
      AddFact(selection_, "title", title, "", fmt::format("{}: name of the group", group_.Place()));
    }
    selection_.vendor_headers.push_back(DumpMetadata(root_, root_.container()->name()));
    selection_.parts.push_back(std::move(data_));
    return std::move(selection_);
  }

 private:
  // dim1 is the slowest axis, or dim0 in EMD 1.0.
  void ReadDimensions() {
    const size_t first = group_.Has("dim0") ? 0 : 1;
    selection_.statements.resize(shape_.size());
    size_t missing = 0;
    for (size_t axis = 0; axis < shape_.size(); ++axis) {
      const auto dimension = group_.Find(fmt::format("dim{}", axis + first));
      if (!dimension || !dimension->is_dataset()) {
        ++missing;
        continue;
      }
      AxisStatement& statement = selection_.statements[axis];
      statement.name = dimension->TextAttribute("name").value_or("");
      statement.units = Units(dimension->TextAttribute("units").value_or(""));
      statement.evidence = fmt::format("{}: values, name and units", dimension->Place());
      // Without values (fpd) or in pixels: nothing is said of the scale.
      if (!dimension->IsNumeric() || CountsPixels(statement.units)) continue;
      SetLinear(statement, dimension->Numbers(), shape_[axis], *dimension, selection_);
    }
    if (missing > 0) {
      AddAnomaly(selection_, group_, AnomalyKind::kOther,
                 fmt::format("{} of {} axes have no dim dataset", missing, shape_.size()));
    }
  }

  void Calibrate(const Object& calibration, const char* size_name, const char* units_name,
                 size_t axis) {
    const auto size = calibration.Find(size_name);
    const auto units = calibration.Find(units_name);
    if (!size || !units) return;
    const auto step = size->Number();
    const std::string text = Units(units->Text().value_or(""));
    if (!step || *step == 0 || CountsPixels(text)) return;
    AxisStatement& statement = selection_.statements[axis];
    if (statement.step && std::abs(*statement.step - *step) <= 1e-6 * std::abs(*step) &&
        statement.units == text) {
      return;
    }
    if (statement.step) {
      AddAnomaly(selection_, calibration, AnomalyKind::kOther,
                 fmt::format("{} is {:g} {}, the axis says {:g} {}; the calibration counts",
                             size_name, *step, text, *statement.step, statement.units));
      statement.offset = 0;
    }
    statement.step = step;
    statement.units = text;
    statement.evidence = size->Place();
  }

  // EMD 1.0 keeps the calibration in the root of the tree; py4DSTEM goes by it.
  void ReadCalibration() {
    if (shape_.size() != 4) return;
    const std::string tree = group_.path().substr(0, group_.path().find('/', 1));
    for (const char* place : {"/metadatabundle/calibration", "/calibration"}) {
      const auto calibration = root_.Find(tree + place);
      if (!calibration || !calibration->is_group()) continue;
      Calibrate(*calibration, "R_pixel_size", "R_pixel_units", 0);
      Calibrate(*calibration, "R_pixel_size", "R_pixel_units", 1);
      Calibrate(*calibration, "Q_pixel_size", "Q_pixel_units", 2);
      Calibrate(*calibration, "Q_pixel_size", "Q_pixel_units", 3);
      return;
    }
  }

  // Groups of free attributes. Those of the NCEM have no units; by their writers' habit they are
  // SI.
  void ReadMicroscope() {
    const auto microscope = root_.Find("microscope");
    if (!microscope || !microscope->is_group()) return;
    const std::string event = "measurement/event1/instrument/";
    const auto add = [&](const char* name, const std::string& path, const char* unit) {
      auto value = microscope->NumberAttribute(name);
      if (!value) return;
      AddFact(
          selection_, path, *value, unit,
          fmt::format("{}: {} (in SI units, as the NCEM writes it)", microscope->Place(), name));
    };
    add("high tension", event + "ebeam_column/electron_source/voltage", "V");
    add("camera length", event + "optics/camera_length", "m");
    add("dwell time", event + "ebeam_column/scan_controller/dwell_time", "s");
    add("convergence angle", event + "optics/semi_convergence_angle", "rad");
    add("defocus", event + "optics/defocus", "m");
    add("magnification", event + "optics/magnification", "");
  }

  // Prismatic.
  void ReadSimulation() {
    const std::string tree = group_.path().substr(0, group_.path().find('/', 1));
    const auto parameters =
        root_.Find(tree + "/metadata/metadata_0/original/simulation_parameters");
    if (!parameters) return;
    if (const auto energy = parameters->NumberAttribute("E")) {
      AddFact(selection_, "measurement/event1/instrument/ebeam_column/electron_source/voltage",
              *energy, "kV", fmt::format("{}: E (of the simulation)", parameters->Place()));
    }
  }

  const Object& root_;
  Object group_;
  Object data_;
  const std::vector<uint64_t> shape_;
  Selection selection_;
};

// The dataset of a group of arrays: data, or the datacube of Prismatic.
std::optional<Object> DataOf(const Object& group) {
  for (const char* name : {"data", "datacube"}) {
    auto data = group.Find(name);
    if (data && data->is_dataset()) return data;
  }
  return std::nullopt;
}

bool IsArrayGroup(const Object& group) {
  const auto type = group.Attribute("emd_group_type");
  if (!type) return false;
  return AsNumber(*type) == 1 || AsText(*type) == "array";
}

struct Found {
  std::vector<Object> groups;
  std::vector<Object> data;
};

Found FindArrays(const Object& root) {
  Found found;
  WalkObjects(root, [&](const Object& object) {
    if (object.is_dataset() || found.data.size() >= 1000) return false;
    if (!IsArrayGroup(object)) return true;
    auto data = DataOf(object);
    auto group = root.Find(object.path());
    if (data && group && data->IsNumeric() && data->Shape().size() >= 2) {
      found.groups.push_back(std::move(*group));
      found.data.push_back(std::move(*data));
    }
    return true;
  });
  return found;
}

// Keeps those of the highest class that is there: four axes or more, three, two. Images and maps
// that lie beside a datacube are not meant.
void KeepLargestRank(Found& found) {
  size_t most = 0;
  for (const Object& data : found.data)
    most = std::max(most, std::min<size_t>(4, data.Shape().size()));
  Found kept;
  for (size_t i = 0; i < found.data.size(); ++i) {
    if (found.data[i].Shape().size() < most) continue;
    kept.groups.push_back(std::move(found.groups[i]));
    kept.data.push_back(std::move(found.data[i]));
  }
  found = std::move(kept);
}

// The fpd converter stores everything as EMD data sets; its detector data is the largest.
void KeepFpdData(const Object& root, Found& found) {
  if (!root.Attribute("fpd_version") || found.data.empty()) return;
  for (size_t i = 0; i < found.data.size(); ++i) {
    if (found.groups[i].name() != "fpd_data") continue;
    Found kept;
    kept.groups.push_back(std::move(found.groups[i]));
    kept.data.push_back(std::move(found.data[i]));
    found = std::move(kept);
    return;
  }
}

Result<Selection> Select(const Object& root, const std::string& dataset_path) {
  Found found = FindArrays(root);
  if (dataset_path.empty()) {
    KeepFpdData(root, found);
    KeepLargestRank(found);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Choice choice, Choose(root, found.data, dataset_path));
  if (!choice.found) {
    if (!dataset_path.empty()) return SelectPlain(root, dataset_path);
    return NoCandidate(root, "an EMD data set of numbers with at least two axes");
  }
  return EmdReader(root,
                   {std::move(found.groups[choice.index]), std::move(found.data[choice.index])})
      .Read();
}

}  // namespace

Result<Selection> SelectEmd(const Object& root, const std::string& dataset_path) {
  return Select(root, dataset_path);
}

Result<Selection> SelectPy4dstem(const Object& root, const std::string& dataset_path) {
  return Select(root, dataset_path);
}

}  // namespace penstock::ingest::hdf5
