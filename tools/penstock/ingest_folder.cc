#include "tools/penstock/ingest_folder.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "penstock/catalog/catalog.h"
#include "penstock/dataset/dataset.h"
#include "penstock/ingest/folder.h"
#include "penstock/ingest/provenance.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/ingest_output.h"
#include "tools/penstock/job_slots.h"
#include "tools/penstock/progress_display.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;
using ingest::DestinationKind;

constexpr size_t kListedUnknown = 20;

// One acquisition's part of the progress over all folders, which is counted in the bytes of the
// vendors' files.
class PartOfProgress final : public ProgressSink {
 public:
  PartOfProgress(ProgressSink& whole, std::string name, uint64_t source_bytes)
      : whole_(whole), name_(std::move(name)), source_bytes_(source_bytes) {}
  // However it ended, it is behind us.
  ~PartOfProgress() override { Forward(source_bytes_); }

  // Before anything is reported.
  void ExpectPayload(uint64_t bytes) {
    if (bytes > 0) ratio_ = static_cast<double>(source_bytes_) / static_cast<double>(bytes);
  }

  void Begin(std::string_view phase, uint64_t /*total_bytes*/) override {
    counts_ = phase.starts_with("ingest");
  }
  void Advance(uint64_t bytes) override {
    if (!counts_) return;
    const uint64_t done = done_.fetch_add(bytes) + bytes;
    Forward(std::min(source_bytes_, static_cast<uint64_t>(static_cast<double>(done) * ratio_)));
  }
  void Note(std::string_view message) override {
    whole_.Note(fmt::format("{}: {}", name_, message));
  }
  void End() override {}

 private:
  void Forward(uint64_t reached) {
    uint64_t before = forwarded_.load();
    while (before < reached && !forwarded_.compare_exchange_weak(before, reached)) {
    }
    if (before < reached) whole_.Advance(reached - before);
  }

  ProgressSink& whole_;
  const std::string name_;
  const uint64_t source_bytes_;
  double ratio_ = 0;
  std::atomic<bool> counts_{false};
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> forwarded_{0};
};

struct Counts {
  int64_t ingested = 0;
  int64_t already_done = 0;
  int64_t with_anomalies = 0;
  int64_t failed = 0;
  int64_t unsupported = 0;
  int64_t unknown = 0;
  uint64_t bytes = 0;  // of frames written
};

class FolderIngest {
 public:
  FolderIngest(const FolderIngestOptions& options, const std::stop_token& stop)
      : options_(options),
        stop_(stop),
        store_(fs::absolute(options.store).lexically_normal() / ""),
        slots_(options.each.workers, options.each.memory_bytes) {}

  int Run(const std::vector<fs::path>& folders) {
    const auto began = std::chrono::steady_clock::now();
    uint64_t bytes = 0;
    for (const fs::path& folder : folders) bytes += ingest::MeasureFolder(folder, stop_).bytes;
    progress_ = MakeProgressDisplay(ChooseProgressStyle(options_.json));
    progress_->Begin(options_.dry_run ? "look" : "ingest", bytes);
    for (const fs::path& folder : folders) Walk(folder);
    slots_.Wait();
    progress_->End();
    progress_.reset();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    Summarise(seconds);
    if (stop_.stop_requested() || counts_.failed > 0) return kExitFailed;
    return counts_.with_anomalies + counts_.unsupported > 0 ? kExitAnomalies : kExitDone;
  }

 private:
  void Walk(const fs::path& root) {
    ingest::FolderExaminer examiner(root, {});
    std::vector<fs::path> folders{root};
    while (!folders.empty() && !stop_.stop_requested()) {
      const fs::path folder = std::move(folders.back());
      folders.pop_back();
      auto contents = examiner.Examine(folder, stop_);
      if (!contents.ok()) {
        if (contents.error().kind() != ErrorKind::kCancelled) Fail(folder, contents.error());
        continue;
      }
      for (const ingest::LeftOut& left : contents->failed) {
        progress_->Advance(left.bytes);
        Fail(left.path, left.reason);
      }
      for (const ingest::LeftOut& left : contents->unsupported) Leave("unsupported", left);
      for (const ingest::LeftOut& left : contents->unknown) Leave("unknown", left);
      for (ingest::FoundAcquisition& found : contents->acquisitions) {
        if (stop_.stop_requested()) return;
        Start(std::move(found));
      }
      // Depth first, by name.
      folders.insert(folders.end(), contents->folders.rbegin(), contents->folders.rend());
    }
  }

  // Plans it, and runs it as soon as there is room.
  void Start(ingest::FoundAcquisition found) {
    auto part = std::make_shared<PartOfProgress>(*progress_, found.relative.string(), found.bytes);
    auto source = found.Open();
    if (!source.ok()) return Fail(found.path, source.error());
    ingest::IngestOptions options = options_.each;
    options.to = store_ / found.relative.parent_path() / "";
    auto planned = ingest::PlanIngest(*source, found.path, options);
    if (!planned.ok()) return Fail(found.path, planned.error());
    auto plan = std::make_shared<ingest::IngestPlan>(*std::move(planned));
    if (const auto taken = claimed_.Claim(plan->destination)) {
      return Fail(found.path, Error::AlreadyExists("another acquisition has this name")
                                  .In(found.path.string())
                                  .Found(taken->string() + " is in the way")
                                  .Advice("ingest it by itself, with a name of its own: --to " +
                                          plan->destination.string() + "_2"));
    }
    const auto state = ingest::LookAtDestination(*plan, stop_);
    if (!state.ok()) return Fail(found.path, state.error());
    if (state->kind == DestinationKind::kSame && !options.replace) {
      if (!options_.dry_run) {
        if (const Status clean = ingest::CleanUpAfterPublication(*plan); !clean.ok()) {
          progress_->Note(clean.error().ToString());
        }
      }
      return Skip(*plan);
    }
    const bool may_replace = options.replace && (state->kind == DestinationKind::kSame ||
                                                 state->kind == DestinationKind::kOther);
    if (state->kind != DestinationKind::kFree && !may_replace) {
      return Fail(found.path, ExistsError(*plan, *state));
    }
    if (options_.dry_run) return Show(*plan);
    part->ExpectPayload(plan->shape.payload_bytes());
    slots_.Run(plan->workers, plan->memory_bytes, stop_,
               [this, plan, part] { Ingest(*plan, *part); });
  }

  void Ingest(const ingest::IngestPlan& plan, ProgressSink& part) {
    const auto result = ingest::RunIngest(plan, part, stop_);
    if (!result.ok()) {
      if (result.error().kind() == ErrorKind::kCancelled && stop_.stop_requested()) return;
      return Fail(plan.source_path, result.error());
    }
    const std::string warning = RegisterInCatalog(
        catalog::FindStore(store_).value_or(store_.parent_path()), plan.destination);
    const std::lock_guard lock(mutex_);
    if (!warning.empty()) progress_->Note("penstock: warning: " + warning);
    ++counts_.ingested;
    counts_.bytes += result->frame_bytes;
    if (!result->anomalies.empty() || !plan.anomalies.empty()) ++counts_.with_anomalies;
    if (options_.json) {
      OrderedJson json = ResultToJson(*result);
      json["source"] = plan.source_path.string();
      PrintJson(json);
    } else {
      std::fputs(ResultText(*result).c_str(), stdout);
      std::fflush(stdout);
    }
  }

  static Error ExistsError(const ingest::IngestPlan& plan, const ingest::DestinationState& state) {
    std::string advice = "ingest it by itself, with a name of its own";
    if (state.kind == DestinationKind::kOther) {
      advice = "give --replace to replace it once the new one is whole, or " + advice;
    } else if (state.kind == DestinationKind::kGrowing) {
      advice = "give 'penstock ingest " + plan.source_path.string() + " --follow' to finish it";
    }
    return Error::AlreadyExists(state.difference)
        .In(plan.source_path.string())
        .Found("destination " + plan.destination.string())
        .Advice(advice);
  }

  void Fail(const fs::path& path, const Error& error) {
    const std::lock_guard lock(mutex_);
    ++counts_.failed;
    if (options_.json) {
      OrderedJson json = ErrorToJson(error);
      json["source"] = path.string();
      PrintJson(json);
    }
    std::string text = error.ToString();
    if (error.file().empty()) text = path.string() + ": " + text;
    if (!options_.json) progress_->Note("penstock: " + text);
  }

  void Leave(const char* event, const ingest::LeftOut& left) {
    progress_->Advance(left.bytes);
    const std::lock_guard lock(mutex_);
    const bool unknown = std::string_view(event) == "unknown";
    ++(unknown ? counts_.unknown : counts_.unsupported);
    if (options_.json) {
      PrintJson({{"event", event},
                 {"file", left.path.string()},
                 {"bytes", left.bytes},
                 {"message", left.reason.what()},
                 {"found", left.reason.found()}});
    } else if (!unknown) {
      progress_->Note("penstock: left out: " + left.reason.ToString());
    } else if (unknown_.size() < kListedUnknown) {
      unknown_.push_back(fmt::format("{}: {}", left.path.string(), left.reason.what()));
    }
  }

  void Skip(const ingest::IngestPlan& plan) {
    const std::lock_guard lock(mutex_);
    ++counts_.already_done;
    if (!options_.json) return;
    PrintJson({{"event", "skipped"},
               {"source", plan.source_path.string()},
               {"destination", plan.destination.string()},
               {"reason", "ingested before from the same files"}});
  }

  void Show(const ingest::IngestPlan& plan) {
    const std::lock_guard lock(mutex_);
    ++counts_.ingested;
    counts_.bytes += plan.shape.payload_bytes();
    if (!plan.anomalies.empty()) ++counts_.with_anomalies;
    if (options_.json) {
      PrintJson(PlanToJson(plan, {}));
      return;
    }
    std::fputs(fmt::format("{} ({}): {} frames of {} x {}, {} -> {}\n", plan.source_path.string(),
                           plan.source->description().format, plan.shape.frame_count(),
                           plan.shape.signal.rows, plan.shape.signal.columns,
                           FormatBytes(plan.shape.payload_bytes()), plan.destination.string())
                   .c_str(),
               stdout);
  }

  void Summarise(double seconds) const {
    if (options_.json) {
      PrintJson({{"event", "summary"},
                 {"dry_run", options_.dry_run},
                 {"stopped", stop_.stop_requested()},
                 {"ingested", counts_.ingested},
                 {"already_done", counts_.already_done},
                 {"with_anomalies", counts_.with_anomalies},
                 {"failed", counts_.failed},
                 {"unsupported", counts_.unsupported},
                 {"unknown", counts_.unknown},
                 {"bytes", counts_.bytes},
                 {"seconds", seconds}});
      return;
    }
    std::string text = fmt::format(
        "{} {} ({} in {}), {} done before, {} with anomalies, {} failed, {} not supported, {} "
        "unknown files\n",
        counts_.ingested, options_.dry_run ? "to ingest" : "ingested", FormatBytes(counts_.bytes),
        FormatDuration(seconds), counts_.already_done, counts_.with_anomalies, counts_.failed,
        counts_.unsupported, counts_.unknown);
    for (const std::string& line : unknown_) text += "  unknown  " + line + "\n";
    if (counts_.unknown > static_cast<int64_t>(unknown_.size())) {
      text +=
          fmt::format("  and {} more\n", counts_.unknown - static_cast<int64_t>(unknown_.size()));
    }
    if (stop_.stop_requested()) text += "stopped: the same command continues\n";
    std::fputs(text.c_str(), stdout);
  }

  const FolderIngestOptions& options_;
  const std::stop_token stop_;
  const fs::path store_;  // ends with '/'
  std::unique_ptr<ProgressSink> progress_;
  ClaimedNames claimed_;
  std::mutex mutex_;  // guards what follows, and keeps lines whole
  Counts counts_;
  std::vector<std::string> unknown_;
  JobSlots slots_;  // last: its jobs use everything above
};

}  // namespace

std::optional<fs::path> ClaimedNames::Claim(const fs::path& directory) {
  for (fs::path above = directory; above.has_relative_path(); above = above.parent_path()) {
    if (taken_.contains(above)) return above;
  }
  // A taken name below would come right behind it.
  const auto below = taken_.lower_bound(directory / "");
  if (below != taken_.end()) {
    const auto [end, rest] =
        std::mismatch(directory.begin(), directory.end(), below->begin(), below->end());
    if (end == directory.end()) return *below;
  }
  taken_.insert(directory);
  return std::nullopt;
}

int IngestFolders(const std::vector<fs::path>& folders, const FolderIngestOptions& options,
                  const std::stop_token& stop) {
  if (LooksLikeDataset(options.store)) {
    return ReportError(Error::InvalidArgument("a dataset cannot lie inside another one")
                           .In(options.store.string())
                           .Advice("name a store"));
  }
  std::vector<fs::path> roots;
  for (const fs::path& folder : folders) {
    fs::path root = fs::absolute(folder).lexically_normal();
    if (!root.has_filename()) root = root.parent_path();
    if (LooksLikeDataset(root)) {
      return ReportError(Error::InvalidArgument("this is a dataset of penstock, not a source")
                             .In(root.string())
                             .Expected("a folder with detector files"));
    }
    roots.push_back(std::move(root));
  }
  return FolderIngest(options, stop).Run(roots);
}

}  // namespace penstock::tools
