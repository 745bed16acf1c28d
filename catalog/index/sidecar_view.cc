#include "penstock/catalog/sidecar_view.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace penstock::catalog {

namespace {

constexpr size_t kMaxFactText = 1024;
constexpr int kMaxDepth = 32;

// The member, or an empty object where there is none.
const Json& Member(const Json& object, std::string_view key) {
  static const Json kNone = Json::object();
  if (!object.is_object()) return kNone;
  const auto found = object.find(std::string(key));
  return found == object.end() ? kNone : *found;
}

std::string TextOf(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::string Text(const Json& object, std::string_view key) { return TextOf(Member(object, key)); }

int64_t Integer(const Json& value, int64_t fallback) {
  return value.is_number_integer() ? value.get<int64_t>() : fallback;
}

double Number(const Json& object, std::string_view key) {
  const Json& value = Member(object, key);
  return value.is_number() ? value.get<double>() : 0;
}

std::vector<std::string> Texts(const Json& list) {
  std::vector<std::string> texts;
  if (!list.is_array()) return texts;
  for (const Json& item : list) texts.push_back(TextOf(item));
  return texts;
}

// Item `index` of the list at `key` of a table that has one list per column.
const Json& Cell(const Json& table, std::string_view key, size_t index) {
  static const Json kNone = Json::object();
  const Json& column = Member(table, key);
  return column.is_array() && index < column.size() ? column[index] : kNone;
}

size_t RowCount(const Json& table, std::string_view key) {
  const Json& column = Member(table, key);
  return column.is_array() ? column.size() : 0;
}

// Groups that tell of the storage and the files, which have their own members in SidecarView.
bool IsFactGroup(std::string_view path) {
  return path != "penstock" && path != "statistics" && !path.starts_with("note") &&
         !path.ends_with("/image1");
}

bool IsFactName(std::string_view path) {
  return path != "definition" && path != "title" && path != "experiment_alias" &&
         path.find_first_of(std::string_view("@>\0", 3)) == std::string_view::npos;
}

// In the silx convention a group is an object, `@name` an attribute of it, `field@name` one of a
// field, `>name` a link.
void CollectFacts(const Json& group, const Json& evidence, const std::string& prefix, int depth,
                  std::vector<MetadataFact>& facts) {
  if (depth > kMaxDepth) return;
  for (const auto& [key, value] : group.items()) {
    std::string path = prefix + key;
    if (!IsFactName(path)) continue;
    if (value.is_object()) {
      if (!IsFactGroup(path)) continue;
      CollectFacts(value, Member(evidence, key), path + "/", depth + 1, facts);
      continue;
    }
    const bool short_text =
        value.is_string() && value.get_ref<const std::string&>().size() <= kMaxFactText;
    if (!short_text && !value.is_number() && !value.is_boolean()) continue;
    facts.push_back({.path = std::move(path),
                     .value = value,
                     .units = Text(group, key + "@units"),
                     .evidence = Text(evidence, key)});
  }
}

std::vector<SourceFileRecord> Sources(const Json& table) {
  std::vector<SourceFileRecord> sources;
  for (size_t i = 0; i < RowCount(table, "name"); ++i) {
    sources.push_back(
        {.path = TextOf(Cell(table, "path", i)),
         .name = TextOf(Cell(table, "name", i)),
         .role = TextOf(Cell(table, "role", i)),
         .media_type = TextOf(Cell(table, "media_type", i)),
         .bytes = static_cast<uint64_t>(std::max<int64_t>(0, Integer(Cell(table, "bytes", i), 0))),
         .modified_ns = Integer(Cell(table, "modified_ns", i), 0),
         .checksum = TextOf(Cell(table, "checksum", i)),
         .checksum_algorithm = TextOf(Cell(table, "checksum_algorithm", i))});
  }
  return sources;
}

std::vector<SidecarAnomaly> Anomalies(const Json& table) {
  std::vector<SidecarAnomaly> anomalies;
  for (size_t i = 0; i < RowCount(table, "message"); ++i) {
    anomalies.push_back({.kind = TextOf(Cell(table, "kind", i)),
                         .file = TextOf(Cell(table, "file", i)),
                         .byte_offset = Integer(Cell(table, "byte_position", i), -1),
                         .frame = Integer(Cell(table, "frame", i), -1),
                         .message = TextOf(Cell(table, "message", i))});
  }
  return anomalies;
}

std::vector<HistoryEntry> History(const Json& group) {
  std::vector<HistoryEntry> history;
  for (int number = 1;; ++number) {
    const Json& record = Member(group, "entry" + std::to_string(number));
    if (record.empty()) return history;
    const std::string parameters = Text(record, "parameters");
    history.push_back({.time = Text(record, "time"),
                       .tool = Text(record, "tool"),
                       .operation = Text(record, "operation"),
                       .command = Texts(Member(record, "command")),
                       .parameters = Json::parse(parameters, nullptr, false)});
    if (history.back().parameters.is_discarded()) history.back().parameters = nullptr;
  }
}

std::vector<std::pair<std::string, AxisCalibration>> Axes(const Json& group) {
  std::vector<std::pair<std::string, AxisCalibration>> axes;
  for (const char* name : {"axis_m", "axis_k", "axis_j", "axis_i"}) {
    const Json& axis = Member(group, name);
    if (axis.empty()) continue;
    axes.emplace_back(name, AxisCalibration{.offset = Number(axis, "start"),
                                            .step = Number(axis, "step"),
                                            .units = Text(axis, "step@units"),
                                            .long_name = Text(axis, "long_name"),
                                            .evidence = ""});
  }
  return axes;
}

}  // namespace

SidecarView ViewSidecar(const Json& nexus) {
  const Json& entry = Member(nexus, "entry1");
  const Json& penstock = Member(entry, "penstock");
  SidecarView view;
  view.source_format = Text(penstock, "source_format");
  view.scan_shape_evidence = Text(penstock, "scan_shape_evidence");
  view.frames_in_source = Integer(Member(penstock, "frames_in_source"), 0);
  view.start_time = Text(entry, "start_time");
  CollectFacts(entry, Member(penstock, "evidence"), "", 0, view.facts);
  view.axes = Axes(Member(penstock, "axes"));
  const Json& event = Member(Member(Member(penstock, "evidence"), "measurement"), "event1");
  for (const char* image : {"image_3d", "image_4d"}) {
    const Json& evidence = Member(Member(event, "image1"), image);
    for (auto& [name, axis] : view.axes) axis.evidence += Text(evidence, name);
  }
  view.sources = Sources(Member(penstock, "sources"));
  view.anomalies = Anomalies(Member(penstock, "anomalies"));
  view.anomaly_count = Integer(Member(Member(penstock, "anomalies"), "count"),
                               static_cast<int64_t>(view.anomalies.size()));
  view.orientation = Member(penstock, "orientation");
  view.history = History(Member(penstock, "history"));
  view.absent_required = Texts(Member(penstock, "absent_required"));
  return view;
}

}  // namespace penstock::catalog
