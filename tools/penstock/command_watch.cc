// penstock watch FOLDER --to STORE [--rules FILE]

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "penstock/dataset/dataset.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/journal_format.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/watcher.h"

namespace penstock::tools {

namespace {

struct WatchArguments {
  std::string folder;
  std::string to;
  std::string rules;
  double quiet_seconds = 10;
  double rescan_seconds = 60;
  int jobs = 0;
  int at_once = 1;
  std::string memory = "384M";
  std::string status_file;
  std::string metrics_file;
  std::string log_level = "info";
  bool until_idle = false;
};

void StartLog(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("penstock",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  if (LogsToJournal()) {
    logger->set_formatter(MakeJournalFormatter());
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  }
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

std::filesystem::path AbsoluteFolder(const std::string& given) {
  std::filesystem::path path = std::filesystem::absolute(given).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

int Run(const WatchArguments& arguments, const CommandContext& context) {
  WatcherOptions options;
  options.folder = AbsoluteFolder(arguments.folder);
  options.store = AbsoluteFolder(arguments.to);
  std::error_code problem;
  if (!std::filesystem::is_directory(options.folder, problem)) {
    return ReportError(
        Error::InvalidArgument("there is no such folder to watch").In(options.folder.string()));
  }
  if (LooksLikeDataset(options.store) || LooksLikeDataset(options.folder)) {
    return ReportError(Error::InvalidArgument("a dataset is neither a folder to watch nor a store")
                           .In(LooksLikeDataset(options.store) ? arguments.to : arguments.folder));
  }
  std::vector<WatchRule> rules = DefaultWatchRules();
  if (!arguments.rules.empty()) {
    options.rules = arguments.rules;
    auto read = ReadWatchRules(options.rules);
    if (!read.ok()) return ReportError(read.error());
    rules = *std::move(read);
  }
  const auto memory = ParseBytes(arguments.memory);
  if (!memory.ok()) return ReportError(memory.error());
  options.memory_bytes = *memory;
  options.quiet = Milliseconds(arguments.quiet_seconds);
  options.rescan = Milliseconds(arguments.rescan_seconds);
  options.workers = arguments.jobs;
  options.at_once = arguments.at_once;
  options.status_file = arguments.status_file;
  options.metrics_file = arguments.metrics_file;
  options.until_idle = arguments.until_idle;
  options.command_line = context.command_line;
  StartLog(arguments.log_level);
  Watcher watcher(std::move(options), std::move(rules));
  const bool nothing_failed = watcher.Run(context.stop);
  return arguments.until_idle && !nothing_failed ? kExitFailed : kExitDone;
}

void AddWatch(CLI::App& app, CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("watch", "ingest acquisitions as they are finished in a folder");
  auto arguments = std::make_shared<WatchArguments>();
  command->add_option("FOLDER", arguments->folder, "where the instruments write")->required();
  command->add_option("--to", arguments->to, "the store")->required();
  command->add_option("--rules", arguments->rules,
                      "JSON file: which acquisitions, and how; default: all, without options");
  command
      ->add_option("--quiet", arguments->quiet_seconds,
                   "seconds that files have to be still before they are taken")
      ->check(CLI::Range(0.05, 1e6));
  command
      ->add_option("--rescan", arguments->rescan_seconds,
                   "seconds after which everything is looked at, for network file systems")
      ->check(CLI::Range(0.1, 1e6));
  command->add_option("--jobs", arguments->jobs, "workers in all; default: one per CPU")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--at-once", arguments->at_once,
                   "acquisitions ingested side by side; they share workers and memory")
      ->check(CLI::Range(1, 64));
  command->add_option("--memory", arguments->memory, "memory for buffers and statistics, in all");
  command->add_option("--status-file", arguments->status_file,
                      "JSON file with the state of things");
  command->add_option("--metrics-file", arguments->metrics_file,
                      "file for Prometheus' textfile collector (NAME.prom)");
  command->add_option("--log-level", arguments->log_level, "debug, info, warn or err")
      ->check(CLI::IsMember({"debug", "info", "warn", "err"}));
  command->add_flag("--until-idle", arguments->until_idle,
                    "end once nothing is left to wait for; status 1 where something failed");
  command->callback([arguments, &context] { context.exit_status = Run(*arguments, context); });
}

const CommandRegistration kWatch(&AddWatch);

}  // namespace

}  // namespace penstock::tools
