// penstock catalog rebuild STORE, penstock catalog forget STORE NAME

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "tools/penstock/catalog_output.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

struct CatalogArguments {
  std::string store;
  std::string name;
  bool json = false;
};

// The store itself, not a directory in one: a second catalog inside a store would take over the
// listings of that part.
Result<std::filesystem::path> StoreItself(const std::string& path) {
  PENSTOCK_ASSIGN_OR_RETURN(StorePlace place, FindStorePlace(path));
  if (place.prefix.empty()) return std::move(place.store);
  return Error::InvalidArgument("this directory lies in a store")
      .In(path)
      .Expected(place.store.string());
}

void PrintReport(const catalog::RebuildReport& report) {
  std::printf(
      "%s\n",
      fmt::format("{} datasets in {} directories", report.datasets, report.directories).c_str());
  if (report.symbolic_links > 0) {
    std::printf("%s\n", fmt::format("{} symbolic links to directories were not followed",
                                    report.symbolic_links)
                            .c_str());
  }
  for (const catalog::UnreadableDataset& dataset : report.unreadable) {
    std::fprintf(stderr, "penstock: warning: %s: unreadable: %s\n",
                 WithoutControlCharacters(dataset.path).c_str(), dataset.message.c_str());
  }
  for (const std::string& directory : report.unreadable_directories) {
    std::fprintf(stderr, "penstock: warning: not searched: %s\n", directory.c_str());
  }
  if (report.unreadable_verification_lines > 0) {
    std::fprintf(stderr, "penstock: warning: %s\n",
                 fmt::format("{} lines of the verification log are unreadable",
                             report.unreadable_verification_lines)
                     .c_str());
  }
}

Result<int> Rebuild(const CatalogArguments& arguments, const CommandContext& context) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::filesystem::path store, StoreItself(arguments.store));
  const auto rebuild = [&] {
    const auto progress = MakeProgressDisplay(ChooseProgressStyle(false));
    return catalog::Rebuild(store, *progress, context.stop);
  };
  PENSTOCK_ASSIGN_OR_RETURN(const catalog::RebuildReport report, rebuild());
  if (arguments.json) {
    PrintDocument({{"store", store.string()},
                   {"datasets", report.datasets},
                   {"directories", report.directories},
                   {"symbolic_links", report.symbolic_links},
                   {"unreadable", UnreadableToJson(report.unreadable)},
                   {"unreadable_directories", report.unreadable_directories},
                   {"unreadable_verification_lines", report.unreadable_verification_lines}});
  } else {
    PrintReport(report);
  }
  const bool whole = report.unreadable.empty() && report.unreadable_directories.empty() &&
                     report.unreadable_verification_lines == 0;
  return whole ? kExitDone : kExitAnomalies;
}

Result<int> Forget(const CatalogArguments& arguments) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::filesystem::path store, StoreItself(arguments.store));
  std::error_code code;
  if (std::filesystem::exists(store / arguments.name / "nexus.json", code)) {
    return Error::InvalidArgument("the dataset still exists; the next rebuild would enter it again")
        .In((store / arguments.name).string())
        .Advice("Move or remove the directory first");
  }
  PENSTOCK_RETURN_IF_ERROR(catalog::Forget(store, arguments.name));
  return kExitDone;
}

void AddCatalog(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("catalog", "care for the catalog of a store");
  command->require_subcommand(1);
  auto arguments = std::make_shared<CatalogArguments>();

  CLI::App* rebuild = command->add_subcommand("rebuild", "build the index anew from the sidecars");
  rebuild->add_option("STORE", arguments->store, "the store")->required();
  rebuild->add_flag("--json", arguments->json, "a JSON document on standard output");
  rebuild->callback([arguments, &context] {
    const Result<int> status = Rebuild(*arguments, context);
    context.exit_status = status.ok() ? *status : ReportError(status.error());
  });

  CLI::App* forget = command->add_subcommand("forget", "drop the entry of a vanished dataset");
  forget->add_option("STORE", arguments->store, "the store")->required();
  forget->add_option("NAME", arguments->name, "the dataset, as 'penstock ls' shows it")->required();
  forget->callback([arguments, &context] {
    const Result<int> status = Forget(*arguments);
    context.exit_status = status.ok() ? *status : ReportError(status.error());
  });
}

const CommandRegistration kCatalog(&AddCatalog);

}  // namespace

}  // namespace penstock::tools
