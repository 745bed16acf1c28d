// What NeXus (release v2026.01) says about the groups and required fields that penstock writes.

#include <array>
#include <cctype>
#include <utility>

#include "catalog/dataset/nexus_tree.h"

namespace penstock {

namespace {

struct GroupClass {
  std::string_view name;  // without the trailing number
  std::string_view nx_class;
};

// By the name of the group alone: NXem uses each name in one sense, wherever it stands, but for
// those that NexusClassOf treats by their parent.
constexpr std::array kClasses = std::to_array<GroupClass>({
    {"aperture", "NXaperture"},
    {"attributes", "NXparameters"},
    {"citation", "NXcite"},
    {"coordinate_system", "NXcoordinate_system"},
    {"corrector_cs", "NXcorrector_cs"},
    {"detector", "NXdetector"},
    {"deflector", "NXdeflector"},
    {"ebeam_column", "NXebeam_column"},
    {"electron_source", "NXsource"},
    {"event", "NXem_event_data"},
    {"fabrication", "NXfabrication"},
    {"image", "NXimage"},
    {"image_3d", "NXdata"},
    {"image_4d", "NXdata"},
    {"input", "NXnote"},
    {"instrument", "NXem_instrument"},
    {"lens", "NXelectromagnetic_lens"},
    {"measurement", "NXem_measurement"},
    {"monochromator", "NXmonochromator"},
    {"note", "NXnote"},
    {"operation", "NXprocess"},
    {"optics", "NXem_optical_system"},
    {"process", "NXprocess"},
    {"processing_reference_frame", "NXcoordinate_system"},
    {"profiling", "NXcs_profiling"},
    {"program", "NXprogram"},
    {"sample", "NXsample"},
    {"sample_reference_frame", "NXcoordinate_system"},
    {"scan_controller", "NXscan_controller"},
    {"stage", "NXmanipulator"},
    {"statistics", "NXprocess"},
    {"user", "NXuser"},
});

struct Requirement {
  std::string_view group;  // relative to the NXentry, "" the entry itself
  std::string_view field;  // relative to the group
  bool always;             // required even where the group does not exist
};

// NXem, applications/NXem.nxdl.xml. A group that is optional itself requires its fields only where
// it exists.
constexpr std::array kRequirements = std::to_array<Requirement>({
    {"", "start_time", true},
    {"sample", "is_simulation", true},
    {"sample", "preparation_date", true},
    {"sample", "atom_types", true},
    {"measurement/instrument", "fabrication/vendor", false},
    {"measurement/instrument", "fabrication/model", false},
    {"measurement/instrument", "ebeam_column", false},
    {"measurement/instrument/detector1", "name", false},
    {"measurement/event1/instrument/ebeam_column/electron_source", "voltage", false},
    {"measurement/event1/instrument/ebeam_column/scan_controller", "scan_schema", false},
    {"measurement/event1/instrument/ebeam_column/scan_controller", "dwell_time", false},
    {"measurement/event1/instrument/detector1", "operation_mode", false},
    {"measurement/event1/instrument/stage1", "tilt1", false},
    {"measurement/event1/instrument/stage1", "tilt2", false},
    {"measurement/event1/instrument/stage1", "rotation", false},
    {"measurement/event1/instrument/stage1", "position", false},
    {"measurement/event1/image1/process", "detector_identifier", false},
    {"measurement/event1/image1/image_4d", "axis_m", false},
    {"measurement/event1/image1/image_4d", "axis_k", false},
    {"measurement/event1/image1/image_4d", "axis_j", false},
    {"measurement/event1/image1/image_4d", "axis_i", false},
    {"measurement/event1/image1/image_3d", "axis_k", false},
    {"measurement/event1/image1/image_3d", "axis_j", false},
    {"measurement/event1/image1/image_3d", "axis_i", false},
});

const Json* Find(const Json& group, std::string_view path) {
  const Json* node = &group;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    if (!node->is_object()) return nullptr;
    auto found = node->find(name);
    if (found == node->end()) found = node->find(">" + name);
    if (found == node->end()) return nullptr;
    node = &*found;
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  }
  return node;
}

}  // namespace

std::string_view NexusClassOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (path.starts_with("penstock")) return "NXcollection";
  const auto find = [](std::string_view wanted) -> std::string_view {
    for (const GroupClass& group : kClasses) {
      if (group.name == wanted) return group.nx_class;
    }
    return {};
  };
  if (const std::string_view exact = find(name); !exact.empty()) return exact;
  while (!name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0) {
    name.remove_suffix(1);
  }
  const std::string_view numbered = find(name);
  return numbered.empty() ? "NXcollection" : numbered;
}

std::vector<std::string> AbsentNxemFields(const Json& entry) {
  std::vector<std::string> absent;
  for (const Requirement& requirement : kRequirements) {
    const Json* group = Find(entry, requirement.group);
    if (group == nullptr && !requirement.always) continue;
    if (group != nullptr && Find(*group, requirement.field) != nullptr) continue;
    std::string path(requirement.group);
    if (!path.empty()) path += '/';
    absent.push_back(path.append(requirement.field));
  }
  return absent;
}

}  // namespace penstock
