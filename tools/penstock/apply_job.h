// What the commands apply, com, stat and radial have in common: one pass with some operations, a
// display while it runs, files and a summary at the end.

#ifndef PENSTOCK_TOOLS_APPLY_JOB_H_
#define PENSTOCK_TOOLS_APPLY_JOB_H_

#include <stop_token>

#include "penstock/base/result.h"
#include "tools/penstock/applied_operations.h"
#include "tools/penstock/pass_job.h"

namespace penstock::tools {

struct ApplyOptions : PassJobOptions {
  OperationOptions operations;
  bool live = false;
  bool live_always = false;  // even where standard error is no terminal
};

// The options that the commands share.
void AddApplyOptions(CLI::App& command, ApplyOptions& options);

// Runs the pass, writes the files, prints the summary. True where a vendor's file has anomalies,
// which were reported.
Result<bool> RunApply(const ApplyOptions& options, std::stop_token stop);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_APPLY_JOB_H_
