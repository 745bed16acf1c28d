// penstock verify DATASET... [--source FILE]

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "penstock/dataset/verify.h"
#include "penstock/ingest/registry.h"
#include "tools/penstock/catalog_output.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/compare_source.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/source_options.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

constexpr int kMaxDefaultThreads = 8;

struct VerifyArguments {
  std::vector<std::string> datasets;
  std::string source_file;
  SourceArguments source;
  int threads = 0;
  bool json = false;
};

// What was found about one dataset.
struct Verified {
  std::string dataset;
  std::string generation;
  VerifyReport report;
  std::optional<SourceComparison> comparison;  // with --source
  double seconds = 0;

  bool intact() const {
    return report.damage.empty() && !(comparison && comparison->first_difference);
  }
};

int ThreadCount(const VerifyArguments& arguments) {
  if (arguments.threads > 0) return arguments.threads;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxDefaultThreads);
}

Result<SourceComparison> Compare(const Dataset& dataset, const VerifyArguments& arguments,
                                 ProgressSink& progress, const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(ingest::OpenOptions options, ToOpenOptions(arguments.source));
  // The dataset knows what a raw file cannot say.
  if (!options.signal_shape) options.signal_shape = dataset.shape().signal;
  if (!options.element_type) options.element_type = dataset.shape().element_type;
  PENSTOCK_ASSIGN_OR_RETURN(
      const std::unique_ptr<ingest::FrameSource> source,
      ingest::OpenSource(arguments.source_file, arguments.source.format, options));
  return CompareWithSource(dataset, *source, ThreadCount(arguments), progress, stop);
}

// The date of this verification; that it cannot be kept takes nothing from the result.
void Record(const std::filesystem::path& directory, const Verified& verified) {
  const auto store = catalog::FindStore(directory);
  if (!store) return;
  const Result<std::string> path = catalog::PathInStore(*store, directory);
  if (!path.ok()) return;
  const Status recorded = catalog::RecordVerification(
      *store, *path,
      {.time = TimeNow(),
       .result =
           verified.intact() ? catalog::VerifyResult::kIntact : catalog::VerifyResult::kDamaged,
       .generation = verified.generation,
       .bytes_checked = verified.report.bytes_checked,
       .damage_count = static_cast<int64_t>(verified.report.damage.size()) +
                       (verified.comparison && verified.comparison->first_difference ? 1 : 0)});
  if (!recorded.ok()) {
    std::fprintf(stderr, "penstock: warning: the date of this verification was not recorded: %s\n",
                 recorded.error().ToString().c_str());
  }
}

Result<Verified> VerifyOne(const std::string& dataset, const VerifyArguments& arguments,
                           ProgressSink& progress, const std::stop_token& stop) {
  const auto begin = std::chrono::steady_clock::now();
  Verified verified;
  verified.dataset = dataset;
  PENSTOCK_ASSIGN_OR_RETURN(verified.report,
                            VerifyDataset(dataset, ThreadCount(arguments), progress, stop));
  // A sidecar too damaged to be read is damage found, not a failure to look.
  const Result<Dataset> opened = Dataset::Open(dataset);
  if (opened.ok()) {
    verified.generation = opened->generation();
    if (!arguments.source_file.empty()) {
      PENSTOCK_ASSIGN_OR_RETURN(verified.comparison, Compare(*opened, arguments, progress, stop));
    }
  } else if (verified.report.damage.empty() || !arguments.source_file.empty()) {
    return opened.error();
  }
  verified.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return verified;
}

std::string FramesText(const FrameRange& frames) {
  if (frames.last <= frames.first) return "";
  return frames.last - frames.first == 1
             ? fmt::format(", frame {}", frames.first)
             : fmt::format(", frames {}-{}", frames.first, frames.last - 1);
}

std::string DamageText(const Damage& damage) {
  std::string place = damage.file;
  if (damage.extent >= 0) place += fmt::format(": extent {}", damage.extent);
  return WithoutControlCharacters(
      fmt::format("{}{}: {}", place, FramesText(damage.frames), damage.message));
}

void PrintText(const Verified& verified) {
  const std::string name = WithoutControlCharacters(verified.dataset);
  for (const Damage& damage : verified.report.damage) {
    std::printf("%s: damaged: %s\n", name.c_str(), DamageText(damage).c_str());
  }
  if (verified.comparison && verified.comparison->first_difference) {
    const FrameDifference& difference = *verified.comparison->first_difference;
    std::printf(
        "%s\n",
        fmt::format("{}: differs from its source: {}: frame {} (source frame {}), pixel "
                    "({},{}): expected {}, found {}",
                    name, difference.block, difference.frame, difference.source_frame,
                    difference.row, difference.column, difference.expected, difference.found)
            .c_str());
  }
  if (verified.intact()) {
    std::string compared;
    if (verified.comparison) {
      compared =
          fmt::format(", {} frames equal to the source", verified.comparison->frames_compared);
    }
    std::printf(
        "%s\n",
        fmt::format("{}: intact: {} files, {} in {} ({}){}", name, verified.report.files_checked,
                    FormatBytes(verified.report.bytes_checked), FormatDuration(verified.seconds),
                    FormatRate(verified.report.bytes_checked, verified.seconds), compared)
            .c_str());
  }
}

OrderedJson ComparisonToJson(const SourceComparison& comparison) {
  OrderedJson json{{"frames_compared", comparison.frames_compared},
                   {"frames_without_source", comparison.frames_without_source},
                   {"frames_invalid", comparison.frames_invalid},
                   {"first_difference", nullptr}};
  if (comparison.first_difference) {
    const FrameDifference& difference = *comparison.first_difference;
    json["first_difference"] = {
        {"frame", difference.frame},       {"source_frame", difference.source_frame},
        {"block", difference.block},       {"pixel", {difference.row, difference.column}},
        {"expected", difference.expected}, {"found", difference.found}};
  }
  return json;
}

OrderedJson VerifiedToLine(const Verified& verified) {
  OrderedJson damage = OrderedJson::array();
  for (const Damage& item : verified.report.damage) {
    OrderedJson json{{"file", item.file}};
    if (item.extent >= 0) json["extent"] = item.extent;
    if (item.frames.last > item.frames.first)
      json["frames"] = {item.frames.first, item.frames.last};
    json["message"] = item.message;
    damage.push_back(std::move(json));
  }
  OrderedJson json{{"event", "result"},
                   {"dataset", verified.dataset},
                   {"intact", verified.intact()},
                   {"generation", verified.generation},
                   {"files_checked", verified.report.files_checked},
                   {"bytes_checked", verified.report.bytes_checked},
                   {"seconds", verified.seconds},
                   {"damage", std::move(damage)}};
  if (verified.comparison) json["source"] = ComparisonToJson(*verified.comparison);
  return json;
}

int Run(const VerifyArguments& arguments, const CommandContext& context) {
  if (!arguments.source_file.empty() && arguments.datasets.size() != 1) {
    return ReportError(Error::InvalidArgument("--source needs exactly one dataset"));
  }
  int status = kExitDone;
  for (const std::string& dataset : arguments.datasets) {
    const Result<Verified> verified = [&] {
      const auto progress = MakeProgressDisplay(ChooseProgressStyle(arguments.json));
      return VerifyOne(dataset, arguments, *progress, context.stop);
    }();
    if (!verified.ok()) {
      if (arguments.json) PrintJson(ErrorToJson(verified.error()));
      (void)ReportError(verified.error());
      status = kExitFailed;
      if (context.stop.stop_requested()) return status;
      continue;
    }
    if (arguments.json) {
      PrintJson(VerifiedToLine(*verified));
    } else {
      PrintText(*verified);
    }
    std::fflush(stdout);
    if (!verified->intact()) status = kExitFailed;
    Record(dataset, *verified);
  }
  return status;
}

void AddVerify(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("verify", "prove datasets against their checksums");
  auto arguments = std::make_shared<VerifyArguments>();
  command->add_option("DATASET", arguments->datasets, "dataset directories")->required();
  command->add_option("--source", arguments->source_file,
                      "compare all frames with this vendor file, too");
  AddSourceOptions(*command, arguments->source);
  command->add_option("--threads", arguments->threads, "default: one per CPU, at most 8")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--json", arguments->json, "JSON lines on standard output");
  command->callback([arguments, &context] { context.exit_status = Run(*arguments, context); });
}

const CommandRegistration kVerify(&AddVerify);

}  // namespace

}  // namespace penstock::tools
