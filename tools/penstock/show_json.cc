// `penstock show --json`.

#include <utility>

#include "tools/penstock/catalog_output.h"
#include "tools/penstock/show_output.h"

namespace penstock::tools {

using nlohmann::ordered_json;

namespace {

ordered_json FactsToJson(const catalog::SidecarView& sidecar) {
  ordered_json facts = ordered_json::array();
  for (const MetadataFact& fact : sidecar.facts) {
    facts.push_back({{"path", fact.path},
                     {"value", fact.value},
                     {"units", fact.units},
                     {"evidence", fact.evidence}});
  }
  return facts;
}

ordered_json AxesToJson(const catalog::SidecarView& sidecar) {
  ordered_json axes = ordered_json::object();
  for (const auto& [name, axis] : sidecar.axes) {
    axes[name] = {{"start", axis.offset},
                  {"step", axis.step},
                  {"units", axis.units},
                  {"long_name", axis.long_name},
                  {"evidence", axis.evidence}};
  }
  return axes;
}

ordered_json SourcesToJson(const catalog::SidecarView& sidecar) {
  ordered_json sources = ordered_json::array();
  for (const SourceFileRecord& source : sidecar.sources) {
    sources.push_back({{"path", source.path},
                       {"name", source.name},
                       {"role", source.role},
                       {"media_type", source.media_type},
                       {"bytes", source.bytes},
                       {"checksum", source.checksum},
                       {"checksum_algorithm", source.checksum_algorithm}});
  }
  return sources;
}

ordered_json AnomaliesToJson(const catalog::SidecarView& sidecar) {
  ordered_json anomalies = ordered_json::array();
  for (const catalog::SidecarAnomaly& anomaly : sidecar.anomalies) {
    ordered_json json{{"kind", anomaly.kind}, {"file", anomaly.file}};
    if (anomaly.byte_offset >= 0) json["byte_offset"] = anomaly.byte_offset;
    if (anomaly.frame >= 0) json["frame"] = anomaly.frame;
    json["message"] = anomaly.message;
    anomalies.push_back(std::move(json));
  }
  return anomalies;
}

ordered_json HistoryToJson(const catalog::SidecarView& sidecar) {
  ordered_json history = ordered_json::array();
  for (const HistoryEntry& step : sidecar.history) {
    history.push_back({{"time", step.time},
                       {"tool", step.tool},
                       {"operation", step.operation},
                       {"command", step.command},
                       {"parameters", step.parameters}});
  }
  return history;
}

ordered_json BlocksToJson(const Dataset& dataset) {
  ordered_json blocks = ordered_json::array();
  for (const BlockInfo& block : dataset.blocks()) {
    blocks.push_back({{"file", block.relative_path},
                      {"bytes", block.bytes},
                      {"checksum", block.checksum},
                      {"first_frame", block.region.first_frame},
                      {"frames", block.region.frame_count()}});
  }
  return blocks;
}

}  // namespace

ordered_json ShownToJson(const ShownDataset& shown) {
  const Dataset& dataset = shown.dataset;
  const DatasetShape& shape = dataset.shape();
  uint64_t bytes = 0;
  for (const BlockInfo& block : dataset.blocks()) bytes += block.bytes;
  ordered_json missing = nullptr;
  if (shown.missing_error.empty()) {
    missing = ordered_json::array();
    for (const FrameRange& run : shown.missing) missing.push_back({run.first, run.last});
  }
  return {{"directory", dataset.directory().string()},
          {"scan_shape", ScanToJson(shape.scan)},
          {"scan_shape_evidence", shown.sidecar.scan_shape_evidence},
          {"signal_shape", {shape.signal.rows, shape.signal.columns}},
          {"dtype", ZarrDataType(shape.element_type)},
          {"bytes", bytes},
          {"compression", CompressionName(dataset.compression())},
          {"frames_expected", dataset.frames_expected()},
          {"frames_received", dataset.frames_received()},
          {"frames_in_source", shown.sidecar.frames_in_source},
          {"missing_frames", std::move(missing)},
          {"state", dataset.state()},
          {"generation", dataset.generation()},
          {"verified", VerifiedToJson(shown.verified)},
          {"source_format", shown.sidecar.source_format},
          {"facts", FactsToJson(shown.sidecar)},
          {"axes", AxesToJson(shown.sidecar)},
          {"orientation", shown.sidecar.orientation},
          {"sources", SourcesToJson(shown.sidecar)},
          {"anomalies", AnomaliesToJson(shown.sidecar)},
          {"anomaly_count", shown.sidecar.anomaly_count},
          {"history", HistoryToJson(shown.sidecar)},
          {"absent_required", shown.sidecar.absent_required},
          {"blocks", BlocksToJson(dataset)}};
}

}  // namespace penstock::tools
