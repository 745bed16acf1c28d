// penstock repack DATASET... [--compress=lz4|zstd|none|auto]

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "penstock/catalog/catalog.h"
#include "penstock/ingest/repack.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

struct RepackArguments {
  std::vector<std::string> datasets;
  std::string compress = "auto";
  int jobs = 0;
  bool json = false;
};

std::string RepackText(const ingest::RepackResult& result) {
  const std::string name = result.destination.string();
  const std::string_view after = CompressionName(result.after);
  if (result.was_published_before) {
    return fmt::format("{}: was complete already ({})\n", name, after);
  }
  std::string text;
  if (result.is_unchanged) {
    text = fmt::format("{}: is {} already\n", name,
                       result.after == Compression::kNone ? "uncompressed" : after);
  } else {
    text =
        fmt::format("{}: {} frames in {} blocks, {} to {}: {} to {}, {} ({})", name, result.frames,
                    result.blocks, CompressionName(result.before), after,
                    FormatBytes(result.bytes_before), FormatBytes(result.bytes_after),
                    FormatDuration(result.seconds), FormatRate(result.frame_bytes, result.seconds));
    if (result.resumed_blocks > 0) {
      text += fmt::format(", {} blocks from before", result.resumed_blocks);
    }
    text += fmt::format("\npixels        XXH3-128 {}, before and after\n", result.pixel_checksum);
  }
  if (!result.compression_reason.empty()) {
    text += fmt::format("compression   {}: {}\n", after, result.compression_reason);
  }
  return text;
}

OrderedJson RepackToJson(const ingest::RepackResult& result) {
  OrderedJson json;
  json["event"] = "result";
  json["destination"] = result.destination.string();
  json["compression_before"] = CompressionName(result.before);
  json["compression"] = CompressionName(result.after);
  if (!result.compression_reason.empty()) json["compression_reason"] = result.compression_reason;
  json["unchanged"] = result.is_unchanged;
  json["was_published_before"] = result.was_published_before;
  json["frames"] = result.frames;
  json["bytes"] = result.frame_bytes;
  json["stored_bytes_before"] = result.bytes_before;
  json["stored_bytes"] = result.bytes_after;
  json["blocks"] = result.blocks;
  json["resumed_blocks"] = result.resumed_blocks;
  if (!result.pixel_checksum.empty()) json["pixel_checksum"] = result.pixel_checksum;
  json["seconds"] = result.seconds;
  return json;
}

int Run(const RepackArguments& arguments, const CommandContext& context) {
  ingest::RepackOptions options;
  options.workers = arguments.jobs;
  options.command_line = context.command_line;
  const auto choice = ingest::ParseCompressionChoice(arguments.compress);
  if (!choice.ok()) return ReportError(choice.error());
  options.compression = *choice;
  int status = kExitDone;
  for (const std::string& dataset : arguments.datasets) {
    const Result<ingest::RepackResult> result = [&] {
      const auto progress = MakeProgressDisplay(ChooseProgressStyle(arguments.json));
      return ingest::RepackDataset(dataset, options, *progress, context.stop);
    }();
    if (!result.ok()) {
      if (arguments.json) PrintJson(ErrorToJson(result.error()));
      (void)ReportError(result.error());
      status = kExitFailed;
      if (context.stop.stop_requested()) return status;
      continue;
    }
    if (const auto store = catalog::FindStore(result->destination.parent_path())) {
      const std::string warning = RegisterInCatalog(*store, result->destination);
      if (!warning.empty()) std::fprintf(stderr, "penstock: warning: %s\n", warning.c_str());
    }
    if (arguments.json) {
      PrintJson(RepackToJson(*result));
    } else {
      std::fputs(RepackText(*result).c_str(), stdout);
    }
    std::fflush(stdout);
  }
  return status;
}

void AddRepack(CLI::App& app, CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("repack", "store the frames of datasets compressed, or plain again");
  auto arguments = std::make_shared<RepackArguments>();
  command->add_option("DATASET", arguments->datasets, "dataset directories")->required();
  AddCompressOption(*command, arguments->compress);
  command->add_option("--jobs", arguments->jobs, "workers; default: one per CPU")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", arguments->json, "JSON lines on standard output");
  command->callback([arguments, &context] { context.exit_status = Run(*arguments, context); });
}

const CommandRegistration kRepack(&AddRepack);

}  // namespace

}  // namespace penstock::tools
