// penstock locate: which node holds which block.

#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "penstock/cachefs/control.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

std::string Range(const Json& range) {
  return fmt::format("{}:{}", range[0].get<int64_t>(), range[1].get<int64_t>());
}

std::string Holders(const Json& block, const char* state) {
  std::string names;
  for (const Json& node : block["nodes"]) {
    if (node.value("state", "") != state) continue;
    if (!names.empty()) names += ",";
    names += node.value("node", "");
    if (std::string_view(state) == "partial") {
      names += fmt::format(" ({}/{})", node.value("extents_present", 0), node.value("extents", 0));
    }
  }
  return names.empty() ? "-" : names;
}

void Print(const Json& dataset) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& block : dataset["blocks"]) {
    rows.push_back({fmt::format("{}", block.value("block", int64_t{0})), Range(block["rows"]),
                    Range(block["columns"]), FormatBytes(block.value("bytes", uint64_t{0})),
                    Holders(block, "complete"), Holders(block, "partial"),
                    block.value("path", "")});
  }
  for (const Json& node : dataset.value("silent", Json::array())) {
    fmt::print(stderr, "penstock: {} does not say what it holds: {}\n", node.value("node", ""),
               node.value("why", ""));
  }
  const std::string name = dataset.value("dataset", "");
  fmt::print("{}\n{}", WithoutControlCharacters(name.empty() ? "." : name),
             FormatTable({{.title = "block", .right_aligned = true},
                          {.title = "rows", .right_aligned = true},
                          {.title = "columns", .right_aligned = true},
                          {.title = "size", .right_aligned = true},
                          {.title = "complete on"},
                          {.title = "partial on"},
                          {.title = "path"}},
                         rows));
}

int Locate(const std::vector<std::string>& paths, bool json) {
  for (const std::string& path : paths) {
    const auto address = cachefs::FindControlSocket(path);
    if (!address.ok()) return ReportError(address.error());
    const auto answer = cachefs::AskDaemon(
        address->socket, {{"command", "locate"}, {"path", address->path_in_store}},
        [json](const Json& dataset) {
          if (json) {
            std::cout << dataset.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
          } else {
            Print(dataset);
          }
        });
    if (!answer.ok()) return ReportError(answer.error());
  }
  return kExitDone;
}

void AddLocate(CLI::App& app, CommandContext& context) {
  struct Arguments {
    std::vector<std::string> paths;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* const command =
      app.add_subcommand("locate", "show which blocks of datasets are in which node's cache");
  command
      ->add_option("PATH", arguments->paths,
                   "Datasets, directories above them, or blocks, on the mount")
      ->required();
  command->add_flag("--json", arguments->json, "Print a line of JSON per dataset");
  command->callback(
      [arguments, &context] { context.exit_status = Locate(arguments->paths, arguments->json); });
}

const CommandRegistration kLocate(&AddLocate);

}  // namespace

}  // namespace penstock::tools
