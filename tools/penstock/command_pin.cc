// penstock pin, unpin, pins, quota: what the cache of a mount is to keep.

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

using cachefs::AskDaemon;
using cachefs::FindControlSocket;

struct PinArguments {
  std::string path;
  std::string match;
  std::string blocks;
  std::string owner;
  std::string reason;
  std::string duration;
  std::optional<int64_t> number;
  bool json = false;
};

struct QuotaArguments {
  std::string path;
  std::string folder;
  std::string soft;
  std::string hard;
  bool json = false;
};

std::string UserName() {
  if (const char* const behind_sudo = std::getenv("SUDO_USER")) return behind_sudo;
  const passwd* const entry = getpwuid(getuid());
  return entry != nullptr ? entry->pw_name : std::to_string(getuid());
}

int64_t Now() { return static_cast<int64_t>(std::time(nullptr)); }

std::string DateText(int64_t time) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(static_cast<std::time_t>(time)));
}

std::string BlocksText(const Json& pin) {
  if (!pin.contains("first_block")) return "all";
  return fmt::format("{}-{}", pin["first_block"].get<int64_t>(), pin["last_block"].get<int64_t>());
}

Result<Json> MakePinRequest(const PinArguments& arguments, const std::string& path_in_store) {
  Json request = {{"command", "pin"},
                  {"path", arguments.match.empty() ? path_in_store : arguments.match},
                  {"owner", arguments.owner.empty() ? UserName() : arguments.owner},
                  {"reason", arguments.reason}};
  if (!arguments.blocks.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const auto blocks, ParseRange(arguments.blocks));
    request["first_block"] = blocks.first;
    request["last_block"] = blocks.second;
  }
  if (!arguments.duration.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(const std::chrono::seconds duration,
                              ParseDuration(arguments.duration));
    request["expires"] = Now() + duration.count();
  }
  return request;
}

int Pin(const PinArguments& arguments) {
  const auto address = FindControlSocket(arguments.path);
  if (!address.ok()) return ReportError(address.error());
  const auto request = MakePinRequest(arguments, address->path_in_store);
  if (!request.ok()) return ReportError(request.error());
  const auto answer = AskDaemon(address->socket, *request, nullptr);
  if (!answer.ok()) return ReportError(answer.error());
  const Json& pin = (*answer)["pin"];
  if (arguments.json) {
    std::cout << pin.dump(2) << "\n";
  } else {
    fmt::print("pin {}: {} is kept once it is in the cache{}\n", pin.value("number", 0),
               pin.value("pattern", ""),
               pin.contains("expires")
                   ? fmt::format(", until {}", DateText(pin["expires"].get<int64_t>()))
                   : "");
  }
  return kExitDone;
}

int Unpin(const PinArguments& arguments) {
  const auto address = FindControlSocket(arguments.path);
  if (!address.ok()) return ReportError(address.error());
  Json request = {{"command", "unpin"},
                  {"path", arguments.match.empty() ? address->path_in_store : arguments.match}};
  if (arguments.number) request["number"] = *arguments.number;
  const auto answer = AskDaemon(address->socket, request, nullptr);
  if (!answer.ok()) return ReportError(answer.error());
  fmt::print("{} pins removed\n", answer->value("removed", 0));
  return kExitDone;
}

int ListPins(const PinArguments& arguments) {
  const auto address = FindControlSocket(arguments.path);
  if (!address.ok()) return ReportError(address.error());
  const auto answer = AskDaemon(address->socket, {{"command", "pins"}}, nullptr);
  if (!answer.ok()) return ReportError(answer.error());
  const Json& pins = (*answer)["pins"];
  if (arguments.json) {
    std::cout << pins.dump(2) << "\n";
    return kExitDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& pin : pins) {
    rows.push_back({std::to_string(pin.value("number", 0)), pin.value("pattern", ""),
                    BlocksText(pin), pin.value("owner", ""),
                    DateText(pin.value("created", int64_t{0})),
                    pin.contains("expires") ? DateText(pin["expires"].get<int64_t>()) : "never",
                    pin.value("reason", "")});
  }
  fmt::print("{}", FormatTable({{"pin", true},
                                {"path", false},
                                {"blocks", false},
                                {"owner", false},
                                {"since", false},
                                {"until", false},
                                {"reason", false}},
                               rows));
  return kExitDone;
}

// "none" takes the bound away.
Result<int64_t> ParseBound(const std::string& text) {
  if (text == "none") return -1;
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text));
  return static_cast<int64_t>(bytes);
}

int Quota(const QuotaArguments& arguments) {
  const auto address = FindControlSocket(arguments.path);
  if (!address.ok()) return ReportError(address.error());
  Json request = {{"command", "quota"}};
  if (!arguments.folder.empty()) request["folder"] = arguments.folder;
  for (const auto& [key, text] :
       {std::pair("soft_bytes", arguments.soft), std::pair("hard_bytes", arguments.hard)}) {
    if (text.empty()) continue;
    const auto bound = ParseBound(text);
    if (!bound.ok()) return ReportError(bound.error());
    request[key] = *bound;
  }
  const auto answer = AskDaemon(address->socket, request, nullptr);
  if (!answer.ok()) return ReportError(answer.error());
  const Json& folders = (*answer)["folders"];
  if (arguments.json) {
    std::cout << folders.dump(2) << "\n";
    return kExitDone;
  }
  const auto bytes_text = [](const Json& bytes) {
    return bytes.is_number() ? FormatBytes(bytes.get<uint64_t>()) : "none";
  };
  std::vector<std::vector<std::string>> rows;
  for (const Json& folder : folders) {
    const std::string name = folder.value("folder", "");
    rows.push_back({name.empty() ? "(in the root)" : name, bytes_text(folder["bytes"]),
                    bytes_text(folder["soft_bytes"]), bytes_text(folder["hard_bytes"])});
  }
  fmt::print(
      "{}",
      FormatTable({{"folder", false}, {"cached", true}, {"soft", true}, {"hard", true}}, rows));
  return kExitDone;
}

void AddPin(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<PinArguments>();
  CLI::App* const command =
      app.add_subcommand("pin", "keep datasets or files in the cache of a mount");
  command->add_option("PATH", arguments->path, "A path on the mount; what lies below it is kept")
      ->required();
  command->add_option("--match", arguments->match,
                      "Instead of PATH itself, what matches this pattern in the store, such as "
                      "'proposal_7/*_dark'; * also stands for slashes");
  command->add_option("--blocks", arguments->blocks, "Only these blocks of each dataset: 0-15");
  command->add_option("--owner", arguments->owner, "Who asks for it (default: the user)");
  command->add_option("--reason", arguments->reason, "What for");
  command->add_option("--for", arguments->duration,
                      "How long, such as 12h, 7d, 4w (default: until unpin)");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments, &context] { context.exit_status = Pin(*arguments); });
}

void AddUnpin(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<PinArguments>();
  CLI::App* const command = app.add_subcommand("unpin", "take a pin of a mount's cache away");
  command->add_option("PATH", arguments->path, "The path that was pinned, or any on the mount")
      ->required();
  command->add_option("--number", arguments->number, "The pin with this number");
  command->add_option("--match", arguments->match, "The pins with this pattern");
  command->callback([arguments, &context] { context.exit_status = Unpin(*arguments); });
}

void AddPins(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<PinArguments>();
  CLI::App* const command = app.add_subcommand("pins", "list the pins of a mount's cache");
  command->add_option("PATH", arguments->path, "A path on the mount, or its cache directory")
      ->required();
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments, &context] { context.exit_status = ListPins(*arguments); });
}

void AddQuota(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<QuotaArguments>();
  CLI::App* const command = app.add_subcommand(
      "quota", "show or set how much of a mount's cache the top-level folders may take");
  command->add_option("PATH", arguments->path, "A path on the mount, or its cache directory")
      ->required();
  command->add_option("--folder", arguments->folder, "The folder whose quota is set");
  command->add_option("--soft", arguments->soft,
                      "Above it the folder is evicted from before all others: 100G, or none");
  command->add_option("--hard", arguments->hard, "Never passed: 200G, or none");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->callback([arguments, &context] { context.exit_status = Quota(*arguments); });
}

const CommandRegistration kPin(&AddPin);
const CommandRegistration kUnpin(&AddUnpin);
const CommandRegistration kPins(&AddPins);
const CommandRegistration kQuota(&AddQuota);

}  // namespace

}  // namespace penstock::tools
