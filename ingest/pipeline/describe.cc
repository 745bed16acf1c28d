#include "ingest/pipeline/describe.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include "penstock/ingest/orientation.h"

namespace penstock::ingest {

namespace {

constexpr std::string_view kTool = "penstock " PENSTOCK_VERSION;

std::string_view PolicyName(MissingPolicy policy) {
  switch (policy) {
    case MissingPolicy::kRefuse:
      return "refuse";
    case MissingPolicy::kZero:
      return "zero";
    case MissingPolicy::kNan:
      return "nan";
    case MissingPolicy::kSkip:
      return "skip";
  }
  return "refuse";
}

// Reproducible builds' convention: the time to write instead of now.
std::string TimeOfHistory() {
  std::time_t seconds = std::time(nullptr);
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) {
    const std::string_view text(epoch);
    int64_t given = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), given);
    if (problem == std::errc() && end == text.data() + text.size() && given >= 0) {
      seconds = static_cast<std::time_t>(given);
    }
  }
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S+00:00}", utc);
}

// The chosen evidence first, then those that contradict it.
std::string ShapeEvidence(const IngestPlan& plan) {
  std::string text;
  for (const ShapeCandidate& candidate : plan.shape_candidates) {
    if (candidate.chosen) {
      text.insert(0, candidate.evidence);
    } else if (!candidate.agrees) {
      text += fmt::format("; contradicted by {} ({},{})", candidate.evidence, candidate.shape.rows,
                          candidate.shape.columns);
    }
  }
  return text;
}

// The operator knows better than the file, but what the file says is not lost.
std::vector<MetadataFact> MergeFacts(const std::vector<MetadataFact>& vendor,
                                     const std::vector<MetadataFact>& profile) {
  std::vector<MetadataFact> facts = vendor;
  for (const MetadataFact& fact : profile) {
    const auto same = std::find_if(facts.begin(), facts.end(), [&fact](const MetadataFact& other) {
      return other.path == fact.path;
    });
    if (same == facts.end()) {
      facts.push_back(fact);
      continue;
    }
    const std::string before =
        fmt::format("{}; in place of {}{}{} from {}", fact.evidence, same->value.dump(),
                    same->units.empty() ? "" : " ", same->units, same->evidence);
    *same = fact;
    same->evidence = before;
  }
  return facts;
}

Json PreviewDisk(const DiskProbe& probe) {
  Json json;
  json["frames_probed"] = probe.frames;
  if (const auto& disk = probe.search.disk) {
    json["centre"] = {disk->row, disk->column};
    json["radius"] = disk->radius;
  } else {
    json["absent"] = probe.search.reason;
  }
  return json;
}

Json VerifiedToJson(const VerifiedOrientation& verified) {
  Json json;
  json["reference"] = verified.reference;
  json["checksum"] = verified.checksum;
  json["orientation"] = verified.orientation;
  json["correlation"] = verified.correlation;
  json["next_orientation"] = verified.next_orientation;
  json["next_correlation"] = verified.next_correlation;
  json["frames"] = verified.frames;
  return json;
}

Json HistoryParameters(const IngestPlan& plan, const std::vector<SourceDigest>& digests,
                       const std::optional<DiskProbe>& probe) {
  const SourceDescription& source = plan.source->description();
  Json parameters;
  for (size_t i = 0; i < source.files.size(); ++i) {
    parameters["inputs"].push_back(Json{{"file", source.files[i].path.filename().string()},
                                        {"bytes", source.files[i].identity.size},
                                        {"algorithm", digests[i].algorithm},
                                        {"checksum", digests[i].digest}});
  }
  parameters["format"] = source.format;
  parameters["mapping"] = MappingToJson(plan.mapping);
  parameters["scan_shape_evidence"] = ShapeEvidence(plan);
  parameters["first_frame_evidence"] = source.first_frame_evidence;
  parameters["sync_offset"] = plan.options.sync_offset;
  parameters["missing"] = PolicyName(plan.options.missing);
  parameters["block"] = {plan.grid.block_rows, plan.grid.block_columns};
  if (plan.options.compression != CompressionChoice::kNone) {
    parameters["compress"] = CompressionChoiceName(plan.options.compression);
  }
  parameters["file_to_stored"] = source.orientation.file_to_stored;
  if (plan.options.verified_orientation) {
    parameters["verified_orientation"] = VerifiedToJson(*plan.options.verified_orientation);
  }
  parameters["corrections"] = source.corrections;
  if (probe) parameters["preview_disk"] = PreviewDisk(*probe);
  return parameters;
}

OrientationRecord Orientation(const IngestPlan& plan) {
  OrientationRecord orientation = plan.source->description().orientation;
  if (plan.options.stored_to_display) {
    orientation.stored_to_display = plan.options.stored_to_display;
    orientation.stored_to_display_source = "user";
  } else if (plan.options.verified_orientation && !orientation.stored_to_display) {
    // The user's reference says it, where the format does not.
    orientation.stored_to_display = OrientationInForce(plan);
    orientation.stored_to_display_source = "user";
  }
  if (plan.options.detector_to_scan_rotation) {
    orientation.detector_to_scan_rotation = plan.options.detector_to_scan_rotation;
    orientation.detector_to_scan_rotation_source = "user";
  }
  return orientation;
}

}  // namespace

HistoryEntry NewHistoryEntry(std::string operation, std::vector<std::string> command_line) {
  return {.time = TimeOfHistory(),
          .tool = std::string(kTool),
          .operation = std::move(operation),
          .command = std::move(command_line),
          .parameters = nullptr};
}

Json MappingToJson(const ScanMapping& mapping) {
  Json json;
  json["scan_shape"] = {mapping.scan.rows, mapping.scan.columns};
  json["series"] = mapping.scan.is_series;
  json["source_frames"] = mapping.source_frames;
  json["first_source_frame"] = mapping.first_source_frame;
  json["extra_frames_per_row"] = mapping.extra_frames_per_row;
  // Pairs: the source frame that follows, the number of frames lost before it.
  for (const FrameGap& gap : mapping.gaps) {
    json["gaps"].push_back(Json::array({gap.before_frame, gap.count}));
  }
  return json;
}

Json PlanIdentity(const IngestPlan& plan) {
  const SourceDescription& source = plan.source->description();
  const OpenOptions& open = plan.options.open;
  Json identity;
  identity["journal"] = 1;
  identity["tool"] = kTool;
  identity["format"] = source.format;
  for (const SourceFile& file : source.files) {
    identity["sources"].push_back(Json{{"name", file.path.filename().string()},
                                       {"device", file.identity.device},
                                       {"inode", file.identity.inode},
                                       {"bytes", file.identity.size},
                                       {"mtime_ns", file.identity.mtime_ns},
                                       {"ctime_ns", file.identity.ctime_ns}});
  }
  identity["open"] = {open.big_endian,
                      open.file_header_bytes,
                      open.frame_header_bytes,
                      open.frame_footer_bytes,
                      open.this_file_only,
                      open.dataset_path,
                      open.rescue};
  identity["signal_shape"] = {plan.shape.signal.rows, plan.shape.signal.columns};
  identity["element_type"] = ZarrDataType(plan.shape.element_type);
  identity["mapping"] = MappingToJson(plan.mapping);
  if (plan.options.missing == MissingPolicy::kNan) identity["missing"] = "nan";
  identity["block"] = {plan.grid.block_rows, plan.grid.block_columns};
  if (plan.options.compression != CompressionChoice::kNone) {
    identity["compression"] = CompressionChoiceName(plan.options.compression);
  }
  return identity;
}

DatasetDescription Describe(const IngestPlan& plan, const std::vector<SourceDigest>& digests,
                            const AnomalyList& anomalies, const std::optional<DiskProbe>& probe) {
  const SourceDescription& source = plan.source->description();
  DatasetDescription description;
  description.name = plan.destination.filename().string();
  description.shape = plan.shape;
  description.grid = plan.grid;
  description.source_format = source.format;
  description.scan_shape_evidence = ShapeEvidence(plan);
  description.facts = MergeFacts(source.facts, plan.options.profile_facts);
  description.axes = source.axes;
  for (size_t i = 0; i < source.files.size(); ++i) {
    const SourceFile& file = source.files[i];
    description.sources.push_back({file.path.string(), file.path.filename().string(), file.role,
                                   file.media_type, file.identity.size, file.identity.mtime_ns,
                                   digests[i].digest, digests[i].algorithm});
  }
  description.vendor_headers = source.vendor_headers;
  description.anomalies = anomalies.listed();
  if (anomalies.further() > 0) {
    Anomaly rest;
    rest.message = fmt::format("{} further anomalies are not listed", anomalies.further());
    description.anomalies.push_back(std::move(rest));
  }
  description.orientation = Orientation(plan);
  description.pixel_mask = source.pixel_mask;
  description.source_frames = source.frame_count;
  HistoryEntry& entry =
      description.history.emplace_back(NewHistoryEntry("ingest", plan.options.command_line));
  entry.parameters = HistoryParameters(plan, digests, probe);
  return description;
}

}  // namespace penstock::ingest
