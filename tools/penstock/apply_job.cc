#include "tools/penstock/apply_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "tools/penstock/live_preview.h"
#include "tools/penstock/result_outputs.h"

namespace penstock::tools {

namespace {

using Operations = std::vector<std::unique_ptr<AppliedOperation>>;

// The first image that an operation has to show.
void DrawLive(const Operations& operations, const PassProgress& progress, LivePreview& preview) {
  for (const auto& operation : operations) {
    std::optional<AppliedOperation::LiveImage> image = operation->Live();
    if (!image) continue;
    for (size_t f = 0; image->over_scan && f < image->values.size(); ++f) {
      if (progress.done[f] == 0) image->values[f] = std::numeric_limits<double>::quiet_NaN();
    }
    preview.Draw(image->shape, image->values,
                 fmt::format("{} of {} frames", progress.frames_done, progress.frame_count));
    return;
  }
}

// What has a value and makes a difference to the results.
nlohmann::ordered_json ParametersOf(const OperationOptions& wanted) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  const auto text = [&](const char* name, const std::string& value) {
    if (!value.empty()) json[name] = value;
  };
  const auto flag = [&](const char* name, bool value) {
    if (value) json[name] = true;
  };
  if (!wanted.masks.empty()) json["mask"] = wanted.masks;
  flag("com", wanted.centre_of_mass);
  if (wanted.centre_of_mass) text("com_selection", wanted.selection);
  text("correct", wanted.correction);
  flag("integrate", wanted.integrate);
  flag("sum", wanted.sum);
  flag("std", wanted.statistics);
  flag("extremes", wanted.extremes);
  text("histogram", wanted.histogram);
  text("histogram_region", wanted.histogram_region);
  text("radial", wanted.radial);
  if (!wanted.radial.empty()) {
    json["rings"] = wanted.rings;
    json["sectors"] = wanted.sectors;
    text("radial_mask", wanted.radial_mask);
  }
  return json;
}

Result<Provenance> MakeProvenance(const PassJob& job, const OperationOptions& wanted,
                                  const PassSummary& summary) {
  nlohmann::ordered_json parameters = ParametersOf(wanted);
  if (!summary.complete) parameters["complete"] = false;
  PENSTOCK_ASSIGN_OR_RETURN(Provenance provenance, job.MakeProvenance(std::move(parameters)));
  const auto add = [&](const char* role, const std::string& text) -> Status {
    return NamesArrayFile(text) ? AddInput(provenance, role, text) : Status::Ok();
  };
  for (const std::string& mask : wanted.masks) PENSTOCK_RETURN_IF_ERROR(add("mask", mask));
  PENSTOCK_RETURN_IF_ERROR(add("selection of the centre of mass", wanted.selection));
  PENSTOCK_RETURN_IF_ERROR(add("histogram region", wanted.histogram_region));
  PENSTOCK_RETURN_IF_ERROR(add("radial mask", wanted.radial_mask));
  return provenance;
}

}  // namespace

void AddApplyOptions(CLI::App& command, ApplyOptions& options) {
  AddPassOptions(command, options);
  AddVendorOptions(command, options);
  command.add_flag("--live", options.live, "show the result in the terminal while it grows");
  command.add_flag("--live-always", options.live_always, "--live without a terminal, too");
}

Result<bool> RunApply(const ApplyOptions& options, std::stop_token stop) {
  PENSTOCK_ASSIGN_OR_RETURN(PassJob job, PassJob::Open(options, std::move(stop)));
  PENSTOCK_ASSIGN_OR_RETURN(const Operations operations,
                            MakeOperations(options.operations, job.signal(), job.stored_type()));
  const bool single = operations.size() == 1 && operations.front()->is_single();
  PENSTOCK_ASSIGN_OR_RETURN(ResultOutputs outputs,
                            ResultOutputs::Prepare(options.out, single, !options.no_pictures));

  std::optional<LivePreview> preview;
  if (options.live_always || (options.live && isatty(STDERR_FILENO) == 1)) preview.emplace(stderr);
  job.BeginProgress("apply", 1, preview.has_value(), [&](const PassProgress& now) {
    const bool last = now.partitions_done == now.partition_count;
    if (preview && (last || preview->IsDue())) DrawLive(operations, now, *preview);
  });
  std::vector<Reduction*> reductions;
  for (const auto& operation : operations) reductions.push_back(&operation->reduction());
  const auto summary = job.frames().Run(reductions, job.pass());
  job.EndProgress();
  PENSTOCK_RETURN_IF_ERROR(summary);
  PassJob::Facts facts;
  for (const auto& operation : operations) {
    PENSTOCK_RETURN_IF_ERROR(operation->Write(outputs));
    for (auto& fact : operation->Facts()) facts.push_back(std::move(fact));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Provenance provenance,
                            MakeProvenance(job, options.operations, *summary));
  PENSTOCK_RETURN_IF_ERROR(outputs.Finish(provenance));
  job.PrintSummary("apply", *summary, facts, outputs.written());
  return !job.frames().Anomalies().empty();
}

}  // namespace penstock::tools
