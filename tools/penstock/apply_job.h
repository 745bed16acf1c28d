// What the commands apply, com, stat and radial have in common: one pass with some operations, a
// display while it runs, files and a summary at the end.

#ifndef PENSTOCK_TOOLS_APPLY_JOB_H_
#define PENSTOCK_TOOLS_APPLY_JOB_H_

#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "tools/penstock/applied_operations.h"
#include "tools/penstock/commands.h"

namespace penstock::tools {

struct ApplyOptions {
  std::vector<std::string> command_line;  // for provenance
  std::string dataset;
  OperationOptions operations;
  std::string region;           // of the scan, as ParseRegion takes it; "": all frames
  bool all_pixels = false;      // also those that the pixel mask marks
  double deadline_seconds = 0;  // 0: none
  bool fast_order = false;
  // As ResultOutputs::Prepare takes it.
  std::string out;
  int threads = 0;
  std::string backend = "automatic";
  bool no_verify = false;
  bool live = false;
  bool live_always = false;  // even where standard error is no terminal
  bool json = false;
  bool no_pictures = false;
};

// The options that the commands share.
void AddPassOptions(CLI::App& command, ApplyOptions& options);

// Runs the pass, writes the files, prints the summary.
Status RunApply(const ApplyOptions& options, std::stop_token stop);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_APPLY_JOB_H_
