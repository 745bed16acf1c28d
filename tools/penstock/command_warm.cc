// penstock warm: fetching into the cache of a mount, ahead of the readers.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

using cachefs::AskDaemon;
using cachefs::FindControlSocket;

struct WarmArguments {
  std::vector<std::string> paths;
  std::string manifest;
  std::string blocks;
  bool verify = false;
  bool json = false;
};

// One path a line; empty lines and those that begin with # say nothing. Relative paths begin where
// the list lies.
Result<std::vector<std::string>> ReadManifest(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) return Error::FromErrno(errno, "cannot read the list of paths").In(file);
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  std::vector<std::string> paths;
  for (std::string line; std::getline(stream, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    paths.push_back((folder / line).string());
  }
  return paths;
}

std::string Summary(const std::string& path, const Json& result, bool verify) {
  const auto number = [&](const char* key) { return result.value(key, uint64_t{0}); };
  std::string text = fmt::format(
      "{}: {} blocks and {} other files, {} ({} were there already)", path, number("blocks"),
      number("files"), FormatBytes(number("bytes")), FormatBytes(number("resident_bytes")));
  if (number("skipped_files") > 0) {
    text +=
        fmt::format("; {} files that were changed just now are left out", number("skipped_files"));
  }
  if (verify) {
    text += fmt::format("; {} read again: {} extents damaged, {} mended",
                        FormatBytes(number("verified_bytes")), number("damaged_extents"),
                        number("healed_extents"));
  }
  return text;
}

Result<Json> WarmOne(const std::string& path, const Json& request, const WarmArguments& arguments,
                     const CommandContext& context) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto address, FindControlSocket(path));
  Json whole = request;
  whole["path"] = address.path_in_store;
  const auto display = MakeProgressDisplay(ChooseProgressStyle(arguments.json));
  std::string phase;
  uint64_t shown = 0;
  const auto advance = [&](const Json& line) {
    if (const std::string now = line.value("phase", phase); now != phase) {
      if (!phase.empty()) display->End();
      phase = now;
      // What was there already is not this job's work: it would spoil the rate.
      shown = phase == "fetch" ? line.value("resident_bytes", uint64_t{0}) : 0;
      display->Begin((phase == "fetch" ? "warm " : "verify ") + path,
                     line.value("total_bytes", uint64_t{0}) - shown);
    }
    const uint64_t bytes = line.value("bytes", uint64_t{0});
    if (bytes > shown) display->Advance(bytes - shown);
    shown = std::max(shown, bytes);
  };
  auto answer = AskDaemon(address.socket, whole, advance, std::chrono::minutes(2), context.stop);
  if (!phase.empty()) display->End();
  return answer;
}

int Warm(const WarmArguments& arguments, const CommandContext& context) {
  std::vector<std::string> paths = arguments.paths;
  if (!arguments.manifest.empty()) {
    auto listed = ReadManifest(arguments.manifest);
    if (!listed.ok()) return ReportError(listed.error());
    paths.insert(paths.end(), listed->begin(), listed->end());
  }
  if (paths.empty()) {
    return ReportError(Error::InvalidArgument("there is nothing to warm")
                           .Advice("name paths on the mount, or a list with --manifest"));
  }
  Json request = {{"command", "warm"}, {"verify", arguments.verify}};
  if (!arguments.blocks.empty()) {
    const auto blocks = ParseRange(arguments.blocks);
    if (!blocks.ok()) return ReportError(blocks.error());
    request["first_block"] = blocks->first;
    request["last_block"] = blocks->second;
  }
  int status = kExitDone;
  for (const std::string& path : paths) {
    const auto result = WarmOne(path, request, arguments, context);
    if (!result.ok()) {
      // The others are worth having.
      status = ReportError(result.error());
      if (context.stop.stop_requested()) return status;
      continue;
    }
    if (arguments.json) {
      Json line = *result;
      line.erase("done");
      line["event"] = "result";
      line["path"] = path;
      std::cout << line.dump() << "\n";
    } else {
      fmt::print("{}\n", Summary(path, *result, arguments.verify));
    }
    if (result->value("damaged_extents", 0) > 0 && status == kExitDone) status = kExitAnomalies;
  }
  return status;
}

void AddWarm(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<WarmArguments>();
  CLI::App* const command = app.add_subcommand(
      "warm", "fetch datasets and other files into the cache of a mount, completely");
  command->add_option("PATH", arguments->paths,
                      "Datasets, files, or directories above them, on the mount");
  command->add_option("--manifest", arguments->manifest,
                      "A file with one such path on each line (# begins a comment)");
  command->add_option("--blocks", arguments->blocks,
                      "Only these blocks of each dataset, such as 0-15, and no other files");
  command->add_flag("--verify", arguments->verify,
                    "Then read everything again from the cache's disk and compare the checksums");
  command->add_flag("--json", arguments->json, "Print progress and result as JSON lines");
  command->callback([arguments, &context] { context.exit_status = Warm(*arguments, context); });
}

const CommandRegistration kWarm(&AddWarm);

}  // namespace

}  // namespace penstock::tools
