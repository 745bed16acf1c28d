// penstock ls STORE

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "tools/penstock/catalog_output.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

using catalog::ListedEntry;
using catalog::Presence;

struct LsArguments {
  std::string store;
  bool json = false;
};

std::string VerifiedText(const catalog::Entry& entry) {
  if (!entry.last_verified) return "never";
  const std::string time = ShortTime(entry.last_verified->time);
  return entry.last_verified->result == catalog::VerifyResult::kIntact ? time : time + " DAMAGED";
}

// The name relative to the directory that was asked for.
std::string ShownName(const ListedEntry& listed, const std::string& prefix) {
  return listed.entry.path.substr(prefix.size());
}

std::string TableOf(const catalog::Listing& listing, const std::string& prefix) {
  const std::vector<TableColumn> columns{{"NAME"}, {"SCAN", true}, {"SIGNAL", true},
                                         {"TYPE"}, {"SIZE", true}, {"MISSING", true},
                                         {"DATE"}, {"VERIFIED"},   {""}};
  std::vector<std::vector<std::string>> rows;
  for (const ListedEntry& listed : listing.entries) {
    const catalog::Entry& entry = listed.entry;
    rows.push_back(
        {ShownName(listed, prefix), ScanText(entry.shape.scan), SignalText(entry.shape.signal),
         std::string(ZarrDataType(entry.shape.element_type)), FormatBytes(entry.block_bytes),
         fmt::format("{}", entry.frames_expected - entry.frames_received),
         entry.start_time.empty() ? "-" : ShortTime(entry.start_time), VerifiedText(entry),
         listed.presence == Presence::kPresent
             ? ""
             : fmt::format("({})", catalog::PresenceName(listed.presence))});
  }
  return FormatTable(columns, rows);
}

nlohmann::ordered_json EntryToJson(const ListedEntry& listed, const std::string& prefix) {
  const catalog::Entry& entry = listed.entry;
  return {{"name", ShownName(listed, prefix)},
          {"path", entry.path},
          {"presence", catalog::PresenceName(listed.presence)},
          {"scan_shape", ScanToJson(entry.shape.scan)},
          {"signal_shape", {entry.shape.signal.rows, entry.shape.signal.columns}},
          {"dtype", ZarrDataType(entry.shape.element_type)},
          {"bytes", entry.block_bytes},
          {"blocks", entry.block_count},
          {"frames_expected", entry.frames_expected},
          {"frames_received", entry.frames_received},
          {"frames_missing", entry.frames_expected - entry.frames_received},
          {"state", entry.state},
          {"generation", entry.generation},
          {"source_format", entry.source_format},
          {"source_files", entry.source_files},
          {"source_file_count", entry.source_file_count},
          {"start_time", entry.start_time},
          {"ingest_time", entry.ingest_time},
          {"anomalies", entry.anomaly_count},
          {"verified", VerifiedToJson(entry.last_verified)}};
}

void PrintJsonListing(const StorePlace& place, const catalog::Listing& listing) {
  nlohmann::ordered_json datasets = nlohmann::ordered_json::array();
  for (const ListedEntry& listed : listing.entries) {
    datasets.push_back(EntryToJson(listed, place.prefix));
  }
  PrintDocument({{"store", place.store.string()},
                 {"prefix", place.prefix},
                 {"index_rebuilt", listing.rebuilt},
                 {"datasets", std::move(datasets)},
                 {"unreadable", UnreadableToJson(listing.unreadable)}});
}

// What the listing shows but is not as it should be; true where there is any.
bool WarnOfProblems(const StorePlace& place, const catalog::Listing& listing) {
  int64_t changed = 0;
  int64_t vanished = 0;
  int64_t unreachable = 0;
  for (const ListedEntry& listed : listing.entries) {
    changed += listed.presence == Presence::kChanged ? 1 : 0;
    vanished += listed.presence == Presence::kVanished ? 1 : 0;
    unreachable += listed.presence == Presence::kUnreachable ? 1 : 0;
  }
  for (const catalog::UnreadableDataset& dataset : listing.unreadable) {
    std::fprintf(stderr, "penstock: warning: %s: unreadable: %s\n",
                 WithoutControlCharacters(dataset.path).c_str(), dataset.message.c_str());
  }
  if (changed + vanished > 0) {
    std::fprintf(
        stderr,
        "penstock: warning: %s; 'penstock catalog rebuild %s' brings the catalog up to "
        "date\n",
        fmt::format("{} vanished and {} changed since they were catalogued", vanished, changed)
            .c_str(),
        place.store.c_str());
  }
  if (unreachable > 0) {
    std::fprintf(stderr, "penstock: warning: %s\n",
                 fmt::format("{} datasets cannot be reached now", unreachable).c_str());
  }
  return changed + vanished + unreachable > 0 || !listing.unreadable.empty();
}

Result<int> Run(const LsArguments& arguments, const CommandContext& context) {
  PENSTOCK_ASSIGN_OR_RETURN(const StorePlace place, FindStorePlace(arguments.store));
  const auto list = [&]() -> Result<catalog::Listing> {
    // Events go to standard error also with --json: standard output is one document.
    const auto progress = MakeProgressDisplay(ChooseProgressStyle(false));
    return catalog::List(place.store, {.prefix = place.prefix}, *progress, context.stop);
  };
  PENSTOCK_ASSIGN_OR_RETURN(const catalog::Listing listing, list());
  if (arguments.json) {
    PrintJsonListing(place, listing);
  } else {
    std::fputs(TableOf(listing, place.prefix).c_str(), stdout);
  }
  std::fflush(stdout);
  return WarnOfProblems(place, listing) ? kExitAnomalies : kExitDone;
}

void AddLs(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("ls", "list the datasets of a store");
  auto arguments = std::make_shared<LsArguments>();
  command->add_option("STORE", arguments->store, "the store, or a directory in it")->required();
  command->add_flag("--json", arguments->json, "a JSON document on standard output");
  command->callback([arguments, &context] {
    const Result<int> status = Run(*arguments, context);
    context.exit_status = status.ok() ? *status : ReportError(status.error());
  });
}

const CommandRegistration kLs(&AddLs);

}  // namespace

}  // namespace penstock::tools
