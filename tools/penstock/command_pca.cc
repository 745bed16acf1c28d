// penstock pca: principal components of a scan.

#include <fmt/format.h>

#include <memory>

#include "penstock/reader/components.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/pass_job.h"
#include "tools/penstock/result_outputs.h"

namespace penstock::tools {

namespace {

struct PcaOptions {
  PassJobOptions pass;
  ComponentOptions components;
  bool not_centred = false;
};

// A picture of every component, and of its loadings where there is a scan.
Status WritePictures(const Components& found, ResultOutputs& outputs) {
  const auto& shape = found.components.shape;
  const auto count = static_cast<size_t>(shape[0]);
  const size_t pixels = found.components.size() / count;
  const std::vector<double>& loadings = found.loadings.doubles();
  const std::vector<int64_t> scan(found.loadings.shape.begin(), found.loadings.shape.end() - 1);
  for (size_t k = 0; k < count; ++k) {
    const std::string ratio =
        fmt::format("{:.3g} % of the variance", 100 * found.explained_ratio.doubles()[k]);
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture(fmt::format("component{}", k), {shape[1], shape[2]},
                                             found.components.AsDoubles(k * pixels, pixels),
                                             {fmt::format("component {}, {}", k, ratio)}));
    std::vector<double> image;
    for (size_t f = k; f < loadings.size(); f += count) image.push_back(loadings[f]);
    PENSTOCK_RETURN_IF_ERROR(outputs.Picture(fmt::format("loadings{}", k), scan, image,
                                             {fmt::format("loadings of component {}", k)}));
  }
  return Status::Ok();
}

// True where a vendor's files have anomalies.
Result<bool> RunPca(const PcaOptions& options, std::stop_token stop) {
  PENSTOCK_ASSIGN_OR_RETURN(PassJob job, PassJob::Open(options.pass, std::move(stop)));
  ComponentOptions wanted = options.components;
  wanted.centre = !options.not_centred;
  PENSTOCK_ASSIGN_OR_RETURN(
      ResultOutputs outputs,
      ResultOutputs::Prepare(options.pass.out, false, !options.pass.no_pictures));
  const auto passes = static_cast<uint64_t>(2 * (1 + wanted.power_iterations));
  job.BeginProgress("pca", passes);
  auto found = job.frames().Find(wanted, job.pass());
  job.EndProgress();
  PENSTOCK_RETURN_IF_ERROR(found);
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("components", found->components));
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("loadings", found->loadings));
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("mean", found->mean));
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("singular_values", found->singular_values));
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("explained_variance", found->explained_variance));
  PENSTOCK_RETURN_IF_ERROR(outputs.Array("explained_ratio", found->explained_ratio));
  PENSTOCK_RETURN_IF_ERROR(WritePictures(*found, outputs));
  nlohmann::ordered_json parameters = {{"components", wanted.count},
                                       {"oversampling", wanted.oversampling},
                                       {"power_iterations", wanted.power_iterations},
                                       {"centre", wanted.centre},
                                       {"seed", wanted.seed}};
  PENSTOCK_ASSIGN_OR_RETURN(const Provenance provenance, job.MakeProvenance(std::move(parameters)));
  PENSTOCK_RETURN_IF_ERROR(outputs.Finish(provenance));
  double explained = 0;
  for (const double ratio : found->explained_ratio.doubles()) explained += ratio;
  job.PrintSummary("pca", found->summary, {{"explained", fmt::format("{:.4g} %", 100 * explained)}},
                   outputs.written());
  return !job.frames().Anomalies().empty();
}

void AddPca(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand("pca", "principal components of a scan");
  auto options = std::make_shared<PcaOptions>();
  AddPassOptions(*command, options->pass);
  AddVendorOptions(*command, options->pass);
  command->add_option("--components", options->components.count, "how many")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--oversampling", options->components.oversampling,
                   "further random directions, of which only the best are kept")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  command
      ->add_option("--power-iterations", options->components.power_iterations,
                   "two more passes each, for spectra that fall slowly")
      ->capture_default_str()
      ->check(CLI::Range(0, 16));
  command->add_option("--seed", options->components.seed, "of the random directions")
      ->capture_default_str();
  command->add_flag("--not-centred", options->not_centred, "don't subtract the mean frame");
  command->callback([options, &context] {
    options->pass.command_line = context.command_line;
    context.exit_status = PassExitStatus(RunPca(*options, context.stop));
  });
}

const CommandRegistration kPca(&AddPca);

}  // namespace

}  // namespace penstock::tools
