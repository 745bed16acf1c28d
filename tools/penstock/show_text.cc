// `penstock show` for people.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/penstock/catalog_output.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/show_output.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

constexpr size_t kMaxShownRanges = 20;
constexpr size_t kMaxShownLines = 50;

std::string ValueText(const Json& value) {
  return WithoutControlCharacters(value.is_string()
                                      ? value.get<std::string>()
                                      : value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string WithUnits(std::string text, const std::string& units) {
  return units.empty() ? text : std::move(text) + " " + units;
}

std::string RangeText(const FrameRange& range) {
  return range.last - range.first == 1 ? fmt::format("{}", range.first)
                                       : fmt::format("{}-{}", range.first, range.last - 1);
}

std::string MissingText(const ShownDataset& shown) {
  if (!shown.missing_error.empty()) return "which ones is not known: " + shown.missing_error;
  std::string text;
  for (size_t i = 0; i < shown.missing.size(); ++i) {
    if (i == kMaxShownRanges) return text + fmt::format(", ... ({} runs)", shown.missing.size());
    text += (i == 0 ? "frames " : ", ") + RangeText(shown.missing[i]);
  }
  return text;
}

class TextPage {
 public:
  void Line(std::string_view label, const std::string& text) {
    page_ += fmt::format("{:<14} {}\n", label, WithoutControlCharacters(text));
  }
  void Section(std::string_view title) { page_ += fmt::format("\n{}\n", title); }
  void Item(const std::string& text) { page_ += "  " + WithoutControlCharacters(text) + "\n"; }
  // Under the item before it.
  void Detail(const std::string& text) {
    if (!text.empty()) page_ += "      " + WithoutControlCharacters(text) + "\n";
  }
  const std::string& text() const { return page_; }

 private:
  std::string page_;
};

std::string MatrixText(const Json& matrix) {
  return matrix.is_array() ? matrix.dump() : std::string("unknown");
}

void AddOverview(const ShownDataset& shown, TextPage& page) {
  const Dataset& dataset = shown.dataset;
  const DatasetShape& shape = dataset.shape();
  const int64_t missing = dataset.frames_expected() - dataset.frames_received();
  uint64_t bytes = 0;
  for (const BlockInfo& block : dataset.blocks()) bytes += block.bytes;
  page.Line("dataset", dataset.directory().string());
  page.Line("scan", ScanText(shape.scan) + (shape.scan.is_series ? " (a series)" : ""));
  page.Line("  evidence", shown.sidecar.scan_shape_evidence);
  page.Line("signal",
            fmt::format("{}, {}", SignalText(shape.signal), ZarrDataType(shape.element_type)));
  page.Line("frames",
            fmt::format("{} of {} received", dataset.frames_received(), dataset.frames_expected()));
  if (missing > 0) page.Line("  missing", MissingText(shown));
  page.Line("size", fmt::format("{} in {} blocks of up to {} x {} frames", FormatBytes(bytes),
                                dataset.blocks().size(), dataset.grid().block_rows,
                                dataset.grid().block_columns));
  if (dataset.compression() != Compression::kNone) {
    page.Line("compression",
              fmt::format("{}, {:.1f} times smaller", CompressionName(dataset.compression()),
                          static_cast<double>(shape.payload_bytes()) /
                              static_cast<double>(std::max<uint64_t>(bytes, 1))));
  }
  page.Line("state", dataset.state());
  page.Line("generation", dataset.generation());
  if (shown.verified) {
    page.Line("verified",
              fmt::format("{}, {}", ShortTime(shown.verified->time),
                          shown.verified->result == catalog::VerifyResult::kIntact
                              ? "intact"
                              : fmt::format("{} damages", shown.verified->damage_count)));
  } else if (shown.store) {
    page.Line("verified", "never");
  }
}

void AddFacts(const ShownDataset& shown, TextPage& page) {
  if (!shown.sidecar.facts.empty()) page.Section("facts");
  for (const MetadataFact& fact : shown.sidecar.facts) {
    page.Item(fmt::format("{} = {}", fact.path, WithUnits(ValueText(fact.value), fact.units)));
    if (!fact.evidence.empty()) page.Detail("from " + fact.evidence);
  }
  if (!shown.sidecar.axes.empty()) page.Section("axes");
  for (const auto& [name, axis] : shown.sidecar.axes) {
    page.Item(fmt::format("{}: {}, step {}, start {}", name, axis.long_name,
                          WithUnits(fmt::format("{}", axis.step), axis.units),
                          WithUnits(fmt::format("{}", axis.offset), axis.units)));
    if (!axis.evidence.empty()) page.Detail("from " + axis.evidence);
  }
}

void AddOrientation(const Json& orientation, TextPage& page) {
  if (orientation.empty()) return;
  page.Section("orientation");
  const auto source = [&](const char* key) {
    return orientation.contains(key) ? ValueText(orientation.at(key)) : std::string("unknown");
  };
  const auto matrix = [&](const char* key) {
    return orientation.contains(key) ? MatrixText(orientation.at(key)) : std::string("unknown");
  };
  page.Item(fmt::format("file to stored: {} ({})", matrix("file_to_stored"),
                        source("file_to_stored_source")));
  page.Item(fmt::format("stored to display: {} ({})", matrix("stored_to_display"),
                        source("stored_to_display_source")));
  page.Item(fmt::format("detector to scan rotation: {} ({})",
                        orientation.contains("detector_to_scan_rotation")
                            ? ValueText(orientation.at("detector_to_scan_rotation")) + " rad"
                            : std::string("unknown"),
                        source("detector_to_scan_rotation_source")));
}

void AddSources(const ShownDataset& shown, TextPage& page) {
  page.Section(fmt::format("sources ({})", shown.sidecar.source_format));
  const std::vector<SourceFileRecord>& sources = shown.sidecar.sources;
  for (size_t i = 0; i < sources.size() && i < kMaxShownLines; ++i) {
    page.Item(fmt::format("{} ({}, {})", sources[i].path, sources[i].role,
                          FormatBytes(sources[i].bytes)));
    if (!sources[i].checksum.empty()) {
      page.Detail(fmt::format("{} {}", sources[i].checksum_algorithm, sources[i].checksum));
    }
  }
  if (sources.size() > kMaxShownLines) {
    page.Item(fmt::format("... and {} more", sources.size() - kMaxShownLines));
  }
}

std::string PlaceOf(const catalog::SidecarAnomaly& anomaly) {
  std::string place = anomaly.file;
  if (anomaly.byte_offset >= 0) place += fmt::format(", offset {}", anomaly.byte_offset);
  if (anomaly.frame >= 0) place += fmt::format(", frame {}", anomaly.frame);
  return place;
}

void AddAnomalies(const ShownDataset& shown, TextPage& page) {
  const std::vector<catalog::SidecarAnomaly>& anomalies = shown.sidecar.anomalies;
  if (shown.sidecar.anomaly_count == 0) return;
  page.Section(fmt::format("anomalies ({})", shown.sidecar.anomaly_count));
  for (size_t i = 0; i < anomalies.size() && i < kMaxShownLines; ++i) {
    page.Item(
        fmt::format("{}: {}: {}", PlaceOf(anomalies[i]), anomalies[i].kind, anomalies[i].message));
  }
  if (anomalies.size() > kMaxShownLines) {
    page.Item(fmt::format("... and {} more; --json has all", anomalies.size() - kMaxShownLines));
  }
}

void AddHistory(const ShownDataset& shown, TextPage& page) {
  page.Section("history");
  for (const HistoryEntry& step : shown.sidecar.history) {
    page.Item(fmt::format("{}  {}  {}", step.time, step.operation, step.tool));
    std::string command;
    for (const std::string& word : step.command) command += (command.empty() ? "" : " ") + word;
    page.Detail(command);
  }
}

void AddAbsent(const ShownDataset& shown, TextPage& page) {
  if (shown.sidecar.absent_required.empty()) return;
  page.Section("required by NXem and not known (an operator's --profile can supply them)");
  for (const std::string& field : shown.sidecar.absent_required) page.Item(field);
}

}  // namespace

std::string ShownToText(const ShownDataset& shown) {
  TextPage page;
  AddOverview(shown, page);
  AddFacts(shown, page);
  AddOrientation(shown.sidecar.orientation, page);
  AddSources(shown, page);
  AddAnomalies(shown, page);
  AddHistory(shown, page);
  AddAbsent(shown, page);
  return page.text();
}

}  // namespace penstock::tools
