#include "catalog/dataset/zarr_group.h"

#include <string>
#include <utility>
#include <vector>

#include "catalog/dataset/json_text.h"
#include "catalog/dataset/nexus_tree.h"
#include "penstock/base/file.h"

namespace penstock {

namespace {

Json LittleEndianBytes() { return {{"name", "bytes"}, {"configuration", {{"endian", "little"}}}}; }

// What every array says. Keys beside these make an array unreadable: own ones go into attributes.
Json ArrayMetadata(const std::vector<int64_t>& shape, const std::vector<int64_t>& chunk_shape,
                   ElementType type, Json fill_value, Json codecs, Json attributes,
                   const std::vector<std::string>& dimension_names) {
  return {{"zarr_format", 3},
          {"node_type", "array"},
          {"shape", shape},
          {"data_type", ZarrDataType(type)},
          {"chunk_grid", {{"name", "regular"}, {"configuration", {{"chunk_shape", chunk_shape}}}}},
          {"chunk_key_encoding", {{"name", "default"}, {"configuration", {{"separator", "/"}}}}},
          {"fill_value", std::move(fill_value)},
          {"codecs", std::move(codecs)},
          {"attributes", std::move(attributes)},
          {"dimension_names", dimension_names}};
}

Json GroupMetadata(Json attributes) {
  return {{"zarr_format", 3}, {"node_type", "group"}, {"attributes", std::move(attributes)}};
}

// Inside of the shard: how an inner chunk is stored.
Json ChunkCodecs(const DatasetShape& shape, Compression compression) {
  Json codecs = Json::array({LittleEndianBytes()});
  if (compression == Compression::kNone) return codecs;
  codecs.push_back({{"name", "blosc"},
                    {"configuration",
                     {{"typesize", ElementSize(shape.element_type)},
                      {"cname", CompressionName(compression)},
                      {"clevel", kCompressionLevel},
                      {"shuffle", "bitshuffle"},
                      {"blocksize", kCompressionBlockBytes}}}});
  return codecs;
}

Json DimensionUnits(const DatasetDescription& description) {
  Json units = Json::array();
  for (const std::string& axis : AxisNames(description.shape)) {
    const auto found = description.axes.find(axis);
    units.push_back(found == description.axes.end() ? Json() : Json(found->second.units));
  }
  return units;
}

Json RootAttributes(const DatasetDescription& description) {
  Json attributes{{"NX_class", "NXdata"}, {"signal", "real"}};
  const std::vector<std::string> names = AxisNames(description.shape);
  Json axes = Json::array();
  for (const std::string& name : names) {
    axes.push_back(description.axes.contains(name) ? name : ".");
  }
  attributes["axes"] = std::move(axes);
  for (size_t dimension = 0; dimension < names.size(); ++dimension) {
    if (!description.axes.contains(names[dimension])) continue;
    attributes[names[dimension] + "_indices"] = dimension;
  }
  attributes["title"] = description.name;
  attributes["nexus_sidecar"] = "../nexus.json";
  attributes["nexus_path"] = "/entry1/" + SignalGroupPath(description.shape);
  return attributes;
}

}  // namespace

Json SmallArrayMetadata(const SmallArray& array) {
  return ArrayMetadata(array.shape, array.chunk_shape, array.type, array.fill_value,
                       Json::array({LittleEndianBytes()}), array.attributes, array.dimension_names);
}

Json RawDataMetadata(const DatasetShape& shape, const BlockGrid& grid, Compression compression,
                     Json dimension_units) {
  std::vector<int64_t> block_shape;
  std::vector<int64_t> inner_shape;
  if (!shape.scan.is_series) {
    block_shape.push_back(grid.block_rows);
    inner_shape.push_back(1);
  }
  block_shape.insert(block_shape.end(),
                     {grid.block_columns, shape.signal.rows, shape.signal.columns});
  inner_shape.insert(inner_shape.end(),
                     {grid.inner_columns, shape.signal.rows, shape.signal.columns});
  const Json sharding{{"name", "sharding_indexed"},
                      {"configuration",
                       {{"chunk_shape", inner_shape},
                        {"codecs", ChunkCodecs(shape, compression)},
                        {"index_codecs", Json::array({LittleEndianBytes(), {{"name", "crc32c"}}})},
                        {"index_location", "end"}}}};
  Json attributes{{"long_name", "detector counts"},
                  {"units", ""},
                  {"dimension_units", std::move(dimension_units)}};
  if (compression == Compression::kNone) {
    attributes["penstock"] = {{"payload_start", kPayloadStart},
                              {"frame_stride", shape.frame_bytes()}};
  }
  Json fill_value = 0;
  if (IsComplex(shape.element_type)) fill_value = Json::array({0.0, 0.0});
  if (!IsInteger(shape.element_type) && !IsComplex(shape.element_type)) fill_value = 0.0;
  return ArrayMetadata(AxisExtents(shape), block_shape, shape.element_type, std::move(fill_value),
                       Json::array({sharding}), std::move(attributes), AxisNames(shape));
}

Status WriteZarrMetadata(const std::filesystem::path& dataset_directory,
                         const DatasetDescription& description, Compression compression,
                         const SmallArray& extent_checksum) {
  const DatasetShape& shape = description.shape;
  std::vector<std::pair<std::string, Json>> nodes;
  nodes.emplace_back(
      "real", RawDataMetadata(shape, description.grid, compression, DimensionUnits(description)));
  const std::vector<std::string> names = AxisNames(shape);
  const std::vector<int64_t> extents = AxisExtents(shape);
  for (size_t dimension = 0; dimension < names.size(); ++dimension) {
    const auto found = description.axes.find(names[dimension]);
    if (found == description.axes.end()) continue;
    const SmallArray array = AxisArray(names[dimension], extents[dimension], found->second);
    nodes.emplace_back(array.name, SmallArrayMetadata(array));
  }
  const std::vector<SmallArray> frame_arrays = FrameStatisticsArrays(shape);
  if (!frame_arrays.empty()) {
    nodes.emplace_back("statistics", GroupMetadata({{"NX_class", "NXprocess"},
                                                    {"program", "penstock"},
                                                    {"version", PENSTOCK_VERSION},
                                                    {"sequence_index", 1}}));
    nodes.emplace_back("statistics/frame",
                       GroupMetadata({{"NX_class", "NXdata"}, {"signal", "sum"}}));
    nodes.emplace_back("statistics/block",
                       GroupMetadata({{"NX_class", "NXdata"}, {"signal", "histogram"}}));
    for (const SmallArray& array : frame_arrays) {
      nodes.emplace_back(array.name, SmallArrayMetadata(array));
    }
    for (const SmallArray& array : BlockStatisticsArrays(shape, description.grid)) {
      nodes.emplace_back(array.name, SmallArrayMetadata(array));
    }
  }
  const std::vector<SmallArray> header_arrays = PresentFrameHeaderArrays(dataset_directory, shape);
  if (!header_arrays.empty()) {
    nodes.emplace_back("frame_header", GroupMetadata({{"NX_class", "NXcollection"}}));
    for (const SmallArray& array : header_arrays) {
      nodes.emplace_back(array.name, SmallArrayMetadata(array));
    }
  }
  for (const SmallArray& array : {ImageKeyArray(shape), extent_checksum}) {
    nodes.emplace_back(array.name, SmallArrayMetadata(array));
  }
  if (!description.pixel_mask.values.empty()) {
    const SmallArray mask = PixelMaskArray(shape);
    nodes.emplace_back(mask.name, SmallArrayMetadata(mask));
  }

  const std::filesystem::path group = dataset_directory / "data.zarr";
  Json consolidated = Json::object();
  for (auto& [name, metadata] : nodes) {
    PENSTOCK_RETURN_IF_ERROR(CreateDirectories(group / name));
    PENSTOCK_RETURN_IF_ERROR(WriteNewFile(group / name / "zarr.json", JsonText(metadata)));
    consolidated[name] = std::move(metadata);
  }
  Json root = GroupMetadata(RootAttributes(description));
  root["consolidated_metadata"] = {
      {"kind", "inline"}, {"must_understand", false}, {"metadata", std::move(consolidated)}};
  return WriteNewFile(group / "zarr.json", JsonText(root));
}

}  // namespace penstock
