// penstock apply, com, radial and stat: operations over all frames of a dataset.

#include <memory>

#include "tools/penstock/apply_job.h"
#include "tools/penstock/commands.h"

namespace penstock::tools {

namespace {

void Finish(CLI::App& command, std::shared_ptr<ApplyOptions> options, CommandContext& context) {
  command.callback([options = std::move(options), &context] {
    options->command_line = context.command_line;
    context.exit_status = PassExitStatus(RunApply(*options, context.stop));
  });
}

void AddHistogramOptions(CLI::App& command, ApplyOptions& options) {
  command.add_option("--histogram", options.operations.histogram,
                     "BINS,LOW,HIGH: how often values occur, over all frames");
  command.add_option("--histogram-region", options.operations.histogram_region,
                     "the pixels that --histogram counts, written like a mask");
}

void AddFieldOptions(CLI::App& command, ApplyOptions& options) {
  command.add_option("--correct", options.operations.correction,
                     "turn the centres of mass from the detector's axes to those of the scan: "
                     "DEGREES, DEGREES,flip, or auto: by the least curl");
  command.add_flag("--integrate", options.operations.integrate,
                   "integrate them over the scan, too (iCoM, iDPC)");
}

void AddRingOptions(CLI::App& command, ApplyOptions& options) {
  command.add_option("--rings", options.operations.rings, "rings of equal width")
      ->capture_default_str();
  command
      .add_option("--sectors", options.operations.sectors,
                  "sectors that each ring is cut into, from increasing columns towards increasing "
                  "rows")
      ->capture_default_str();
  command.add_option("--radial-mask", options.operations.radial_mask,
                     "the pixels that count for the rings, written like a mask");
}

void AddApply(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand("apply", "masks and other operations, in one pass");
  auto options = std::make_shared<ApplyOptions>();
  AddApplyOptions(*command, *options);
  command
      ->add_option("--mask", options->operations.masks,
                   "disk:ROW,COLUMN,RADIUS, annulus:ROW,COLUMN,INNER,OUTER, "
                   "segment:ROW,COLUMN,INNER,OUTER,ANGLE0,ANGLE1, "
                   "sectors:ROW,COLUMN,INNER,OUTER,COUNT[,ANGLE0], gradient:ROW,COLUMN[,RADIUS], "
                   "harmonic:ROW,COLUMN,INNER,OUTER,ORDER, rectangle:ROW0,COLUMN0,ROW1,COLUMN1, "
                   "lattice:ROW,COLUMN,A_ROW,A_COLUMN,B_ROW,B_COLUMN,FIRST,LAST,RADIUS, "
                   "lattice-union:..., full, FILE.npy, or FILE.npz of scipy.sparse; repeatable")
      ->expected(1)
      ->take_all();
  command->add_flag("--com", options->operations.centre_of_mass, "centre of mass of every frame");
  command->add_option("--com-selection", options->operations.selection,
                      "the pixels that count for --com, written like a mask");
  AddFieldOptions(*command, *options);
  command->add_flag("--sum", options->operations.sum, "sum over all frames");
  command->add_flag("--std", options->operations.statistics,
                    "mean and standard deviation over all frames");
  command->add_flag("--extremes", options->operations.extremes,
                    "minimum and maximum over all frames");
  AddHistogramOptions(*command, *options);
  command->add_option("--radial", options->operations.radial,
                      "ROW,COLUMN[,INNER,OUTER]: sums of each frame over rings about a centre");
  AddRingOptions(*command, *options);
  Finish(*command, std::move(options), context);
}

void AddCom(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand("com", "centre of mass of every frame");
  auto options = std::make_shared<ApplyOptions>();
  options->operations.centre_of_mass = true;
  AddApplyOptions(*command, *options);
  AddFieldOptions(*command, *options);
  command->add_option("--mask", options->operations.selection,
                      "the pixels that count, written like a mask");
  Finish(*command, std::move(options), context);
}

void AddStat(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand(
      "stat", "sum, mean, standard deviation, minimum and maximum over all frames");
  auto options = std::make_shared<ApplyOptions>();
  options->operations.sum = true;
  options->operations.statistics = true;
  options->operations.extremes = true;
  AddHistogramOptions(*command, *options);
  AddApplyOptions(*command, *options);
  Finish(*command, std::move(options), context);
}

void AddRadial(CLI::App& app, CommandContext& context) {
  CLI::App* const command =
      app.add_subcommand("radial", "sums of every frame over rings about a centre");
  auto options = std::make_shared<ApplyOptions>();
  AddApplyOptions(*command, *options);
  command
      ->add_option("--centre", options->operations.radial,
                   "ROW,COLUMN or ROW,COLUMN,INNER,OUTER in pixels; without OUTER up to the "
                   "furthest corner")
      ->required();
  AddRingOptions(*command, *options);
  Finish(*command, std::move(options), context);
}

const CommandRegistration kApply(&AddApply);
const CommandRegistration kCom(&AddCom);
const CommandRegistration kRadial(&AddRadial);
const CommandRegistration kStat(&AddStat);

}  // namespace

}  // namespace penstock::tools
