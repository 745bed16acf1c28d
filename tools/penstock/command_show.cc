// penstock show DATASET, penstock show STORE NAME

#include <cstdio>
#include <memory>

#include "tools/penstock/catalog_output.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/show_frames.h"
#include "tools/penstock/show_output.h"

namespace penstock::tools {

namespace {

struct ShowArguments {
  std::string place;
  std::string name;
  bool frames = false;
  bool json = false;
};

Result<std::filesystem::path> FindDataset(const ShowArguments& arguments) {
  std::filesystem::path directory = arguments.place;
  if (!arguments.name.empty()) directory /= arguments.name;
  std::error_code code;
  if (arguments.name.empty() && !LooksLikeDataset(directory) &&
      std::filesystem::is_directory(directory / ".penstock", code)) {
    return Error::InvalidArgument("this is a store; which dataset of it?")
        .In(directory)
        .Advice("'penstock ls' shows the names");
  }
  return directory;
}

std::vector<FrameRange> MissingRuns(const std::vector<int32_t>& image_key) {
  std::vector<FrameRange> runs;
  for (size_t i = 0; i < image_key.size(); ++i) {
    if (image_key[i] == 0) continue;
    const auto frame = static_cast<int64_t>(i);
    if (!runs.empty() && runs.back().last == frame) {
      ++runs.back().last;
    } else {
      runs.push_back({.first = frame, .last = frame + 1});
    }
  }
  return runs;
}

Result<ShownDataset> Collect(const ShowArguments& arguments) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::filesystem::path directory, FindDataset(arguments));
  PENSTOCK_ASSIGN_OR_RETURN(Dataset dataset, Dataset::Open(directory));
  ShownDataset shown{.dataset = dataset,
                     .sidecar = catalog::ViewSidecar(dataset.nexus()),
                     .missing = {},
                     .missing_error = {},
                     .store = catalog::FindStore(directory),
                     .verified = {}};
  const Result<std::vector<int32_t>> image_key = dataset.ReadImageKey();
  if (image_key.ok()) {
    shown.missing = MissingRuns(*image_key);
  } else {
    shown.missing_error = image_key.error().ToString();
  }
  if (shown.store) {
    const Result<std::string> path = catalog::PathInStore(*shown.store, directory);
    if (path.ok()) {
      const auto verified = catalog::LastVerification(*shown.store, *path, dataset.generation());
      if (verified.ok()) shown.verified = *verified;
    }
  }
  return shown;
}

int RunFrames(const ShowArguments& arguments) {
  const auto directory = FindDataset(arguments);
  if (!directory.ok()) return ReportError(directory.error());
  const auto dataset = Dataset::Open(*directory);
  if (!dataset.ok()) return ReportError(dataset.error());
  const Status printed = PrintFrames(*dataset, arguments.json);
  return printed.ok() ? kExitDone : ReportError(printed.error());
}

int Run(const ShowArguments& arguments) {
  if (arguments.frames) return RunFrames(arguments);
  const Result<ShownDataset> shown = Collect(arguments);
  if (!shown.ok()) return ReportError(shown.error());
  if (arguments.json) {
    PrintDocument(ShownToJson(*shown));
  } else {
    std::fputs(ShownToText(*shown).c_str(), stdout);
  }
  return kExitDone;
}

void AddShow(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("show", "all that is known of a dataset");
  auto arguments = std::make_shared<ShowArguments>();
  command->add_option("PLACE", arguments->place, "the dataset, or the store that it is in")
      ->required();
  command->add_option("NAME", arguments->name, "its name in the store, as 'penstock ls' shows it");
  command->add_flag("--frames", arguments->frames,
                    "a line for each frame: where it came from, what its header says");
  command->add_flag("--json", arguments->json, "a JSON document on standard output");
  command->callback([arguments, &context] { context.exit_status = Run(*arguments); });
}

const CommandRegistration kShow(&AddShow);

}  // namespace

}  // namespace penstock::tools
