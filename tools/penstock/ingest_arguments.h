// The options of `penstock ingest` that say how one acquisition becomes a dataset; in the rules of
// `penstock watch` they have the same names.

#ifndef PENSTOCK_TOOLS_INGEST_ARGUMENTS_H_
#define PENSTOCK_TOOLS_INGEST_ARGUMENTS_H_

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "penstock/ingest/ingest.h"
#include "tools/penstock/source_options.h"

namespace penstock::tools {

// The options as they were given.
struct IngestArguments {
  SourceArguments source;
  std::string scan_shape;
  int64_t sync_offset = 0;
  std::string missing = "refuse";
  bool drop_flyback = false;
  bool accept_contradictions = false;
  std::string orientation;
  std::optional<double> detector_rotation;  // degrees
  std::string profile;
  std::string block_size = "256M";
  std::string compress = "none";
  bool replace = false;
};

// --compress[=lz4|zstd|none|auto]; `compress` keeps what it is where the flag is not given.
void AddCompressOption(CLI::App& command, std::string& compress);

// Those that say what the frames of an acquisition are and where they belong in the scan.
// `arguments` must live until the command has run.
void AddAcquisitionOptions(CLI::App& command, IngestArguments& arguments);

// These, and those that concern the dataset.
void AddIngestOptions(CLI::App& command, IngestArguments& arguments);

// Without destination, workers and memory.
Result<ingest::IngestOptions> ToIngestOptions(const IngestArguments& arguments);

// Enters a published dataset into the catalog of its store. The dataset is whole whether or not the
// catalog knows of it, so that a failure is a warning: its text, "" where there is none.
std::string RegisterInCatalog(const std::filesystem::path& store,
                              const std::filesystem::path& dataset);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_INGEST_ARGUMENTS_H_
