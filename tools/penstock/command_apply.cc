// penstock apply, com and stat: operations over all frames of a dataset.

#include <memory>

#include "tools/penstock/apply_job.h"
#include "tools/penstock/commands.h"

namespace penstock::tools {

namespace {

void Finish(CLI::App& command, std::shared_ptr<ApplyOptions> options, CommandContext& context) {
  command.callback([options = std::move(options), &context] {
    const Status status = RunApply(*options, context.stop);
    if (!status.ok()) context.exit_status = ReportError(status.error());
  });
}

void AddApply(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand("apply", "masks and other operations, in one pass");
  auto options = std::make_shared<ApplyOptions>();
  AddPassOptions(*command, *options);
  command
      ->add_option("--mask", options->masks,
                   "disk:ROW,COLUMN,RADIUS, annulus:ROW,COLUMN,INNER,OUTER, "
                   "segment:ROW,COLUMN,INNER,OUTER,ANGLE0,ANGLE1, "
                   "rectangle:ROW0,COLUMN0,ROW1,COLUMN1, full, or FILE.npy; repeatable")
      ->expected(1)
      ->take_all();
  command->add_flag("--com", options->centre_of_mass, "centre of mass of every frame");
  command->add_option("--com-selection", options->selection,
                      "the pixels that count for --com, written like a mask");
  command->add_flag("--sum", options->sum, "sum over all frames");
  command->add_flag("--std", options->statistics, "mean and standard deviation over all frames");
  Finish(*command, std::move(options), context);
}

void AddCom(CLI::App& app, CommandContext& context) {
  CLI::App* const command = app.add_subcommand("com", "centre of mass of every frame");
  auto options = std::make_shared<ApplyOptions>();
  options->centre_of_mass = true;
  AddPassOptions(*command, *options);
  command->add_option("--mask", options->selection, "the pixels that count, written like a mask");
  Finish(*command, std::move(options), context);
}

void AddStat(CLI::App& app, CommandContext& context) {
  CLI::App* const command =
      app.add_subcommand("stat", "sum, mean and standard deviation over all frames");
  auto options = std::make_shared<ApplyOptions>();
  options->sum = true;
  options->statistics = true;
  AddPassOptions(*command, *options);
  Finish(*command, std::move(options), context);
}

const CommandRegistration kApply(&AddApply);
const CommandRegistration kCom(&AddCom);
const CommandRegistration kStat(&AddStat);

}  // namespace

}  // namespace penstock::tools
