#include "tools/penstock/ingest_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>

#include "penstock/catalog/catalog.h"
#include "penstock/ingest/orientation.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

void AddCompressOption(CLI::App& command, std::string& compress) {
  // A flag, so that the word behind it is not taken for its value.
  command
      .add_flag(
          "--compress{auto}", compress,
          "store frames compressed: lz4, zstd, none, or auto (the flag alone), which measures "
          "what will be read fastest")
      ->check(CLI::IsMember({"lz4", "zstd", "none", "auto"}));
}

namespace {

void AddScanOptions(CLI::App& command, IngestArguments& arguments) {
  command.add_option("--scan-shape", arguments.scan_shape, "rows,columns of the scan");
  command.add_option("--sync-offset", arguments.sync_offset,
                     "frames to skip at the start; negative: missing frames to put there");
  command
      .add_option(
          "--missing", arguments.missing,
          "what to do about frames that are not there: refuse (default), zero (leave them empty "
          "and mark them), nan (the same with NaN pixels, of floating pixels only), skip (leave "
          "out rows at the end, close gaps of a series)")
      ->check(CLI::IsMember({"refuse", "zero", "nan", "skip"}));
  command.add_flag("--drop-flyback", arguments.drop_flyback,
                   "leave out the frames that each row has beyond the scan shape");
  command.add_flag("--accept-contradictions", arguments.accept_contradictions,
                   "go on where headers contradict each other, and record it");
}

}  // namespace

void AddAcquisitionOptions(CLI::App& command, IngestArguments& arguments) {
  AddFileOptions(command, arguments.source);
  AddScanOptions(command, arguments);
}

void AddIngestOptions(CLI::App& command, IngestArguments& arguments) {
  AddSourceOptions(command, arguments.source);
  AddScanOptions(command, arguments);
  std::vector<std::string> names;
  for (const auto& orientation : ingest::NamedOrientations()) {
    names.emplace_back(orientation.name);
  }
  command
      .add_option("--orientation", arguments.orientation,
                  "how frames are to be displayed (recorded, not applied)")
      ->check(CLI::IsMember(names));
  command.add_option("--detector-rotation", arguments.detector_rotation,
                     "rotation from detector to scan in degrees (recorded, not applied)");
  command.add_option("--profile", arguments.profile,
                     "JSON file with facts on sample and instrument");
  command.add_option("--block-size", arguments.block_size, "bytes of frames per block file");
  AddCompressOption(command, arguments.compress);
  command.add_flag("--replace", arguments.replace,
                   "replace an existing dataset once the new one is whole");
}

Result<ingest::IngestOptions> ToIngestOptions(const IngestArguments& arguments) {
  ingest::IngestOptions options;
  options.format = arguments.source.format;
  PENSTOCK_ASSIGN_OR_RETURN(options.open, ToOpenOptions(arguments.source));
  if (!arguments.scan_shape.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto shape, ParsePair(arguments.scan_shape));
    options.scan_shape = {shape.first, shape.second, false};
  }
  options.sync_offset = arguments.sync_offset;
  options.drop_flyback = arguments.drop_flyback;
  options.accept_contradictions = arguments.accept_contradictions;
  if (options.drop_flyback && !options.scan_shape) {
    return Error::InvalidArgument("--drop-flyback needs --scan-shape");
  }
  options.missing = arguments.missing == "zero"   ? ingest::MissingPolicy::kZero
                    : arguments.missing == "nan"  ? ingest::MissingPolicy::kNan
                    : arguments.missing == "skip" ? ingest::MissingPolicy::kSkip
                                                  : ingest::MissingPolicy::kRefuse;
  PENSTOCK_ASSIGN_OR_RETURN(options.block_bytes, ParseBytes(arguments.block_size));
  PENSTOCK_ASSIGN_OR_RETURN(options.compression,
                            ingest::ParseCompressionChoice(arguments.compress));
  options.replace = arguments.replace;
  if (!arguments.orientation.empty()) {
    const auto all = ingest::NamedOrientations();
    options.stored_to_display =
        std::ranges::find(all, arguments.orientation, &ingest::NamedOrientation::name)->matrix;
  }
  if (arguments.detector_rotation) {
    options.detector_to_scan_rotation = *arguments.detector_rotation * std::numbers::pi / 180;
  }
  if (!arguments.profile.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(options.profile_facts, ingest::ReadProfile(arguments.profile));
  }
  return options;
}

std::string RegisterInCatalog(const std::filesystem::path& store,
                              const std::filesystem::path& dataset) {
  const auto registered = catalog::RegisterDataset(store, dataset);
  if (registered.ok()) return "";
  return fmt::format(
      "the dataset is complete but not in the catalog: {}; 'penstock catalog rebuild {}' enters it",
      registered.error().ToString(), store.string());
}

}  // namespace penstock::tools
