#include "tools/penstock/apply_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "penstock/reader/reader.h"
#include "penstock/reader/region.h"
#include "tools/penstock/live_preview.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/provenance.h"
#include "tools/penstock/quantities.h"
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

void PrintSummary(const ApplyOptions& options, const PassSummary& summary,
                  const Operations& operations, const std::vector<std::string>& written) {
  if (options.json) {
    const double gibibytes = static_cast<double>(summary.bytes) / (1 << 30);
    nlohmann::ordered_json line = {
        {"event", "result"},
        {"command", "apply"},
        {"dataset", options.dataset},
        {"frames", summary.frames},
        {"frames_invalid", summary.frames_invalid},
        {"complete", summary.complete},
        {"bytes", summary.bytes},
        {"seconds", summary.seconds},
        {"gib_per_second", summary.seconds > 0 ? gibibytes / summary.seconds : 0.0},
        {"threads", summary.threads},
        {"partitions",
         {{"total", summary.partitions},
          {"mapped", summary.partitions_mapped},
          {"direct", summary.partitions_direct},
          {"pread", summary.partitions_pread},
          {"leased", summary.partitions_leased}}},
        {"extents_verified", summary.extents_verified},
        {"outputs", written}};
    for (const auto& operation : operations) {
      for (const auto& [name, value] : operation->Facts()) line["facts"][name] = value;
    }
    std::puts(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return;
  }
  fmt::print("{} frames, {} in {} ({}, {} threads)\n", summary.frames, FormatBytes(summary.bytes),
             FormatDuration(summary.seconds), FormatRate(summary.bytes, summary.seconds),
             summary.threads);
  if (summary.frames_invalid > 0) {
    fmt::print("{} frames are marked invalid in image_key and were left out\n",
               summary.frames_invalid);
  }
  if (!summary.complete) fmt::print("the deadline came first: the results are partial\n");
  for (const auto& operation : operations) {
    for (const auto& [name, value] : operation->Facts()) fmt::print("{}: {}\n", name, value);
  }
  for (const std::string& path : written) fmt::print("{}\n", path);
}

// What has a value and makes a difference to the results.
nlohmann::ordered_json ParametersOf(const ApplyOptions& options) {
  const OperationOptions& wanted = options.operations;
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
  text("region", options.region);
  flag("all_pixels", options.all_pixels);
  flag("fast_order", options.fast_order);
  return json;
}

Result<Provenance> MakeProvenance(const ApplyOptions& options, const Dataset& dataset,
                                  const PassSummary& summary) {
  Provenance provenance = ProvenanceOf(dataset, options.command_line);
  provenance.parameters = ParametersOf(options);
  if (!summary.complete) provenance.parameters["complete"] = false;
  const auto add = [&](const char* role, const std::string& text) -> Status {
    if (!text.ends_with(".npy") && !text.ends_with(".npz")) return Status::Ok();
    return AddInput(provenance, role, text);
  };
  for (const std::string& mask : options.operations.masks) {
    PENSTOCK_RETURN_IF_ERROR(add("mask", mask));
  }
  PENSTOCK_RETURN_IF_ERROR(add("selection of the centre of mass", options.operations.selection));
  PENSTOCK_RETURN_IF_ERROR(add("histogram region", options.operations.histogram_region));
  PENSTOCK_RETURN_IF_ERROR(add("radial mask", options.operations.radial_mask));
  PENSTOCK_RETURN_IF_ERROR(add("region", options.region));
  return provenance;
}

}  // namespace

void AddPassOptions(CLI::App& command, ApplyOptions& options) {
  command.add_option("dataset", options.dataset, "a dataset directory, or one on a penstock mount")
      ->required();
  command
      .add_option(
          "--out", options.out,
          "NAME.nxs or NAME.zarr for all results in one file, NAME.npy for a single one, or "
          "a folder, or the beginning of all file names")
      ->required();
  command.add_option("--threads", options.threads, "workers; default: one per processor")
      ->check(CLI::Range(1, 1024));
  command.add_option("--backend", options.backend, "automatic, mmap, direct or pread");
  command.add_flag("--no-verify", options.no_verify,
                   "don't hold the blocks against their checksums");
  command.add_option("--region", options.region,
                     "frames to look at: ROWS,COLUMNS of the scan (of a series: FRAMES) as in "
                     "Python, 10:20,::2, or FILE.npy with a mask or with rows and columns (n, 2)");
  command.add_flag("--all-pixels", options.all_pixels,
                   "use also the pixels that the dataset's pixel_mask marks");
  command
      .add_option("--deadline", options.deadline_seconds,
                  "begin nothing more after so many seconds, and write the partial results")
      ->check(CLI::PositiveNumber);
  command.add_flag("--fast-order", options.fast_order,
                   "take frames in memory first even where float results then differ from run to "
                   "run in their last digits");
  command.add_flag("--live", options.live, "show the result in the terminal while it grows");
  command.add_flag("--live-always", options.live_always, "--live without a terminal, too");
  command.add_flag("--json", options.json, "progress and summary as JSON lines");
  command.add_flag("--no-pictures", options.no_pictures, "write no pictures");
}

Status RunApply(const ApplyOptions& options, std::stop_token stop) {
  ReadOptions read_options;
  PENSTOCK_ASSIGN_OR_RETURN(read_options.backend, ParseBackend(options.backend));
  read_options.verify = !options.no_verify;
  read_options.use_pixel_mask = !options.all_pixels;
  PENSTOCK_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(options.dataset, read_options));
  PassOptions pass;
  if (!options.region.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(pass.selection, ParseRegion(options.region, reader.shape().scan));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Operations operations,
                            MakeOperations(options.operations, reader.shape().signal));
  const bool single = operations.size() == 1 && operations.front()->is_single();
  PENSTOCK_ASSIGN_OR_RETURN(ResultOutputs outputs,
                            ResultOutputs::Prepare(options.out, single, !options.no_pictures));

  std::optional<LivePreview> preview;
  if (options.live_always || (options.live && isatty(STDERR_FILENO) == 1)) preview.emplace(stderr);
  const auto progress = preview ? std::make_unique<SilentProgress>()
                                : MakeProgressDisplay(ChooseProgressStyle(options.json));
  pass.threads = options.threads;
  pass.fast_order = options.fast_order;
  if (options.deadline_seconds > 0) {
    pass.deadline = std::chrono::steady_clock::now() +
                    std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                        std::chrono::duration<double>(options.deadline_seconds));
  }
  pass.stop = std::move(stop);
  uint64_t reported = 0;
  pass.on_partition = [&](const PassProgress& now) {
    progress->Advance(now.bytes_done - reported);
    reported = now.bytes_done;
    const bool last = now.partitions_done == now.partition_count;
    if (preview && (last || preview->IsDue())) DrawLive(operations, now, *preview);
  };
  const auto frames = pass.selection.empty()
                          ? reader.shape().frame_count()
                          : std::count(pass.selection.begin(), pass.selection.end(), 1);
  progress->Begin("apply", static_cast<uint64_t>(frames) * reader.shape().frame_bytes());
  std::vector<Reduction*> reductions;
  for (const auto& operation : operations) reductions.push_back(&operation->reduction());
  auto summary = reader.Run(reductions, pass);
  progress->End();
  PENSTOCK_RETURN_IF_ERROR(summary);
  for (const auto& operation : operations) {
    PENSTOCK_RETURN_IF_ERROR(operation->Write(outputs));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const Provenance provenance,
                            MakeProvenance(options, reader.dataset(), *summary));
  PENSTOCK_RETURN_IF_ERROR(outputs.Finish(provenance));
  PrintSummary(options, *summary, operations, outputs.written());
  return Status::Ok();
}

}  // namespace penstock::tools
