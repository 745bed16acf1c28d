// penstock status, warm, evict: talking to the daemon of a mount.

#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

using cachefs::AskDaemon;
using cachefs::FindControlSocket;

std::string YesOrWhyNot(const Json& status, const char* what, const char* reason) {
  if (status.value(what, false)) return "yes";
  return fmt::format("no ({})", status.value(reason, ""));
}

void PrintStatus(const Json& status) {
  const Json& counters = status["counters"];
  const auto count = [&](const char* name) { return counters.value(name, uint64_t{0}); };
  const auto line = [](const char* name, const std::string& value) {
    fmt::print("{:<22}{}\n", name, value);
  };
  line("store", status.value("store", ""));
  line("mountpoint", status.value("mountpoint", ""));
  line("cache", status.value("cache", ""));
  line("daemon", fmt::format("process {}", status.value("pid", 0)));
  line("passthrough", YesOrWhyNot(status, "passthrough", "passthrough_reason"));
  line("read-only view", YesOrWhyNot(status, "read_only_view", "read_only_view_reason"));
  line("cached",
       fmt::format("{} in {} blocks", FormatBytes(status.value("cached_bytes", uint64_t{0})),
                   status.value("cached_blocks", 0)));
  line("limit", fmt::format("{}, {} of the disk left free",
                            status["limit_bytes"].is_number()
                                ? FormatBytes(status["limit_bytes"].get<uint64_t>())
                                : "none",
                            FormatBytes(status.value("reserve_bytes", uint64_t{0}))));
  line("opens",
       fmt::format("{} passed through, {} served, {} leased ({} held)", count("passthrough_opens"),
                   count("served_opens"), count("leases_granted"), status.value("leases", 0)));
  line("served reads",
       fmt::format("{} hits, {} misses", count("hit_reads"), count("missed_reads")));
  line("fetched", FormatBytes(count("fetched_bytes")));
  line("verified again", FormatBytes(count("reverified_bytes")));
  line("evicted", fmt::format("{} blocks", count("evicted_blocks")));
  line("not kept", fmt::format("{} extents (no room or a cache error)", count("uncached_extents")));
  line("failures",
       fmt::format("{} extents of the store, {} of the cache; {} store errors, {} time-outs, {} "
                   "cache disk errors",
                   count("verification_failures"), count("damaged_cache_extents"),
                   count("upstream_errors"), count("timeouts"), count("cache_errors")));
  for (const Json& dataset : status["datasets"]) {
    const std::string name = dataset.value("dataset", "");
    const std::string blocks =
        dataset["blocks"].is_number() ? fmt::format("{}", dataset["blocks"].get<int64_t>()) : "?";
    fmt::print("  {}: {} of {} blocks complete, {} partial, {}\n",
               name.empty() ? "(dataset not known yet)" : name, dataset.value("complete_blocks", 0),
               blocks, dataset.value("partial_blocks", 0),
               FormatBytes(dataset.value("bytes", uint64_t{0})));
  }
}

int ShowStatus(const std::string& path, bool json) {
  const auto address = FindControlSocket(path);
  if (!address.ok()) return ReportError(address.error());
  auto status = AskDaemon(address->socket, {{"command", "status"}}, nullptr);
  if (!status.ok()) return ReportError(status.error());
  if (json) {
    status->erase("done");
    std::cout << status->dump(2) << "\n";
  } else {
    PrintStatus(*status);
  }
  return kExitDone;
}

int Warm(const std::vector<std::string>& paths, bool json) {
  for (const std::string& path : paths) {
    const auto address = FindControlSocket(path);
    if (!address.ok()) return ReportError(address.error());
    const auto display = MakeProgressDisplay(ChooseProgressStyle(json));
    bool begun = false;
    uint64_t shown = 0;
    const auto advance = [&](const Json& line) {
      if (!begun) display->Begin("warm " + path, line.value("total_bytes", uint64_t{0}));
      begun = true;
      const uint64_t bytes = line.value("bytes", uint64_t{0});
      if (bytes > shown) display->Advance(bytes - shown);
      shown = bytes;
    };
    const auto answer = AskDaemon(address->socket,
                                  {{"command", "warm"}, {"path", address->path_in_store}}, advance);
    if (answer.ok()) advance(*answer);
    if (begun) display->End();
    if (!answer.ok()) return ReportError(answer.error());
  }
  return kExitDone;
}

int Evict(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const auto address = FindControlSocket(path);
    if (!address.ok()) return ReportError(address.error());
    const auto answer = AskDaemon(
        address->socket, {{"command", "evict"}, {"path", address->path_in_store}}, nullptr);
    if (!answer.ok()) return ReportError(answer.error());
    fmt::print("{}: {} blocks evicted, {} in use and kept\n", path,
               answer->value("evicted_blocks", 0), answer->value("held_blocks", 0));
  }
  return kExitDone;
}

struct Arguments {
  std::string path;
  std::vector<std::string> paths;
  bool json = false;
};

void AddStatus(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      app.add_subcommand("status", "show what a mount's cache holds and does");
  command->add_option("PATH", arguments->path, "A path on the mount, or its cache directory")
      ->required();
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments, &context] {
    context.exit_status = ShowStatus(arguments->path, arguments->json);
  });
}

void AddWarm(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      app.add_subcommand("warm", "fetch the blocks of datasets into the cache, completely");
  command->add_option("PATH", arguments->paths, "Datasets, or directories above them, on the mount")
      ->required();
  command->add_flag("--json", arguments->json, "Print progress as JSON");
  command->callback(
      [arguments, &context] { context.exit_status = Warm(arguments->paths, arguments->json); });
}

void AddEvict(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      app.add_subcommand("evict", "remove the blocks of datasets from the cache");
  command->add_option("PATH", arguments->paths, "Datasets, or directories above them, on the mount")
      ->required();
  command->callback([arguments, &context] { context.exit_status = Evict(arguments->paths); });
}

const CommandRegistration kStatus(&AddStatus);
const CommandRegistration kWarm(&AddWarm);
const CommandRegistration kEvict(&AddEvict);

}  // namespace

}  // namespace penstock::tools
