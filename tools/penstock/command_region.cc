// penstock region: statistics of the pixels of some frames, out of the sidecar where that is exact.

#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "penstock/reader/region_statistics.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/pass_job.h"
#include "tools/penstock/result_outputs.h"

namespace penstock::tools {

namespace {

struct RegionOptions : PassJobOptions {
  bool from_pixels = false;
  bool no_histogram = false;
};

nlohmann::ordered_json Number(double value) {  // JSON has no NaN
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

const char* HistogramSource(const RegionStatistics& region) {
  if (region.histogram_frames_from_sidecar == 0) return "pixels";
  return region.histogram_frames_from_sidecar == region.frames ? "sidecar" : "both";
}

void Print(const RegionOptions& options, const PassFrames& frames, const RegionStatistics& region,
           const std::vector<std::string>& written) {
  const nlohmann::ordered_json sum = region.sum.is_integer()
                                         ? nlohmann::ordered_json(region.sum.integers()[0])
                                         : Number(region.sum.doubles()[0]);
  const char* const source = region.values_from_sidecar ? "sidecar" : "pixels";
  if (!options.json) {
    fmt::print("{} frames of {} pixels\n", region.frames, region.pixels);
    fmt::print("minimum {}, maximum {}\nsum {}\nmean {}, standard deviation {}\n", region.minimum,
               region.maximum, sum.dump(), region.mean, region.standard_deviation);
    if (region.not_numbers > 0) fmt::print("{} pixels are no numbers\n", region.not_numbers);
    fmt::print("values from the {}", source);
    if (!options.no_histogram) fmt::print(", histogram from: {}", HistogramSource(region));
    fmt::print("; {} frames read\n", region.summary.frames);
    frames.PrintFindings();
    if (!region.summary.complete) fmt::print("the deadline came first: the results are partial\n");
    for (const std::string& path : written) fmt::print("{}\n", path);
    return;
  }
  nlohmann::ordered_json line = {{"event", "result"},
                                 {"command", "region"},
                                 {"dataset", options.dataset},
                                 {"frames", region.frames},
                                 {"pixels", region.pixels},
                                 {"minimum", Number(region.minimum)},
                                 {"maximum", Number(region.maximum)},
                                 {"sum", sum},
                                 {"mean", Number(region.mean)},
                                 {"standard_deviation", Number(region.standard_deviation)},
                                 {"not_numbers", region.not_numbers},
                                 {"source", {{"values", source}}},
                                 {"frames_read", region.summary.frames},
                                 {"bytes", region.summary.bytes},
                                 {"complete", region.summary.complete},
                                 {"outputs", written}};
  if (!options.no_histogram) line["source"]["histogram"] = HistogramSource(region);
  frames.AddFindings(line);
  std::puts(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

Status WriteMap(ResultOutputs& outputs, const char* name, const ResultArray& array,
                const char* title) {
  PENSTOCK_RETURN_IF_ERROR(outputs.Array(name, array));
  return outputs.Picture(name, array.shape, array.doubles(), {title});
}

// True where a vendor's files have anomalies.
Result<bool> RunRegion(const RegionOptions& options, std::stop_token stop) {
  PENSTOCK_ASSIGN_OR_RETURN(PassJob job, PassJob::Open(options, std::move(stop)));
  std::optional<ResultOutputs> outputs;
  if (!options.out.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(outputs,
                              ResultOutputs::Prepare(options.out, false, !options.no_pictures));
  }
  job.BeginProgress("region");
  const auto region =
      job.frames().Summarize(job.pass(), {!options.from_pixels, !options.no_histogram});
  job.EndProgress();
  PENSTOCK_RETURN_IF_ERROR(region);
  if (outputs) {
    PENSTOCK_RETURN_IF_ERROR(
        WriteMap(*outputs, "frame_minimum", region->frame_minimum, "minimum of each frame"));
    PENSTOCK_RETURN_IF_ERROR(
        WriteMap(*outputs, "frame_maximum", region->frame_maximum, "maximum of each frame"));
    PENSTOCK_RETURN_IF_ERROR(
        WriteMap(*outputs, "frame_sum", region->frame_sum, "sum of each frame"));
    if (!options.no_histogram) {
      PENSTOCK_RETURN_IF_ERROR(outputs->Array("histogram", region->histogram));
      PENSTOCK_RETURN_IF_ERROR(outputs->Array("histogram_edges", region->histogram_edges));
    }
    PENSTOCK_ASSIGN_OR_RETURN(const Provenance provenance,
                              job.MakeProvenance({{"statistics", true}}));
    PENSTOCK_RETURN_IF_ERROR(outputs->Finish(provenance));
  }
  Print(options, job.frames(), *region, outputs ? outputs->written() : std::vector<std::string>());
  return !job.frames().Anomalies().empty();
}

void AddRegion(CLI::App& app, CommandContext& context) {
  CLI::App* const command =
      app.add_subcommand("region", "statistics of the pixels of some frames, at once where known");
  auto options = std::make_shared<RegionOptions>();
  AddPassOptions(*command, *options, /*out_is_required=*/false);
  AddVendorOptions(*command, *options);
  command->add_flag("--from-pixels", options->from_pixels,
                    "read the frames even where the sidecar knows the answer");
  command->add_flag("--no-histogram", options->no_histogram, "leave the histogram out");
  command->callback([options, &context] {
    options->command_line = context.command_line;
    context.exit_status = PassExitStatus(RunRegion(*options, context.stop));
  });
}

const CommandRegistration kRegion(&AddRegion);

}  // namespace

}  // namespace penstock::tools
