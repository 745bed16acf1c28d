#include "tools/penstock/watch_worker.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "penstock/catalog/catalog.h"
#include "penstock/ingest/provenance.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/quantities.h"

namespace penstock::tools {

namespace {

// What may go away by itself: the store, not the source, is at fault.
bool IsTransient(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kIo:
    case ErrorKind::kNoSpace:
    case ErrorKind::kPermission:
    case ErrorKind::kTimeout:
    case ErrorKind::kBusy:
      return true;
    default:
      return false;
  }
}

WatchOutcome Failed(const Error& error) {
  WatchOutcome outcome;
  outcome.reason = error.ToString();
  outcome.is_transient = IsTransient(error.kind());
  outcome.cancelled = error.kind() == ErrorKind::kCancelled;
  return outcome;
}

// Notes of an ingest go into the log.
class LoggedProgress final : public ProgressSink {
 public:
  explicit LoggedProgress(std::string name) : name_(std::move(name)) {}
  void Begin(std::string_view, uint64_t) override {}
  void Advance(uint64_t) override {}
  void Note(std::string_view message) override { spdlog::info("{}: {}", name_, message); }
  void End() override {}

 private:
  const std::string name_;
};

}  // namespace

WatchWorkers::WatchWorkers(const WatcherOptions& options, std::stop_token stop,
                           std::function<void()> wake)
    : options_(options), stop_(std::move(stop)), wake_(std::move(wake)) {
  for (int i = 0; i < options_.at_once; ++i) threads_.emplace_back([this] { Work(); });
}

void WatchWorkers::Add(WatchJob job) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  changed_.notify_one();
}

WatchWorkers::News WatchWorkers::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(news_, {});
}

void WatchWorkers::End() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  threads_.clear();  // joins
}

void WatchWorkers::Work() {
  for (;;) {
    WatchJob job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (ending_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
      news_.started.push_back(job.key);
    }
    wake_();
    WatchOutcome outcome = Ingest(job);
    outcome.key = job.key;
    {
      const std::lock_guard lock(mutex_);
      news_.outcomes.push_back(std::move(outcome));
    }
    wake_();
  }
}

WatchOutcome WatchWorkers::Ingest(const WatchJob& job) const {
  const WatchRule& rule = (*job.rules)[job.rule];
  const auto source = job.found.Open();
  if (!source.ok()) return Failed(source.error());
  const ingest::SourceDescription& description = (*source)->description();
  const auto name =
      ExpandName(rule.name, {.relative = job.found.relative,
                             .name = description.suggested_name,
                             .format = description.format,
                             .modified_ns = description.files.front().identity.mtime_ns});
  if (!name.ok()) return Failed(name.error());
  ingest::IngestOptions options = rule.options;
  options.to = options_.store / name->parent_path() / "";
  options.name = name->filename().string();
  const int workers = options_.workers > 0
                          ? options_.workers
                          : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.workers = std::max(1, workers / options_.at_once);
  options.memory_bytes = options_.memory_bytes / static_cast<uint64_t>(options_.at_once);
  options.command_line = options_.command_line;
  const auto plan = ingest::PlanIngest(*source, job.found.path, options);
  if (!plan.ok()) return Failed(plan.error());
  const auto state = ingest::LookAtDestination(*plan, stop_);
  if (!state.ok()) return Failed(state.error());
  WatchOutcome outcome;
  outcome.destination = plan->destination.string();
  if (state->kind == ingest::DestinationKind::kSame) {
    if (const Status clean = ingest::CleanUpAfterPublication(*plan); !clean.ok()) {
      return Failed(clean.error());
    }
    outcome.ok = true;
    outcome.was_done = true;
    return outcome;
  }
  const bool may_replace = options.replace && state->kind == ingest::DestinationKind::kOther;
  if (state->kind != ingest::DestinationKind::kFree && !may_replace) {
    outcome.reason = Error::AlreadyExists(state->difference)
                         .In(job.found.path.string())
                         .Found("destination " + outcome.destination)
                         .Advice("give the rule another \"name\", or \"replace\": true")
                         .ToString();
    return outcome;
  }
  LoggedProgress progress(job.found.relative.string());
  for (const std::string& remark : plan->remarks) progress.Note("remark: " + remark);
  const auto result = ingest::RunIngest(*plan, progress, stop_);
  if (!result.ok()) {
    WatchOutcome failed = Failed(result.error());
    failed.destination = outcome.destination;
    return failed;
  }
  const std::string warning = RegisterInCatalog(
      catalog::FindStore(options_.store).value_or(options_.store), plan->destination);
  if (!warning.empty()) spdlog::warn("{}", warning);
  for (const Anomaly& anomaly : result->anomalies) {
    spdlog::warn("{}: {}", job.found.relative.string(), anomaly.message);
  }
  outcome.ok = true;
  outcome.bytes = result->frame_bytes;
  spdlog::info("{} -> {}: {} frames, {} in {}", job.found.relative.string(), outcome.destination,
               result->frames, FormatBytes(result->frame_bytes), FormatDuration(result->seconds));
  return outcome;
}

}  // namespace penstock::tools
