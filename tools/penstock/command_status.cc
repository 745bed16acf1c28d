// penstock status, evict: talking to the daemon of a mount.

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/status_view.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

using cachefs::AskDaemon;
using cachefs::FindControlSocket;

constexpr uint64_t kDatasetsShown = 20;
constexpr std::chrono::seconds kStatusPatience{20};

struct StatusArguments {
  std::string path;
  std::string watch;  // seconds; "" where once is enough
  bool all_datasets = false;
  bool json = false;
  bool watching = false;
  bool check = false;
};

Result<Json> AskStatus(const std::filesystem::path& socket, const StatusArguments& arguments) {
  Json request = {{"command", "status"}};
  if (!arguments.all_datasets) request["datasets"] = kDatasetsShown;
  PENSTOCK_ASSIGN_OR_RETURN(Json status, AskDaemon(socket, request, nullptr, kStatusPatience));
  status.erase("done");
  return status;
}

void Show(const Json& status, const Json& rates, const StatusArguments& arguments) {
  if (arguments.json && arguments.watching) {
    Json line = status;
    line["rates"] = rates;
    std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  } else if (arguments.json) {
    std::cout << status.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  } else if (!arguments.watching) {
    std::cout << StatusText(status, rates);
  } else if (isatty(STDOUT_FILENO) == 1) {
    // Home, the new text over the old, the rest of the screen empty.
    std::istringstream lines(StatusText(status, rates));
    std::cout << "\x1b[H";
    for (std::string line; std::getline(lines, line);) std::cout << line << "\x1b[K\n";
    std::cout << "\x1b[J" << std::flush;
  } else {
    if (rates.is_object()) std::cout << RatesLine(status, rates) << std::endl;
  }
}

int WatchStatus(const std::filesystem::path& socket, double seconds,
                const StatusArguments& arguments, const std::stop_token& stop) {
  const auto interval = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  Json before;
  if (!arguments.json && isatty(STDOUT_FILENO) == 1) std::cout << "\x1b[2J";
  for (auto next = std::chrono::steady_clock::now(); !stop.stop_requested(); next += interval) {
    wake.wait_until(lock, stop, next, [] { return false; });
    if (stop.stop_requested()) break;
    auto status = AskStatus(socket, arguments);
    if (!status.ok()) return ReportError(status.error());
    Show(*status, before.is_object() ? RatesBetween(before, *status) : Json(), arguments);
    if (!std::cout) return kExitDone;  // nobody reads any more
    before = *std::move(status);
  }
  return kExitDone;
}

// One line, as monitoring systems like it.
int Check(const std::filesystem::path& socket, bool json) {
  const auto answer = AskDaemon(socket, {{"command", "check"}}, nullptr, kStatusPatience);
  if (!answer.ok()) return ReportError(answer.error());
  const bool healthy = answer->value("healthy", false);
  if (json) {
    Json result = *answer;
    result.erase("done");
    std::cout << result.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  } else if (healthy) {
    fmt::print("healthy: the store answered within {:.1f} ms\n",
               answer->value("store_seconds", 0.0) * 1e3);
  } else {
    std::string line;
    for (const Json& problem : (*answer)["problems"]) {
      line += (line.empty() ? "" : "; ") + problem.get<std::string>();
    }
    fmt::print("not healthy: {}\n", WithoutControlCharacters(line));
  }
  return healthy ? kExitDone : kExitFailed;
}

int ShowStatus(StatusArguments arguments, const std::stop_token& stop) {
  double seconds = 1;
  if (arguments.watching && !arguments.watch.empty()) {
    char* end = nullptr;
    seconds = std::strtod(arguments.watch.c_str(), &end);
    if (*end != '\0') {
      // `status --watch PATH`: what follows was no number.
      if (arguments.path.empty()) arguments.path = arguments.watch;
      seconds = 1;
    }
    if (!(seconds >= 0.1 && seconds <= 86400)) {
      return ReportError(Error::InvalidArgument("not an interval")
                             .Expected("0.1 to 86400 seconds")
                             .Found(arguments.watch));
    }
  }
  if (arguments.path.empty()) {
    return ReportError(
        Error::InvalidArgument("the status of which mount?").Expected("penstock status PATH"));
  }
  const auto address = FindControlSocket(arguments.path);
  if (!address.ok()) return ReportError(address.error());
  if (arguments.check) return Check(address->socket, arguments.json);
  if (arguments.watching) return WatchStatus(address->socket, seconds, arguments, stop);
  const auto status = AskStatus(address->socket, arguments);
  if (!status.ok()) return ReportError(status.error());
  Show(*status, Json(), arguments);
  return kExitDone;
}

int Evict(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const auto address = FindControlSocket(path);
    if (!address.ok()) return ReportError(address.error());
    const auto answer = AskDaemon(
        address->socket, {{"command", "evict"}, {"path", address->path_in_store}}, nullptr);
    if (!answer.ok()) return ReportError(answer.error());
    fmt::print("{}: {} blocks and {} other files evicted, {} in use and kept\n", path,
               answer->value("evicted_blocks", 0), answer->value("evicted_files", 0),
               answer->value("held_blocks", 0) + answer->value("held_files", 0));
  }
  return kExitDone;
}

struct Arguments {
  std::vector<std::string> paths;
};

void AddStatus(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App* const command =
      app.add_subcommand("status", "show what a mount's cache holds and does");
  command->add_option("PATH", arguments->path, "A path on the mount, or its cache directory");
  command->add_flag("--json", arguments->json, "Print JSON");
  CLI::Option* const watch =
      command
          ->add_option(
              "--watch", arguments->watch,
              "Again and again with rates, every second or SECONDS: redrawn on a terminal, "
              "otherwise a line each time")
          ->expected(0, 1)
          ->type_name("[SECONDS]");
  command
      ->add_flag("--check", arguments->check,
                 "Ask the store and the cache disk now; status 1 where something is wrong")
      ->excludes(watch);
  command->add_flag("--all-datasets", arguments->all_datasets,
                    "Name all datasets, also in JSON, not only the 20 that take most room");
  command->callback([arguments, watch, &context] {
    arguments->watching = watch->count() > 0;
    context.exit_status = ShowStatus(*arguments, context.stop);
  });
}

void AddEvict(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      app.add_subcommand("evict", "remove datasets and other files from the cache");
  command->add_option("PATH", arguments->paths, "Datasets, or directories above them, on the mount")
      ->required();
  command->callback([arguments, &context] { context.exit_status = Evict(arguments->paths); });
}

const CommandRegistration kStatus(&AddStatus);
const CommandRegistration kEvict(&AddEvict);

}  // namespace

}  // namespace penstock::tools
