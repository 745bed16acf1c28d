// penstock ingest SOURCE... --to DATASET|STORE/

#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <memory>
#include <numbers>
#include <set>

#include "penstock/catalog/catalog.h"
#include "penstock/ingest/ingest.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/source_options.h"

namespace penstock::tools {

namespace {

struct IngestArguments {
  std::vector<std::string> sources;
  SourceArguments source;
  std::string to;
  std::string scan_shape;
  int64_t sync_offset = 0;
  std::string missing = "refuse";
  bool drop_flyback = false;
  bool accept_contradictions = false;
  std::string orientation;
  std::optional<double> detector_rotation;  // degrees
  std::string profile;
  std::string block_size = "256M";
  std::string memory = "384M";
  int jobs = 0;
  bool dry_run = false;
  bool replace = false;
  bool json = false;
};

const std::map<std::string, OrientationRecord::Matrix>& Orientations() {
  static const std::map<std::string, OrientationRecord::Matrix> kNamed = {
      {"identity", {1, 0, 0, 1}},      {"flip-rows", {-1, 0, 0, 1}},
      {"flip-columns", {1, 0, 0, -1}}, {"rotate-180", {-1, 0, 0, -1}},
      {"transpose", {0, 1, 1, 0}},     {"rotate-90", {0, -1, 1, 0}},
      {"rotate-270", {0, 1, -1, 0}},   {"anti-transpose", {0, -1, -1, 0}},
  };
  return kNamed;
}

Result<ingest::IngestOptions> ToIngestOptions(const IngestArguments& arguments,
                                              const CommandContext& context) {
  ingest::IngestOptions options;
  options.to = arguments.to;
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
                    : arguments.missing == "skip" ? ingest::MissingPolicy::kSkip
                                                  : ingest::MissingPolicy::kRefuse;
  PENSTOCK_ASSIGN_OR_RETURN(options.block_bytes, ParseBytes(arguments.block_size));
  PENSTOCK_ASSIGN_OR_RETURN(options.memory_bytes, ParseBytes(arguments.memory));
  options.workers = arguments.jobs;
  options.replace = arguments.replace;
  if (!arguments.orientation.empty()) {
    options.stored_to_display = Orientations().at(arguments.orientation);
  }
  if (arguments.detector_rotation) {
    options.detector_to_scan_rotation = *arguments.detector_rotation * std::numbers::pi / 180;
  }
  if (!arguments.profile.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(options.profile_facts, ingest::ReadProfile(arguments.profile));
  }
  options.command_line = context.command_line;
  return options;
}

// The store that a dataset belongs to: the one that was named, or one that lies above it.
std::optional<std::filesystem::path> StoreOf(const std::filesystem::path& to,
                                             const std::filesystem::path& destination) {
  std::error_code problem;
  const std::filesystem::path named = std::filesystem::absolute(to, problem).lexically_normal();
  if (named != destination) return destination.parent_path();
  return catalog::FindStore(destination.parent_path());
}

class IngestCommand {
 public:
  IngestCommand(const IngestArguments& arguments, CommandContext& context)
      : arguments_(arguments), context_(context) {}

  int Run() {
    auto options = ToIngestOptions(arguments_, context_);
    if (!options.ok()) return Fail(options.error());
    options_ = std::move(options).value();
    const int status = CheckSeveralSources();
    if (status != kExitDone) return status;
    int worst = kExitDone;
    for (const std::string& source : arguments_.sources) {
      const int outcome = IngestOne(source);
      if (outcome == kExitFailed || outcome == kExitUsage) {
        worst = worst == kExitFailed ? worst : outcome;
      } else if (outcome == kExitAnomalies && worst == kExitDone) {
        worst = kExitAnomalies;
      }
      if (context_.stop.stop_requested()) return kExitFailed;
    }
    return worst;
  }

 private:
  // Each source becomes a dataset of its own, so that several need a store.
  int CheckSeveralSources() {
    std::error_code problem;
    if (arguments_.sources.size() < 2 || arguments_.to.ends_with('/') ||
        std::filesystem::is_directory(arguments_.to, problem)) {
      return kExitDone;
    }
    return Fail(Error::InvalidArgument("several sources become several datasets")
                    .In(arguments_.to)
                    .Expected("a store")
                    .Advice("end the name with '/' to name a store"));
  }

  int Fail(const Error& error) {
    if (arguments_.json) PrintJson(ErrorToJson(error));
    return ReportError(error);
  }

  int IngestOne(const std::string& source) {
    std::error_code problem;
    if (taken_.contains(std::filesystem::weakly_canonical(source, problem))) return kExitDone;
    auto plan = ingest::PlanIngest(source, options_);
    if (!plan.ok()) return Fail(plan.error());
    // Shell patterns name every file of a series, of which the first brings the others.
    for (const ingest::SourceFile& file : plan->source->description().files) {
      taken_.insert(std::filesystem::weakly_canonical(file.path, problem));
    }
    return arguments_.dry_run ? ShowPlan(*plan) : RunPlan(*plan);
  }

  int ShowPlan(const ingest::IngestPlan& plan) {
    auto rate = ingest::MeasureRate(plan);
    if (!rate.ok()) return Fail(rate.error());
    if (arguments_.json) {
      PrintJson(PlanToJson(plan, *rate));
    } else {
      std::fputs(PlanText(plan, *rate).c_str(), stdout);
    }
    return plan.anomalies.empty() ? kExitDone : kExitAnomalies;
  }

  int RunPlan(const ingest::IngestPlan& plan) {
    Result<ingest::IngestResult> result = [&] {
      const auto progress = MakeProgressDisplay(ChooseProgressStyle(arguments_.json));
      for (const std::string& remark : plan.remarks) progress->Note("remark: " + remark);
      return ingest::RunIngest(plan, *progress, context_.stop);
    }();
    if (!result.ok()) return Fail(result.error());
    Register(plan);
    if (arguments_.json) {
      PrintJson(ResultToJson(*result));
    } else {
      std::fputs(ResultText(*result).c_str(), stdout);
    }
    const bool anomalies = !result->anomalies.empty() || !plan.anomalies.empty();
    return anomalies ? kExitAnomalies : kExitDone;
  }

  // The dataset is whole whether or not the catalog knows of it: a failure here is a warning.
  void Register(const ingest::IngestPlan& plan) {
    const auto store = StoreOf(arguments_.to, plan.destination);
    if (!store) return;
    const auto registered = catalog::RegisterDataset(*store, plan.destination);
    if (registered.ok()) return;
    std::fprintf(stderr,
                 "penstock: warning: the dataset is complete but not in the catalog: %s; "
                 "'penstock catalog rebuild %s' enters it\n",
                 registered.error().ToString().c_str(), store->c_str());
  }

  const IngestArguments& arguments_;
  CommandContext& context_;
  ingest::IngestOptions options_;
  std::set<std::filesystem::path> taken_;
};

void AddIngest(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("ingest", "make datasets from detector files");
  auto arguments = std::make_shared<IngestArguments>();
  command->add_option("SOURCE", arguments->sources, "files to ingest, one dataset each")
      ->required();
  command->add_option("--to", arguments->to, "the dataset's directory, or a store ending with '/'")
      ->required();
  AddSourceOptions(*command, arguments->source);
  command->add_option("--scan-shape", arguments->scan_shape, "rows,columns of the scan");
  command->add_option("--sync-offset", arguments->sync_offset,
                      "frames to skip at the start; negative: missing frames to put there");
  command
      ->add_option(
          "--missing", arguments->missing,
          "what to do about frames that are not there: refuse (default), zero (leave them empty "
          "and mark them), skip (leave out rows at the end, close gaps of a series)")
      ->check(CLI::IsMember({"refuse", "zero", "skip"}));
  command->add_flag("--drop-flyback", arguments->drop_flyback,
                    "leave out the frames that each row has beyond the scan shape");
  command->add_flag("--accept-contradictions", arguments->accept_contradictions,
                    "go on where headers contradict each other, and record it");
  std::vector<std::string> names;
  for (const auto& [name, matrix] : Orientations()) names.push_back(name);
  command
      ->add_option("--orientation", arguments->orientation,
                   "how frames are to be displayed (recorded, not applied)")
      ->check(CLI::IsMember(names));
  command->add_option("--detector-rotation", arguments->detector_rotation,
                      "rotation from detector to scan in degrees (recorded, not applied)");
  command->add_option("--profile", arguments->profile,
                      "JSON file with facts on sample and instrument");
  command->add_option("--block-size", arguments->block_size, "bytes of frames per block file");
  command->add_option("--memory", arguments->memory, "memory for buffers and statistics");
  command->add_option("--jobs", arguments->jobs, "workers; default: one per CPU")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--dry-run", arguments->dry_run, "only show what would be done");
  command->add_flag("--replace", arguments->replace,
                    "replace an existing dataset once the new one is whole");
  command->add_flag("--json", arguments->json, "JSON lines on standard output");
  command->callback(
      [arguments, &context] { context.exit_status = IngestCommand(*arguments, context).Run(); });
}

const CommandRegistration kIngest(&AddIngest);

}  // namespace

}  // namespace penstock::tools
