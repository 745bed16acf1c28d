#include "tools/penstock/ingest_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

constexpr size_t kListedAnomalies = 20;
constexpr size_t kListedFiles = 8;

std::string ScanText(const ScanShape& scan) {
  return scan.is_series ? fmt::format("series of {} frames", scan.columns)
                        : fmt::format("scan {} x {}", scan.rows, scan.columns);
}

OrderedJson ScanToJson(const ScanShape& scan) {
  return scan.is_series ? OrderedJson::array({scan.columns})
                        : OrderedJson::array({scan.rows, scan.columns});
}

// One labelled line; labels of one width.
std::string Line(std::string_view label, std::string_view text) {
  return fmt::format("{:<14}{}\n", label, text);
}

// What was chosen, what it brought and why.
std::string CompressionText(const ingest::IngestResult& result) {
  std::string text(CompressionName(result.compression));
  if (result.compression != Compression::kNone && result.stored_bytes > 0) {
    text += fmt::format(
        ", {} stored, {:.1f} times smaller", FormatBytes(result.stored_bytes),
        static_cast<double>(result.frame_bytes) / static_cast<double>(result.stored_bytes));
  }
  if (!result.compression_reason.empty()) text += ": " + result.compression_reason;
  return text;
}

std::string AnomalyLines(const std::vector<Anomaly>& anomalies, uint64_t further) {
  std::string text;
  for (size_t i = 0; i < anomalies.size() && i < kListedAnomalies; ++i) {
    text += Line(i == 0 ? "anomalies" : "", AnomalyText(anomalies[i]));
  }
  if (anomalies.size() > kListedAnomalies) further += anomalies.size() - kListedAnomalies;
  if (further > 0) text += Line("", fmt::format("and {} more", further));
  return text;
}

}  // namespace

std::string AnomalyText(const Anomaly& anomaly) {
  std::string place = anomaly.file;
  if (anomaly.byte_offset) {
    place += fmt::format("{}offset {}", place.empty() ? "" : ": ", *anomaly.byte_offset);
  }
  if (anomaly.frame) {
    place += fmt::format("{}frame {}", place.empty() ? "" : ", ", *anomaly.frame);
  }
  return fmt::format("{}: {}{}{}", AnomalyKindName(anomaly.kind), place, place.empty() ? "" : ": ",
                     anomaly.message);
}

OrderedJson AnomaliesToJson(const std::vector<Anomaly>& anomalies) {
  OrderedJson list = OrderedJson::array();
  for (const Anomaly& anomaly : anomalies) {
    OrderedJson json;
    json["kind"] = AnomalyKindName(anomaly.kind);
    json["file"] = anomaly.file;
    if (anomaly.byte_offset) json["byte_offset"] = *anomaly.byte_offset;
    if (anomaly.frame) json["frame"] = *anomaly.frame;
    json["message"] = anomaly.message;
    list.push_back(std::move(json));
  }
  return list;
}

int64_t MaskedPixels(const PixelMask& mask) {
  return std::ranges::count_if(mask.values, [](uint32_t value) { return value != 0; });
}

std::string SourceText(const ingest::SourceDescription& source) {
  std::string text = Line("format", source.format);
  for (size_t i = 0; i < source.files.size() && i < kListedFiles; ++i) {
    const ingest::SourceFile& file = source.files[i];
    text += Line(i == 0 ? "files" : "", fmt::format("{} ({}, {})", file.path.string(), file.role,
                                                    FormatBytes(file.identity.size)));
  }
  if (source.files.size() > kListedFiles) {
    text += Line("", fmt::format("and {} more", source.files.size() - kListedFiles));
  }
  text += Line("frames", fmt::format("{} of {} x {} {}", source.frame_count, source.signal.rows,
                                     source.signal.columns, ZarrDataType(source.element_type)));
  for (size_t i = 0; i < source.scan_shapes.size(); ++i) {
    text += Line(i == 0 ? "scan shape" : "",
                 fmt::format("{}: {}", ScanText(source.scan_shapes[i].shape),
                             source.scan_shapes[i].evidence));
  }
  if (source.scan_shapes.empty()) text += Line("scan shape", "no evidence: a series");
  if (!source.first_frame_evidence.empty()) {
    text +=
        Line("first frame", fmt::format("{}: {}", source.first_frame, source.first_frame_evidence));
  }
  if (!source.pixel_mask.values.empty()) {
    text += Line("pixel mask", fmt::format("{} pixels: {}", MaskedPixels(source.pixel_mask),
                                           source.pixel_mask.evidence));
  }
  for (size_t i = 0; i < source.facts.size(); ++i) {
    const MetadataFact& fact = source.facts[i];
    text += Line(i == 0 ? "facts" : "",
                 fmt::format("{} = {}{}{}  [{}]", fact.path,
                             fact.value.dump(-1, ' ', false, Json::error_handler_t::replace),
                             fact.units.empty() ? "" : " ", fact.units, fact.evidence));
  }
  for (const auto& [name, axis] : source.axes) {
    text += Line(name, fmt::format("step {} {}, offset {}  [{}]", axis.step, axis.units,
                                   axis.offset, axis.evidence));
  }
  return text + AnomalyLines(source.anomalies, 0);
}

OrderedJson SourceToJson(const ingest::SourceDescription& source) {
  OrderedJson json;
  json["format"] = source.format;
  json["files"] = OrderedJson::array();
  for (const ingest::SourceFile& file : source.files) {
    json["files"].push_back({{"path", file.path.string()},
                             {"role", file.role},
                             {"media_type", file.media_type},
                             {"bytes", file.identity.size}});
  }
  json["frames"] = source.frame_count;
  json["signal_shape"] = {source.signal.rows, source.signal.columns};
  json["dtype"] = ZarrDataType(source.element_type);
  json["scan_shapes"] = OrderedJson::array();
  for (const ingest::ScanShapeEvidence& evidence : source.scan_shapes) {
    json["scan_shapes"].push_back(
        {{"shape", ScanToJson(evidence.shape)}, {"evidence", evidence.evidence}});
  }
  if (!source.first_frame_evidence.empty()) {
    json["first_frame"] = {{"frame", source.first_frame},
                           {"evidence", source.first_frame_evidence}};
  }
  if (!source.pixel_mask.values.empty()) {
    json["pixel_mask"] = {{"pixels", MaskedPixels(source.pixel_mask)},
                          {"evidence", source.pixel_mask.evidence}};
  }
  json["facts"] = OrderedJson::array();
  for (const MetadataFact& fact : source.facts) {
    json["facts"].push_back({{"path", fact.path},
                             {"value", fact.value},
                             {"units", fact.units},
                             {"evidence", fact.evidence}});
  }
  for (const auto& [name, axis] : source.axes) {
    json["axes"][name] = {{"step", axis.step},
                          {"offset", axis.offset},
                          {"units", axis.units},
                          {"evidence", axis.evidence}};
  }
  json["anomalies"] = AnomaliesToJson(source.anomalies);
  return json;
}

std::string PlanText(const ingest::IngestPlan& plan, const ingest::RateMeasurement& rate) {
  std::string text = SourceText(plan.source->description());
  text += Line("destination", plan.destination.string());
  for (const ingest::ShapeCandidate& candidate : plan.shape_candidates) {
    text += Line(candidate.chosen ? "scan" : (candidate.agrees ? "  agrees" : "  contradicts"),
                 fmt::format("{}: {}", ScanText(candidate.shape), candidate.evidence));
  }
  if (plan.mapping.scan != plan.shape_candidates.front().shape) {
    text += Line("", "shortened to " + ScanText(plan.mapping.scan));
  }
  text += Line("size", fmt::format("{} in {} blocks of {} x {} frames",  //
                                   FormatBytes(plan.destination_bytes), plan.grid.block_count(),
                                   plan.grid.block_rows, plan.grid.block_columns));
  if (rate.frames > 0) {
    text += Line("time", fmt::format("about {} (decodes {} with one of {} workers; writing not "
                                     "measured)",
                                     FormatDuration(rate.estimated_seconds),
                                     FormatRate(rate.bytes, rate.seconds), plan.workers));
  }
  for (const std::string& remark : plan.remarks) text += Line("remark", remark);
  // Those of the source were listed above.
  const std::vector<Anomaly> own(
      plan.anomalies.begin() +
          static_cast<std::ptrdiff_t>(plan.source->description().anomalies.size()),
      plan.anomalies.end());
  return text + AnomalyLines(own, 0);
}

OrderedJson PlanToJson(const ingest::IngestPlan& plan, const ingest::RateMeasurement& rate) {
  OrderedJson json;
  json["event"] = "plan";
  json["source"] = SourceToJson(plan.source->description());
  json["destination"] = plan.destination.string();
  json["scan_shape"] = ScanToJson(plan.shape.scan);
  json["evidence"] = OrderedJson::array();
  for (const ingest::ShapeCandidate& candidate : plan.shape_candidates) {
    json["evidence"].push_back({{"shape", ScanToJson(candidate.shape)},
                                {"evidence", candidate.evidence},
                                {"chosen", candidate.chosen},
                                {"agrees", candidate.agrees}});
  }
  json["bytes"] = plan.destination_bytes;
  json["free_bytes"] = plan.free_bytes;
  json["blocks"] = plan.grid.block_count();
  json["compress"] = ingest::CompressionChoiceName(plan.options.compression);
  json["block_shape"] = {plan.grid.block_rows, plan.grid.block_columns};
  json["workers"] = plan.workers;
  if (rate.frames > 0) json["estimated_seconds"] = rate.estimated_seconds;
  json["remarks"] = plan.remarks;
  if (const auto& verified = plan.options.verified_orientation) {
    json["verified_orientation"] = {{"reference", verified->reference},
                                    {"orientation", verified->orientation},
                                    {"correlation", verified->correlation},
                                    {"next_orientation", verified->next_orientation},
                                    {"next_correlation", verified->next_correlation},
                                    {"frames", verified->frames}};
  }
  json["anomalies"] = AnomaliesToJson(plan.anomalies);
  return json;
}

std::string ResultText(const ingest::IngestResult& result) {
  if (result.was_published_before) {
    return fmt::format("{}: was complete already\n", result.destination.string());
  }
  std::string text =
      fmt::format("{}: {} frames, {} in {} blocks, {} ({})", result.destination.string(),
                  result.frames, FormatBytes(result.frame_bytes), result.blocks,
                  FormatDuration(result.seconds), FormatRate(result.frame_bytes, result.seconds));
  if (result.resumed_blocks > 0) {
    text += fmt::format(", {} blocks from before", result.resumed_blocks);
  }
  text += "\n";
  if (result.compression != Compression::kNone || !result.compression_reason.empty()) {
    text += Line("compression", CompressionText(result));
  }
  if (result.missing_frames > 0) {
    text += Line("missing", fmt::format("{} frames, see image_key", result.missing_frames));
  }
  return text + AnomalyLines(result.anomalies, result.further_anomalies);
}

OrderedJson ResultToJson(const ingest::IngestResult& result) {
  OrderedJson json;
  json["event"] = "result";
  json["destination"] = result.destination.string();
  json["frames"] = result.frames;
  json["missing_frames"] = result.missing_frames;
  json["bytes"] = result.frame_bytes;
  json["compression"] = CompressionName(result.compression);
  if (!result.compression_reason.empty()) json["compression_reason"] = result.compression_reason;
  json["stored_bytes"] = result.stored_bytes;
  json["blocks"] = result.blocks;
  json["resumed_blocks"] = result.resumed_blocks;
  json["was_published_before"] = result.was_published_before;
  json["seconds"] = result.seconds;
  json["anomalies"] = AnomaliesToJson(result.anomalies);
  json["further_anomalies"] = result.further_anomalies;
  return json;
}

OrderedJson ErrorToJson(const Error& error) {
  OrderedJson json;
  json["event"] = "error";
  json["kind"] = ErrorKindName(error.kind());
  json["message"] = error.ToString();
  json["file"] = error.file();
  return json;
}

void PrintJson(const OrderedJson& json) {
  std::printf("%s\n", json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

}  // namespace penstock::tools
