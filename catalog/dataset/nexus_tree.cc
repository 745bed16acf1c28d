#include "catalog/dataset/nexus_tree.h"

#include <algorithm>
#include <utility>

#include "catalog/dataset/small_arrays.h"
#include "penstock/dataset/dataset.h"

namespace penstock {

namespace {

constexpr char kDetectorStatic[] = "measurement/instrument/detector1";
constexpr char kDetectorDynamic[] = "measurement/event1/instrument/detector1";
constexpr char kImage[] = "measurement/event1/image1";
// Coordinates are repeated in the JSON for people to read; longer ones are only linked.
constexpr int64_t kMaximumInlineAxis = 4096;

// Builds the NXentry: groups on the way to a field get their class.
class EntryBuilder {
 public:
  explicit EntryBuilder(Json& entry) : entry_(entry) {}

  // Never null; an error where a field stands in the way or a name is empty.
  Result<Json*> Group(std::string_view path) {
    Json* node = &entry_;
    if (path.ends_with('/')) return BadPath(path);
    for (size_t start = 0; start < path.size();) {
      const size_t slash = std::min(path.find('/', start), path.size());
      const std::string name(path.substr(start, slash - start));
      const bool is_new = node->find(name) == node->end();
      if (!IsName(name) || (!is_new && !(*node)[name].is_object())) return BadPath(path);
      node = &(*node)[name];
      if (is_new) *node = Json{{"@NX_class", NexusClassOf(path.substr(0, slash))}};
      start = slash + 1;
    }
    return node;
  }

  Status Set(std::string_view path, Json value, std::string_view units = "") {
    const size_t slash = path.rfind('/');
    const std::string name(slash == std::string_view::npos ? path : path.substr(slash + 1));
    if (!IsName(name) || value.is_object() || value.is_null()) return BadPath(path);
    PENSTOCK_ASSIGN_OR_RETURN(Json * group,
                              Group(slash == std::string_view::npos ? "" : path.substr(0, slash)));
    const auto old = group->find(name);
    if (old != group->end() && old->is_object()) return BadPath(path);
    (*group)[name] = std::move(value);
    if (!units.empty()) (*group)[name + "@units"] = units;
    return {};
  }

 private:
  static bool IsName(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.front() != '@' &&
           name.front() != '>' && name.find('\0') == std::string_view::npos;
  }
  static Error BadPath(std::string_view path) {
    return Error::InvalidArgument("this is not the path of a NeXus field with a value")
        .Found("'" + std::string(path) + "'");
  }

  Json& entry_;
};

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::pair<std::string, std::string> ProgramAndVersion() { return {"penstock", PENSTOCK_VERSION}; }

Json LinkToArray(const SmallArray& array) {
  return {
      {"dictdump_schema", "external_binary_link_v1"},
      {"shape", array.shape},
      {"dtype", NumpyTypeString(array.type)},
      {"sources",
       Json::array({{{"file_path", array.ChunkPath()}, {"offset", 0}, {"size", array.bytes()}}})}};
}

// Compressed blocks are a Zarr array and nothing else.
Json LinkToZarrArray(const DatasetShape& shape) {
  return {{"dictdump_schema", kZarrLinkSchema},
          {"shape", AxisExtents(shape)},
          {"dtype", NumpyTypeString(shape.element_type)},
          {"sources", Json::array({{{"file_path", "data.zarr/real"}}})}};
}

Status AddSignal(EntryBuilder& builder, const DatasetDescription& description,
                 Compression compression) {
  const DatasetShape& shape = description.shape;
  const std::string path = SignalGroupPath(shape);
  PENSTOCK_ASSIGN_OR_RETURN(Json * group, builder.Group(path));
  (*group)["@signal"] = "real";
  const std::vector<std::string> names = AxisNames(shape);
  const std::vector<int64_t> extents = AxisExtents(shape);
  Json axes = Json::array();
  for (const std::string& name : names) {
    axes.push_back(description.axes.contains(name) ? name : ".");
  }
  (*group)["@axes"] = std::move(axes);
  for (size_t dimension = 0; dimension < names.size(); ++dimension) {
    if (!description.axes.contains(names[dimension])) continue;
    (*group)["@" + std::string(names[dimension]).append("_indices")] = dimension;
  }
  (*group)["title"] = description.name;
  (*group)[">real"] = LinkToBlocks(shape, description.grid, compression);
  (*group)["real@units"] = "";
  (*group)["real@long_name"] = "detector counts";
  for (size_t dimension = 0; dimension < names.size(); ++dimension) {
    const std::string& name = names[dimension];
    const auto found = description.axes.find(name);
    if (found == description.axes.end()) continue;
    const AxisCalibration& axis = found->second;
    if (extents[dimension] <= kMaximumInlineAxis) {
      Json values = Json::array();
      for (int64_t i = 0; i < extents[dimension]; ++i) {
        values.push_back(axis.offset + static_cast<double>(i) * axis.step);
      }
      (*group)[name] = std::move(values);
    } else {
      (*group)[">" + name] = LinkToArray(AxisArray(name, extents[dimension], axis));
    }
    (*group)[name + "@units"] = axis.units;
    (*group)[name + "@long_name"] = axis.long_name;
    (*group)[name + "@target"] = ("/entry1/" + path).append("/").append(name);
  }
  return {};
}

Status AddSources(EntryBuilder& builder, const DatasetDescription& description) {
  int number = 0;
  const SourceFileRecord* input = nullptr;
  for (const SourceFileRecord& source : description.sources) {
    PENSTOCK_ASSIGN_OR_RETURN(Json * note, builder.Group("note" + std::to_string(++number)));
    (*note)["type"] = source.media_type;
    (*note)["file_name"] = source.name;
    if (!source.checksum.empty()) {
      (*note)["checksum"] = source.checksum;
      (*note)["algorithm"] = source.checksum_algorithm;
    }
    (*note)["description"] = source.role;
    if (input == nullptr && source.role == "frames") input = &source;
  }
  const std::string process_path = std::string(kImage) + "/process";
  PENSTOCK_ASSIGN_OR_RETURN(Json * process, builder.Group(process_path));
  const auto [program, version] = ProgramAndVersion();
  (*process)["detector_identifier"] = std::string("/entry1/") + kDetectorStatic;
  (*process)["program"] = program;
  (*process)["version"] = version;
  // All five fields are required in the group, so that it stands only with a digest.
  if (input == nullptr || input->checksum.empty()) return {};
  PENSTOCK_ASSIGN_OR_RETURN(Json * note, builder.Group(process_path + "/input"));
  (*note)["type"] = input->media_type;
  (*note)["file_name"] = input->name;
  (*note)["checksum"] = input->checksum;
  (*note)["algorithm"] = input->checksum_algorithm;
  (*note)["context"] = "/";
  return {};
}

Status AddStatistics(EntryBuilder& builder, const DatasetDescription& description) {
  const std::vector<SmallArray> frame_arrays = FrameStatisticsArrays(description.shape);
  if (frame_arrays.empty()) return {};
  PENSTOCK_ASSIGN_OR_RETURN(Json * statistics, builder.Group("statistics"));
  const auto [program, version] = ProgramAndVersion();
  (*statistics)["program"] = program;
  (*statistics)["version"] = version;
  (*statistics)["sequence_index"] = 1;

  Json frame{{"@NX_class", "NXdata"}, {"@signal", "sum"}};
  Json axes = Json::array();
  for (const std::string& name : NavigationAxisNames(description.shape)) {
    const bool known = description.axes.contains(name);
    axes.push_back(known ? name : ".");
    if (known) {
      frame[">" + name] = "/entry1/" + SignalGroupPath(description.shape) + "/" + name;
    }
  }
  frame["@axes"] = std::move(axes);
  for (const SmallArray& array : frame_arrays) {
    frame[">" + BaseName(array.name)] = LinkToArray(array);
  }
  (*statistics)["frame"] = std::move(frame);

  Json block{{"@NX_class", "NXdata"}, {"@signal", "histogram"}};
  for (const SmallArray& array : BlockStatisticsArrays(description.shape, description.grid)) {
    // One file per block, which a link to one file cannot say: only in data.zarr.
    if (array.chunk_shape != array.shape) continue;
    block[">" + BaseName(array.name)] = LinkToArray(array);
  }
  (*statistics)["block"] = std::move(block);
  return {};
}

// Lists of records are written as one list per member: NeXus has no list of groups.
Json SourceTable(const std::vector<SourceFileRecord>& sources) {
  Json table{{"@NX_class", "NXcollection"}};
  for (const SourceFileRecord& source : sources) {
    table["path"].push_back(source.path);
    table["name"].push_back(source.name);
    table["role"].push_back(source.role);
    table["media_type"].push_back(source.media_type);
    table["bytes"].push_back(source.bytes);
    table["modified_ns"].push_back(source.modified_ns);
    table["checksum"].push_back(source.checksum);
    table["checksum_algorithm"].push_back(source.checksum_algorithm);
  }
  return table;
}

Json AnomalyTable(const std::vector<Anomaly>& anomalies) {
  Json table{{"@NX_class", "NXcollection"}, {"count", anomalies.size()}};
  for (const Anomaly& anomaly : anomalies) {
    table["kind"].push_back(AnomalyKindName(anomaly.kind));
    table["file"].push_back(anomaly.file);
    table["byte_position"].push_back(
        anomaly.byte_offset ? static_cast<int64_t>(*anomaly.byte_offset) : -1);
    table["frame"].push_back(anomaly.frame.value_or(-1));
    table["message"].push_back(anomaly.message);
  }
  return table;
}

Json MatrixValue(const OrientationRecord::Matrix& matrix) {
  return Json::array({{matrix[0], matrix[1]}, {matrix[2], matrix[3]}});
}

Json OrientationGroup(const OrientationRecord& orientation) {
  Json group{{"@NX_class", "NXcollection"},
             {"file_to_stored", MatrixValue(orientation.file_to_stored)},
             {"file_to_stored_source", orientation.file_to_stored_source}};
  if (orientation.stored_to_display) {
    group["stored_to_display"] = MatrixValue(*orientation.stored_to_display);
  }
  group["stored_to_display_source"] = orientation.stored_to_display_source;
  if (orientation.detector_to_scan_rotation) {
    group["detector_to_scan_rotation"] = *orientation.detector_to_scan_rotation;
    group["detector_to_scan_rotation@units"] = "rad";
  }
  group["detector_to_scan_rotation_source"] = orientation.detector_to_scan_rotation_source;
  return group;
}

Json HistoryGroup(const std::vector<HistoryEntry>& history) {
  Json group{{"@NX_class", "NXcollection"}, {"count", history.size()}};
  int number = 0;
  for (const HistoryEntry& entry : history) {
    group["entry" + std::to_string(++number)] = HistoryRecord(entry);
  }
  return group;
}

Json VendorHeaderGroup(const std::vector<VendorHeader>& headers) {
  Json group{{"@NX_class", "NXcollection"}, {"count", headers.size()}};
  int number = 0;
  for (const VendorHeader& header : headers) {
    group["header" + std::to_string(++number)] = Json{{"@NX_class", "NXnote"},
                                                      {"type", "text/plain"},
                                                      {"file_name", header.name},
                                                      {"data", header.text}};
  }
  return group;
}

Json AxisGroup(const DatasetDescription& description) {
  Json group{{"@NX_class", "NXcollection"}};
  for (const auto& [name, axis] : description.axes) {
    group[name] = Json{{"@NX_class", "NXcollection"}, {"start", axis.offset},
                       {"start@units", axis.units},   {"step", axis.step},
                       {"step@units", axis.units},    {"long_name", axis.long_name}};
  }
  return group;
}

void AddBlockTable(Json& penstock, const DatasetDescription& description,
                   const DatasetContents& contents) {
  for (const BlockRecord& block : contents.blocks) {
    penstock["block_file"].push_back(
        BlockRelativePath(description.shape, description.grid, block.block));
    penstock["block_bytes"].push_back(block.bytes);
    penstock["block_checksum"].push_back(block.checksum);
  }
  penstock["block_checksum_algorithm"] = "xxh3-128";
}

Status AddEvidence(EntryBuilder& builder, const DatasetDescription& description) {
  const auto add = [&builder](std::string path, const std::string& evidence) -> Status {
    if (evidence.empty()) return {};
    std::replace(path.begin(), path.end(), '@', '_');  // "program@version" is a field here
    return builder.Set("penstock/evidence/" + path, evidence);
  };
  for (const MetadataFact& fact : description.facts) {
    PENSTOCK_RETURN_IF_ERROR(add(fact.path, fact.evidence));
  }
  for (const auto& [name, axis] : description.axes) {
    PENSTOCK_RETURN_IF_ERROR(add(SignalGroupPath(description.shape) + "/" + name, axis.evidence));
  }
  if (!description.pixel_mask.values.empty()) {
    PENSTOCK_RETURN_IF_ERROR(
        add(std::string(kDetectorDynamic) + "/pixel_mask", description.pixel_mask.evidence));
  }
  return {};
}

Status AddPenstock(EntryBuilder& builder, const DatasetDescription& description,
                   const DatasetContents& contents) {
  const DatasetShape& shape = description.shape;
  const BlockGrid& grid = description.grid;
  PENSTOCK_ASSIGN_OR_RETURN(Json * group, builder.Group("penstock"));
  Json& penstock = *group;
  penstock["layout_version"] = kLayoutVersion;  // its place; SetCompression knows better
  penstock["state"] = contents.growing ? kGrowingState : "sealed";
  penstock["name"] = description.name;
  penstock["source_format"] = description.source_format;
  if (shape.scan.is_series) {
    penstock["scan_shape"] = Json::array({shape.scan.columns});
  } else {
    penstock["scan_shape"] = Json::array({shape.scan.rows, shape.scan.columns});
  }
  penstock["scan_shape_evidence"] = description.scan_shape_evidence;
  penstock["signal_shape"] = Json::array({shape.signal.rows, shape.signal.columns});
  penstock["element_type"] = ZarrDataType(shape.element_type);
  penstock["frames_expected"] = shape.frame_count();
  penstock["frames_received"] = std::count(contents.image_key.begin(), contents.image_key.end(), 0);
  penstock["frames_in_source"] = description.source_frames;
  SetCompression(penstock, shape, contents.compression);
  penstock["extent_bytes"] = kExtentBytes;
  penstock["block_rows"] = grid.block_rows;
  penstock["block_columns"] = grid.block_columns;
  penstock["inner_columns"] = grid.inner_columns;
  penstock["orientation"] = OrientationGroup(description.orientation);
  if (!description.axes.empty()) penstock["axes"] = AxisGroup(description);
  if (!description.sources.empty()) penstock["sources"] = SourceTable(description.sources);
  penstock["anomalies"] = AnomalyTable(description.anomalies);
  PENSTOCK_RETURN_IF_ERROR(AddEvidence(builder, description));
  penstock["vendor_headers"] = VendorHeaderGroup(description.vendor_headers);
  penstock["history"] = HistoryGroup(description.history);
  AddBlockTable(penstock, description, contents);
  return {};
}

}  // namespace

Json LinkToBlocks(const DatasetShape& shape, const BlockGrid& grid, Compression compression) {
  if (compression != Compression::kNone) return LinkToZarrArray(shape);
  Json sources = Json::array();
  for (int64_t block = 0; block < grid.block_count(); ++block) {
    const BlockRegion region = RegionOfBlock(shape, grid, block);
    std::vector<int64_t> extents;
    Json target = Json::array();
    if (!shape.scan.is_series) {
      extents.push_back(region.row_count);
      target.push_back({region.first_row, region.first_row + region.row_count});
    }
    extents.push_back(region.column_count);
    target.push_back({region.first_column, region.first_column + region.column_count});
    extents.insert(extents.end(), {shape.signal.rows, shape.signal.columns});
    sources.push_back({{"file_path", BlockRelativePath(shape, grid, block)},
                       {"data_path", "/real"},
                       {"shape", extents},
                       {"dtype", NumpyTypeString(shape.element_type)},
                       {"target_index", std::move(target)}});
  }
  return {{"dictdump_schema", "vds_v1"},
          {"shape", AxisExtents(shape)},
          {"dtype", NumpyTypeString(shape.element_type)},
          {"sources", std::move(sources)}};
}

void SetCompression(Json& penstock, const DatasetShape& shape, Compression compression) {
  for (const char* name : {"payload_start", "frame_stride", "compression"}) penstock.erase(name);
  if (compression == Compression::kNone) {
    penstock["layout_version"] = kLayoutVersion;
    penstock["payload_start"] = kPayloadStart;
    penstock["frame_stride"] = shape.frame_bytes();
  } else {
    penstock["layout_version"] = kCompressedLayoutVersion;
    penstock["compression"] = CompressionName(compression);
  }
}

Json HistoryRecord(const HistoryEntry& entry) {
  Json record{{"@NX_class", "NXcollection"},
              {"time", entry.time},
              {"tool", entry.tool},
              {"operation", entry.operation}};
  if (!entry.command.empty()) record["command"] = entry.command;
  // Of any structure, therefore as JSON text.
  if (!entry.parameters.is_null()) {
    record["parameters"] = entry.parameters.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return record;
}

std::string SignalGroupPath(const DatasetShape& shape) {
  return std::string(kImage) + (shape.scan.is_series ? "/image_3d" : "/image_4d");
}

std::string_view AnomalyKindName(AnomalyKind kind) {
  switch (kind) {
    case AnomalyKind::kDuplicateFrame:
      return "duplicate frame";
    case AnomalyKind::kMissingFrame:
      return "missing frame";
    case AnomalyKind::kPartialSector:
      return "partial sector";
    case AnomalyKind::kTruncated:
      return "truncated";
    case AnomalyKind::kHeaderContradiction:
      return "header contradiction";
    case AnomalyKind::kExtraFrames:
      return "extra frames";
    case AnomalyKind::kOther:
      return "other";
  }
  return "other";
}

Result<Json> MakeNexusTree(const DatasetDescription& description, const DatasetContents& contents,
                           const std::vector<SmallArray>& frame_headers) {
  Json root{{"@NX_class", "NXroot"},
            {"@default", "entry1"},
            {"@creator", "penstock"},
            {"@creator_version", PENSTOCK_VERSION},
            {"@NeXus_release", kNexusRelease},
            {"entry1", {{"@NX_class", "NXentry"}, {"@default", "measurement"}}}};
  Json& entry = root["entry1"];
  // Their places near the top, for people; taken out again where they do not apply.
  entry["definition"] = "NXem";
  entry["definition@version"] = kNexusRelease;
  entry["title"] = description.name;
  entry["experiment_alias"] = description.name;

  EntryBuilder builder(entry);
  for (const MetadataFact& fact : description.facts) {
    PENSTOCK_RETURN_IF_ERROR(builder.Set(fact.path, fact.value, fact.units));
  }
  PENSTOCK_RETURN_IF_ERROR(AddSignal(builder, description, contents.compression));
  PENSTOCK_RETURN_IF_ERROR(AddSources(builder, description));
  PENSTOCK_ASSIGN_OR_RETURN(Json * detector, builder.Group(kDetectorDynamic));
  (*detector)[">image_key"] = LinkToArray(ImageKeyArray(description.shape));
  const PixelMask& mask = description.pixel_mask;
  if (!mask.values.empty()) {
    (*detector)[">pixel_mask"] = LinkToArray(PixelMaskArray(description.shape));
    if (mask.applied) (*detector)["pixel_mask_applied"] = *mask.applied;
  }
  PENSTOCK_RETURN_IF_ERROR(AddStatistics(builder, description));
  PENSTOCK_RETURN_IF_ERROR(AddPenstock(builder, description, contents));
  if (!frame_headers.empty()) {
    Json headers{{"@NX_class", "NXcollection"}};
    for (const SmallArray& array : frame_headers) {
      headers[">" + BaseName(array.name)] = LinkToArray(array);
    }
    entry["penstock"]["frame_header"] = std::move(headers);
  }
  entry["measurement"]["@default"] = "event1";
  entry["measurement"]["event1"]["@default"] = "image1";
  entry["measurement"]["event1"]["image1"]["@default"] =
      BaseName(SignalGroupPath(description.shape));

  const std::vector<std::string> absent = AbsentNxemFields(entry);
  if (!absent.empty()) {
    entry.erase("definition");
    entry.erase("definition@version");
    entry["penstock"]["absent_required"] = absent;
  }
  return root;
}

}  // namespace penstock
