// penstock info SOURCE|DATASET: what it is, by which evidence; never writes.

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "penstock/dataset/dataset.h"
#include "penstock/ingest/registry.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/source_options.h"

namespace penstock::tools {

namespace {

struct InfoArguments {
  std::vector<std::string> paths;
  SourceArguments source;
  bool json = false;
};

uint64_t StoredBytes(const Dataset& dataset) {
  uint64_t bytes = 0;
  for (const BlockInfo& block : dataset.blocks()) bytes += block.bytes;
  return bytes;
}

OrderedJson DatasetToJson(const Dataset& dataset) {
  const DatasetShape& shape = dataset.shape();
  OrderedJson json;
  json["path"] = dataset.directory().string();
  json["dataset"] = true;
  json["state"] = dataset.state();
  json["generation"] = dataset.generation();
  json["scan_shape"] = shape.scan.is_series
                           ? OrderedJson::array({shape.scan.columns})
                           : OrderedJson::array({shape.scan.rows, shape.scan.columns});
  json["signal_shape"] = {shape.signal.rows, shape.signal.columns};
  json["dtype"] = ZarrDataType(shape.element_type);
  json["frames_expected"] = dataset.frames_expected();
  json["frames_received"] = dataset.frames_received();
  json["bytes"] = shape.payload_bytes();
  json["blocks"] = dataset.blocks().size();
  json["compression"] = CompressionName(dataset.compression());
  json["stored_bytes"] = StoredBytes(dataset);
  return json;
}

std::string DatasetText(const Dataset& dataset) {
  const DatasetShape& shape = dataset.shape();
  std::string scan = shape.scan.is_series
                         ? fmt::format("series of {}", shape.scan.columns)
                         : fmt::format("scan {} x {}", shape.scan.rows, shape.scan.columns);
  std::string text = fmt::format("{:<14}{}\n", "dataset", dataset.directory().string());
  text += fmt::format("{:<14}{} frames of {} x {} {}\n", "shape", scan, shape.signal.rows,
                      shape.signal.columns, ZarrDataType(shape.element_type));
  text += fmt::format("{:<14}{} in {} blocks of {} x {} frames\n", "size",
                      FormatBytes(shape.payload_bytes()), dataset.blocks().size(),
                      dataset.grid().block_rows, dataset.grid().block_columns);
  if (dataset.compression() != Compression::kNone) {
    text += fmt::format("{:<14}{}, {} stored\n", "compression",
                        CompressionName(dataset.compression()), FormatBytes(StoredBytes(dataset)));
  }
  text += fmt::format("{:<14}{} expected, {} received\n", "frames", dataset.frames_expected(),
                      dataset.frames_received());
  text += fmt::format("{:<14}{}, generation {}\n", "state", dataset.state(), dataset.generation());
  return text;
}

Status ShowDataset(const std::string& path, bool json) {
  PENSTOCK_ASSIGN_OR_RETURN(const Dataset dataset, Dataset::Open(path));
  if (json) {
    PrintJson(DatasetToJson(dataset));
  } else {
    std::fputs(DatasetText(dataset).c_str(), stdout);
  }
  return Status::Ok();
}

// True where the source has anomalies.
Result<bool> ShowSource(const std::string& path, const InfoArguments& arguments) {
  PENSTOCK_ASSIGN_OR_RETURN(const ingest::OpenOptions options, ToOpenOptions(arguments.source));
  std::string evidence = "--format " + arguments.source.format;
  if (arguments.source.format.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(evidence, ingest::DetectionEvidence(path));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const std::unique_ptr<ingest::FrameSource> source,
                            ingest::OpenSource(path, arguments.source.format, options));
  const ingest::SourceDescription& description = source->description();
  if (arguments.json) {
    OrderedJson json = SourceToJson(description);
    json["path"] = path;
    json["format_evidence"] = evidence;
    PrintJson(json);
  } else {
    std::fputs(SourceText(description).c_str(), stdout);
    std::printf("%-14s%s\n", "detected by", evidence.c_str());
  }
  return !description.anomalies.empty();
}

int Show(const std::string& path, const InfoArguments& arguments) {
  if (LooksLikeDataset(path)) {
    const Status shown = ShowDataset(path, arguments.json);
    return shown.ok() ? kExitDone : ReportError(shown.error());
  }
  const auto anomalies = ShowSource(path, arguments);
  if (!anomalies.ok()) {
    if (arguments.json) PrintJson(ErrorToJson(anomalies.error()));
    return ReportError(anomalies.error());
  }
  return *anomalies ? kExitAnomalies : kExitDone;
}

void AddInfo(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("info", "say what a file or dataset is");
  auto arguments = std::make_shared<InfoArguments>();
  command->add_option("PATH", arguments->paths, "detector files or datasets")->required();
  AddSourceOptions(*command, arguments->source);
  command->add_flag("--json", arguments->json, "a JSON object per path on standard output");
  command->callback([arguments, &context] {
    for (const std::string& path : arguments->paths) {
      const int status = Show(path, *arguments);
      if (context.exit_status != kExitFailed && status != kExitDone) context.exit_status = status;
    }
  });
}

const CommandRegistration kInfo(&AddInfo);

}  // namespace

}  // namespace penstock::tools
