// penstock ingest SOURCE... --to DATASET|STORE/

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <set>

#include "penstock/catalog/catalog.h"
#include "penstock/ingest/follow.h"
#include "penstock/ingest/ingest.h"
#include "penstock/ingest/orientation.h"
#include "penstock/ingest/registry.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/ingest_folder.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

struct IngestCommandArguments {
  std::vector<std::string> sources;
  IngestArguments ingest;
  std::string to;
  std::string reference;  // --verify-orientation
  std::string memory = "384M";
  int jobs = 0;
  bool dry_run = false;
  bool follow = false;
  double quiet_seconds = 30;
  bool json = false;
};

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
  IngestCommand(const IngestCommandArguments& arguments, CommandContext& context)
      : arguments_(arguments), context_(context) {}

  int Run() {
    auto options = ToIngestOptions(arguments_.ingest);
    if (!options.ok()) return Fail(options.error());
    options_ = std::move(options).value();
    options_.to = arguments_.to;
    options_.workers = arguments_.jobs;
    options_.command_line = context_.command_line;
    const auto memory = ParseBytes(arguments_.memory);
    if (!memory.ok()) return Fail(memory.error());
    options_.memory_bytes = *memory;
    std::vector<std::filesystem::path> files;
    std::vector<std::filesystem::path> folders;
    for (const std::string& source : arguments_.sources) {
      (IsFolder(source) ? folders : files).emplace_back(source);
    }
    int status = CheckSeveralSources(!folders.empty());
    if (status == kExitDone) status = CheckReference(!folders.empty());
    if (status == kExitDone && arguments_.follow) status = CheckFollow(!folders.empty());
    if (status != kExitDone) return status;
    if (arguments_.follow) return Follow(files.front());
    int worst = kExitDone;
    for (const std::filesystem::path& source : files) {
      worst = Worse(worst, IngestOne(source));
      if (context_.stop.stop_requested()) return kExitFailed;
    }
    if (folders.empty()) return worst;
    return Worse(worst, IngestFolders(folders,
                                      {.each = options_,
                                       .store = arguments_.to,
                                       .dry_run = arguments_.dry_run,
                                       .json = arguments_.json},
                                      context_.stop));
  }

 private:
  // A directory that is not itself what a format stores its data in.
  bool IsFolder(const std::string& source) const {
    std::error_code problem;
    return options_.format.empty() && std::filesystem::is_directory(source, problem) &&
           !ingest::DetectSource(source).ok();
  }

  static int Worse(int before, int outcome) {
    if (outcome == kExitFailed || outcome == kExitUsage) {
      return before == kExitFailed ? before : outcome;
    }
    return before == kExitDone ? outcome : before;
  }

  // Each source becomes a dataset of its own, so that several need a store.
  int CheckSeveralSources(bool has_folder) {
    std::error_code problem;
    if ((arguments_.sources.size() < 2 && !has_folder) || arguments_.to.ends_with('/') ||
        std::filesystem::is_directory(arguments_.to, problem)) {
      return kExitDone;
    }
    return Fail(Error::InvalidArgument(has_folder ? "a folder becomes several datasets"
                                                  : "several sources become several datasets")
                    .In(arguments_.to)
                    .Expected("a store")
                    .Advice("end the name with '/' to name a store"));
  }

  int Fail(const Error& error) {
    if (arguments_.json) PrintJson(ErrorToJson(error));
    return ReportError(error);
  }

  int CheckReference(bool has_folder) {
    if (arguments_.reference.empty() || !has_folder) return kExitDone;
    return Fail(Error::InvalidArgument("--verify-orientation takes files, not folders")
                    .Advice("name the acquisitions that show the pattern"));
  }

  int CheckFollow(bool has_folder) {
    if (arguments_.sources.size() == 1 && !has_folder && !arguments_.dry_run) return kExitDone;
    return Fail(Error::InvalidArgument("--follow takes one acquisition")
                    .Expected("one file, without --dry-run")
                    .Advice("'penstock watch' takes all that appear in a folder"));
  }

  int Follow(const std::filesystem::path& source) {
    const ingest::FollowOptions follow{
        std::chrono::milliseconds(static_cast<int64_t>(arguments_.quiet_seconds * 1000))};
    auto plan = ingest::PlanFollow(source, options_, follow, context_.stop);
    if (!plan.ok()) return Fail(plan.error());
    const Status verified = VerifyOrientation(*plan);
    if (!verified.ok()) return Fail(verified.error());
    return Report(*plan, [&](ProgressSink& progress) {
      return ingest::FollowIngest(*plan, follow, progress, context_.stop);
    });
  }

  int IngestOne(const std::filesystem::path& source) {
    std::error_code problem;
    if (taken_.contains(std::filesystem::weakly_canonical(source, problem))) return kExitDone;
    auto plan = ingest::PlanIngest(source, options_);
    if (!plan.ok()) return Fail(plan.error());
    const Status verified = VerifyOrientation(*plan);
    if (!verified.ok()) return Fail(verified.error());
    // Shell patterns name every file of a series, of which the first brings the others.
    for (const ingest::SourceFile& file : plan->source->description().files) {
      taken_.insert(std::filesystem::weakly_canonical(file.path, problem));
    }
    return arguments_.dry_run ? ShowPlan(*plan) : RunPlan(*plan);
  }

  Status VerifyOrientation(ingest::IngestPlan& plan) const {
    if (arguments_.reference.empty()) return Status::Ok();
    return ingest::VerifyOrientation(arguments_.reference, context_.stop, plan);
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
    return Report(plan, [&](ProgressSink& progress) {
      return ingest::RunIngest(plan, progress, context_.stop);
    });
  }

  template <typename Work>
  int Report(const ingest::IngestPlan& plan, Work&& work) {
    Result<ingest::IngestResult> result = [&] {
      const auto progress = MakeProgressDisplay(ChooseProgressStyle(arguments_.json));
      for (const std::string& remark : plan.remarks) progress->Note("remark: " + remark);
      return work(*progress);
    }();
    if (!result.ok()) return Fail(result.error());
    Register(plan);
    if (arguments_.json) {
      PrintJson(ResultToJson(*result));
    } else {
      std::fputs(ResultText(*result).c_str(), stdout);
    }
    // Those of the plan are among them, but for frames that came while they were followed.
    const bool anomalies =
        !result->anomalies.empty() || (result->was_published_before && !plan.anomalies.empty());
    return anomalies ? kExitAnomalies : kExitDone;
  }

  void Register(const ingest::IngestPlan& plan) {
    const auto store = StoreOf(arguments_.to, plan.destination);
    if (!store) return;
    const std::string warning = RegisterInCatalog(*store, plan.destination);
    if (!warning.empty()) std::fprintf(stderr, "penstock: warning: %s\n", warning.c_str());
  }

  const IngestCommandArguments& arguments_;
  CommandContext& context_;
  ingest::IngestOptions options_;
  std::set<std::filesystem::path> taken_;
};

void AddIngest(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("ingest", "make datasets from detector files");
  auto arguments = std::make_shared<IngestCommandArguments>();
  command
      ->add_option("SOURCE", arguments->sources,
                   "files to ingest, one dataset each; folders, of which every acquisition becomes "
                   "a dataset")
      ->required();
  command->add_option("--to", arguments->to, "the dataset's directory, or a store ending with '/'")
      ->required();
  AddIngestOptions(*command, arguments->ingest);
  command->add_option("--verify-orientation", arguments->reference,
                      "refuse frames that, displayed as --orientation or the format says, do not "
                      "look like this .npy array of one frame");
  command->add_option("--memory", arguments->memory, "memory for buffers and statistics");
  command
      ->add_option("--jobs", arguments->jobs,
                   "workers, of all acquisitions together; default: one per CPU")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--dry-run", arguments->dry_run, "only show what would be done");
  command->add_flag("--follow", arguments->follow,
                    "take an acquisition that is still being written: blocks appear as they fill");
  command
      ->add_option("--quiet", arguments->quiet_seconds,
                   "--follow: seconds without anything written after which it has ended")
      ->check(CLI::Range(0.05, 1e6));
  command->add_flag("--json", arguments->json, "JSON lines on standard output");
  command->callback(
      [arguments, &context] { context.exit_status = IngestCommand(*arguments, context).Run(); });
}

const CommandRegistration kIngest(&AddIngest);

}  // namespace

}  // namespace penstock::tools
