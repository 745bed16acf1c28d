// penstock scrub: reading the replicas of a mount's cache again from the disk.

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

using cachefs::AskDaemon;
using cachefs::FindControlSocket;

struct ScrubArguments {
  std::string path;
  std::string rate;
  bool detach = false;
  bool pause = false;
  bool status = false;
  bool report = false;
  bool json = false;
};

std::string DateText(const Json& time) {
  if (!time.is_number()) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M}",
                     fmt::localtime(static_cast<std::time_t>(time.get<int64_t>())));
}

void PrintState(const Json& state) {
  fmt::print("scrub: {}", state.value("state", ""));
  if (state["bytes_per_second"].is_number() && state["bytes_per_second"] != 0) {
    fmt::print(", at most {}/s", FormatBytes(state["bytes_per_second"].get<uint64_t>()));
  }
  fmt::print("{}\n", state["next"].is_number() ? ", next on " + DateText(state["next"]) : "");
  const Json& pass = state["pass"];
  if (!pass.is_object()) return;
  const auto number = [&](const char* key) { return pass.value(key, uint64_t{0}); };
  fmt::print("pass {}: begun {}, ended {}; {} replicas, {} read\n", number("number"),
             DateText(pass["began"]), DateText(pass["ended"]), number("replicas"),
             FormatBytes(number("bytes")));
  fmt::print(
      "{} extents damaged, {} mended; {} replicas put into quarantine, {} evicted because the "
      "store has them no more, {} not checked\n",
      number("damaged_extents"), number("healed_extents"), number("quarantined_replicas"),
      number("evicted_replicas"), number("unchecked_replicas"));
}

// The report of all passes, from the file that the daemon writes; also when no daemon runs.
int ShowReport(const std::filesystem::path& file, bool json) {
  std::ifstream stream(file);
  if (!stream) {
    return ReportError(
        Error::NotFound("there is no report: nothing has been scrubbed yet").In(file.string()));
  }
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(stream, line);) {
    const Json event = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) continue;
    if (json) {
      std::cout << line << "\n";
      continue;
    }
    const auto number = [&](const char* key) { return event.value(key, uint64_t{0}); };
    std::string what = event.value("event", "");
    std::string details;
    if (what == "finished") {
      details =
          fmt::format("{} replicas, {}; {} extents damaged, {} mended, {} quarantined",
                      number("replicas"), FormatBytes(number("bytes")), number("damaged_extents"),
                      number("healed_extents"), number("quarantined_replicas"));
    } else if (what == "damage") {
      details = fmt::format(
          "{}: extent {} (byte {}): expected {}, found {}; {}", event.value("path", ""),
          number("extent"), number("offset"), event.value("expected_xxh3", ""),
          event["found_xxh3"].is_string() ? event["found_xxh3"].get<std::string>() : "unreadable",
          event.value("healed", false) ? "mended" : "not mended");
    }
    rows.push_back({event.value("time", ""), std::to_string(number("pass")), what, details});
  }
  if (!json) {
    fmt::print("{}",
               FormatTable({{"time", false}, {"pass", true}, {"event", false}, {"", false}}, rows));
  }
  return kExitDone;
}

int Scrub(const ScrubArguments& arguments, const CommandContext& context) {
  const auto address = FindControlSocket(arguments.path);
  if (!address.ok()) return ReportError(address.error());
  if (arguments.report) {
    return ShowReport(address->socket.parent_path() / "scrub-report.jsonl", arguments.json);
  }
  Json request = {{"command", "scrub"}};
  if (!arguments.status) request["action"] = arguments.pause ? "pause" : "start";
  request["wait"] = !arguments.status && !arguments.pause && !arguments.detach;
  if (!arguments.rate.empty()) {
    const auto rate = ParseBytes(arguments.rate);
    if (!rate.ok()) return ReportError(rate.error());
    request["bytes_per_second"] = *rate;
  }
  const auto display = MakeProgressDisplay(ChooseProgressStyle(arguments.json));
  bool begun = false;
  uint64_t shown = 0;
  const auto advance = [&](const Json& state) {
    const uint64_t bytes = state["pass"].value("bytes", uint64_t{0});
    if (!begun) {
      display->Begin("scrub " + arguments.path, state.value("total_bytes", uint64_t{0}));
    }
    begun = true;
    if (bytes > shown) display->Advance(bytes - shown);
    shown = std::max(shown, bytes);
  };
  const auto state =
      AskDaemon(address->socket, request, advance, std::chrono::minutes(2), context.stop);
  if (begun) display->End();
  if (!state.ok()) return ReportError(state.error());
  if (arguments.json) {
    Json line = *state;
    line.erase("done");
    std::cout << line.dump() << "\n";
  } else {
    PrintState(*state);
  }
  const Json& pass = (*state)["pass"];
  const bool found = pass.is_object() && pass.value("damaged_extents", 0) > 0;
  return found && request["wait"] ? kExitAnomalies : kExitDone;
}

void AddScrub(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<ScrubArguments>();
  CLI::App* const command = app.add_subcommand(
      "scrub", "read the cache of a mount again from its disk and mend what is damaged");
  command->add_option("PATH", arguments->path, "A path on the mount, or its cache directory")
      ->required();
  command->add_option("--rate", arguments->rate,
                      "Bytes per second from now on, such as 50M; 0: as fast as the disk");
  command->add_flag("--detach", arguments->detach, "Begin, and do not wait for the end");
  command->add_flag("--pause", arguments->pause, "Stop until it is begun again; it goes on there");
  command->add_flag("--status", arguments->status, "Only show how far it is");
  command->add_flag("--report", arguments->report, "Show what all passes have found");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments, &context] { context.exit_status = Scrub(*arguments, context); });
}

const CommandRegistration kScrub(&AddScrub);

}  // namespace

}  // namespace penstock::tools
