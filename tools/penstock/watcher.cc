#include "tools/penstock/watcher.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_set>
#include <utility>

#include "penstock/catalog/catalog.h"
#include "penstock/dataset/checksum.h"
#include "penstock/ingest/folder.h"
#include "penstock/ingest/provenance.h"
#include "tools/penstock/completion.h"
#include "tools/penstock/folder_monitor.h"
#include "tools/penstock/ingest_arguments.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/service_notify.h"
#include "tools/penstock/watch_status.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick{1000};
// Without the vendor's mark of completion an acquisition has to be still for so many times longer.
constexpr int kUnmarkedFactor = 3;
constexpr milliseconds kLongestBackoff{3'600'000};
constexpr size_t kRecent = 50;

// Written to by the signal handler, and to wake the loop.
int g_wake_fd = -1;
volatile std::sig_atomic_t g_reload = 0;

void Wake() {
  const uint64_t one = 1;
  if (g_wake_fd >= 0) (void)!write(g_wake_fd, &one, sizeof one);
}

void OnHangup(int /*signal*/) {
  g_reload = 1;
  Wake();
}

// A file in one state, as a number.
uint64_t Fingerprint(const fs::path& path, const FileIdentity& identity) {
  const std::string text = fmt::format("{}\n{}\n{}\n{}", path.string(), identity.inode,
                                       identity.size, identity.mtime_ns);
  return HashExtent(AsBytes(text));
}

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

struct FileState {
  uint64_t fingerprint = 0;
  Clock::time_point since;  // seen like that for the first time
};

struct FolderState {
  std::map<fs::path, FileState> files;
  Clock::time_point next_look = Clock::time_point::max();
  std::set<fs::path> waiting;  // acquisitions that this folder waits for
};

struct Acquisition {
  ingest::FoundAcquisition found;
  size_t rule = 0;
  std::vector<uint64_t> fingerprints;  // of its files
  fs::path folder;
  WatchedAcquisition shown;
  milliseconds backoff{0};
  Clock::time_point retry = Clock::time_point::max();
};

struct Outcome {
  fs::path key;
  bool ok = false;
  bool cancelled = false;
  bool was_done = false;
  std::string destination;
  std::string reason;
  bool is_transient = false;
  uint64_t bytes = 0;
};

}  // namespace

class Watcher::State {
 public:
  State(WatcherOptions options, std::vector<WatchRule> rules)
      : options_(std::move(options)),
        rules_(std::make_shared<const std::vector<WatchRule>>(std::move(rules))),
        monitor_(options_.folder),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    g_wake_fd = wake_.get();
    struct sigaction action {};
    action.sa_handler = OnHangup;
    action.sa_flags = SA_RESTART;
    sigaction(SIGHUP, &action, nullptr);
    report_.folder = options_.folder.string();
    report_.store = options_.store.string();
    report_.rules = options_.rules.string();
    report_.rule_count = rules_->size();
    report_.started = TimeText();
  }
  ~State() { g_wake_fd = -1; }

  bool Run(const std::stop_token& stop) {
    const std::stop_callback wake(stop, [] { Wake(); });
    std::vector<std::jthread> workers;
    for (int i = 0; i < options_.at_once; ++i) workers.emplace_back([this, stop] { Work(stop); });
    LookAtAll();
    NotifyService(fmt::format("READY=1\nSTATUS=watching {}", options_.folder.string()));
    spdlog::info("watching {} for {} ({} rules)", options_.folder.string(), options_.store.string(),
                 rules_->size());
    const auto watchdog = WatchdogInterval();
    auto last_ping = Clock::now();
    while (!stop.stop_requested()) {
      if (g_reload != 0) {
        g_reload = 0;
        Reload();
      }
      if (Clock::now() - last_walk_ >= options_.rescan) LookAtAll();
      for (const fs::path& folder : monitor_.TakeChanged()) LookSoon(folder);
      TakeOutcomes();
      LookAtDue();
      Retry();
      WriteReports(false);
      if (options_.until_idle && IsIdle()) break;
      if (watchdog && Clock::now() - last_ping >= *watchdog / 2) {
        NotifyService("WATCHDOG=1");
        last_ping = Clock::now();
      }
      Sleep(watchdog);
    }
    NotifyService("STOPPING=1");
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    workers.clear();  // joins
    TakeOutcomes();
    WriteReports(true);
    spdlog::info("stopped; {} ingested, {} failed attempts", report_.ingested, report_.failures);
    return CountOf(WatchState::kFailed) == 0;
  }

 private:
  // --- looking -----------------------------------------------------------------------------------

  void LookAtAll() {
    const std::set<fs::path> folders = monitor_.Walk();
    if (monitor_.complaint() != report_.complaint) {
      report_.complaint = monitor_.complaint();
      spdlog::warn("{}; they are looked at every {} s", report_.complaint,
                   options_.rescan.count() / 1000);
    }
    std::erase_if(folders_,
                  [&folders](const auto& known) { return !folders.contains(known.first); });
    std::erase_if(acquisitions_, [&folders](const auto& known) {
      return !folders.contains(known.second.folder) &&
             known.second.shown.state != WatchState::kQueued &&
             known.second.shown.state != WatchState::kIngesting;
    });
    for (const fs::path& folder : folders) folders_[folder].next_look = Clock::now();
    last_walk_ = Clock::now();
  }

  void LookSoon(const fs::path& folder) {
    FolderState& state = folders_[folder];
    state.next_look =
        std::min(state.next_look, Clock::now() + std::min<milliseconds>(options_.quiet / 4, kTick));
  }

  void LookAtDue() {
    const auto now = Clock::now();
    std::vector<fs::path> due;
    for (const auto& [folder, state] : folders_) {
      if (state.next_look <= now) due.push_back(folder);
    }
    for (const fs::path& folder : due) {
      Look(folder, folders_[folder]);
    }
  }

  milliseconds QuietOf(const WatchRule* rule) const {
    return rule != nullptr && rule->quiet ? *rule->quiet : options_.quiet;
  }
  const WatchRule* RuleOf(const fs::path& path) const {
    return FindRule(*rules_, path.lexically_relative(options_.folder));
  }

  void Look(const fs::path& folder, FolderState& state) {
    const auto now = Clock::now();
    state.next_look = Clock::time_point::max();
    if (!TakeFiles(folder, state, now)) {
      Forget(std::exchange(state.waiting, {}), {});
      return;
    }
    const auto settled_at = [this, &state](const fs::path& path) {
      const auto file = state.files.find(path);
      // In another folder, or not there when the files were listed: as if it had just come.
      if (file == state.files.end()) return Clock::now() + options_.quiet;
      return file->second.since + QuietOf(RuleOf(path));
    };
    ingest::FolderOptions options;
    options.choose = [this](const fs::path& relative) -> std::optional<ingest::OpenChoice> {
      const WatchRule* rule = FindRule(*rules_, relative);
      if (rule == nullptr || rule->ignore) return std::nullopt;
      return ingest::OpenChoice{rule->options.format, rule->options.open, rule - rules_->data()};
    };
    options.is_settled = [&settled_at, &folder, now](const fs::path& path) {
      return path.parent_path() != folder || settled_at(path) <= now;
    };
    options.is_done = [this, &state](const fs::path& path) {
      const auto file = state.files.find(path);
      return file != state.files.end() && handled_.contains(file->second.fingerprint);
    };
    auto contents = ingest::FolderExaminer(options_.folder, options).Examine(folder, {});
    if (!contents.ok()) {
      spdlog::warn("{}", contents.error().ToString());
      return;
    }
    std::set<fs::path> waiting;
    for (const fs::path& path : contents->unsettled) {
      Wait(path, folder, "still being written", waiting);
    }
    if (!contents->unsettled.empty()) {
      state.next_look = now + options_.quiet;
      for (const auto& [path, file] : state.files) {
        const auto settled = settled_at(path);
        if (settled > now) state.next_look = std::min(state.next_look, settled);
      }
    }
    for (const ingest::LeftOut& left : contents->unknown) {
      ++report_.unknown_files;
      Handle(state, left.path);
      spdlog::debug("left alone: {}", left.reason.ToString());
    }
    for (const auto* list : {&contents->unsupported, &contents->failed}) {
      for (const ingest::LeftOut& left : *list) FailToOpen(left, folder, state);
    }
    for (ingest::FoundAcquisition& found : contents->acquisitions) {
      Consider(std::move(found), folder, state, now, waiting);
    }
    Forget(state.waiting, waiting);
    state.waiting = std::move(waiting);
    changed_report_ = true;
  }

  // What is not waited for any more is known by another name now, or gone.
  void Forget(const std::set<fs::path>& before, const std::set<fs::path>& waiting) {
    for (const fs::path& path : before) {
      const auto known = acquisitions_.find(path);
      if (waiting.contains(path) || known == acquisitions_.end()) continue;
      if (known->second.shown.state == WatchState::kWaiting) acquisitions_.erase(known);
    }
    changed_report_ = true;
  }

  // Lists the folder; false where nothing has to be opened.
  bool TakeFiles(const fs::path& folder, FolderState& state, Clock::time_point now) {
    std::map<fs::path, FileState> files;
    std::error_code problem;
    bool all_handled = true;
    for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end;
         entry.increment(problem)) {
      std::error_code ignored;
      if (!ingest::IsVisibleName(entry->path()) ||
          entry->symlink_status(ignored).type() != fs::file_type::regular) {
        continue;
      }
      const auto identity = IdentifyFile(entry->path());
      if (!identity.ok()) continue;
      FileState file{Fingerprint(entry->path(), *identity), now};
      const auto before = state.files.find(entry->path());
      if (before != state.files.end() && before->second.fingerprint == file.fingerprint) {
        file.since = before->second.since;
      }
      all_handled = all_handled && handled_.contains(file.fingerprint);
      files.emplace(entry->path(), file);
    }
    if (problem && problem.value() != ENOENT) {
      spdlog::warn("cannot list {}: {}", folder.string(), problem.message());
    }
    // What is done or failed and whose file is gone or another now is forgotten.
    for (auto known = acquisitions_.begin(); known != acquisitions_.end();) {
      const WatchState shown = known->second.shown.state;
      const bool is_over = shown == WatchState::kFailed || shown == WatchState::kDone;
      const bool is_here = known->second.folder == folder;
      const auto file = files.find(known->first);
      const bool is_same = file != files.end() && handled_.contains(file->second.fingerprint);
      known = is_here && is_over && !is_same ? acquisitions_.erase(known) : std::next(known);
    }
    if (all_handled) {
      files.clear();  // a folder with nothing to wait for costs no memory
    }
    state.files = std::move(files);
    return !all_handled;
  }

  void Handle(const FolderState& state, const fs::path& path) {
    const auto file = state.files.find(path);
    if (file != state.files.end()) handled_.insert(file->second.fingerprint);
  }

  void Wait(const fs::path& path, const fs::path& folder, const std::string& reason,
            std::set<fs::path>& waiting) {
    waiting.insert(path);
    Acquisition& acquisition = acquisitions_[path];
    acquisition.folder = folder;
    if (acquisition.shown.state != WatchState::kWaiting || acquisition.shown.source.empty()) {
      acquisition.shown.since = TimeText();
      acquisition.shown.state = WatchState::kWaiting;
    }
    acquisition.shown.source = path.string();
    acquisition.shown.reason = reason;
  }

  void FailToOpen(const ingest::LeftOut& left, const fs::path& folder, const FolderState& state) {
    Handle(state, left.path);
    Acquisition& acquisition = acquisitions_[left.path];
    acquisition.folder = folder;
    Fail(acquisition, left.path, left.reason.ToString());
  }

  void Fail(Acquisition& acquisition, const fs::path& path, const std::string& reason) {
    ++report_.failures;
    acquisition.shown = {path.string(), WatchState::kFailed, acquisition.shown.destination, reason,
                         TimeText()};
    changed_report_ = true;
    spdlog::error("{}", reason.find(path.string()) == std::string::npos
                            ? path.string() + ": " + reason
                            : reason);
  }

  void Consider(ingest::FoundAcquisition found, const fs::path& folder, FolderState& state,
                Clock::time_point now, std::set<fs::path>& waiting) {
    const fs::path key = found.path;
    if (const auto known = acquisitions_.find(key); known != acquisitions_.end()) {
      const WatchState shown = known->second.shown.state;
      if (shown == WatchState::kQueued || shown == WatchState::kIngesting) return;
    }
    const WatchRule& rule = (*rules_)[static_cast<size_t>(found.choice.rule)];
    const auto source = found.Open();
    if (source.ok()) {
      const Completion completion = CompletionOf((*source)->description());
      auto still_since = Clock::time_point::min();
      for (const fs::path& file : found.files) {
        const auto seen = state.files.find(file);
        if (seen != state.files.end()) still_since = std::max(still_since, seen->second.since);
      }
      const auto ready = still_since + QuietOf(&rule) * kUnmarkedFactor;
      if (!completion.is_marked && now < ready) {
        state.next_look = std::min(state.next_look, ready);
        Wait(key, folder, completion.missing_mark, waiting);
        return;
      }
    }
    // It may have been known by another of its files.
    for (const fs::path& file : found.files) {
      const auto other = acquisitions_.find(file);
      if (file == key || other == acquisitions_.end()) continue;
      const WatchState shown = other->second.shown.state;
      if (shown != WatchState::kQueued && shown != WatchState::kIngesting)
        acquisitions_.erase(other);
    }
    found.source.reset();  // many may be queued
    Acquisition& acquisition = acquisitions_[key];
    acquisition.folder = folder;
    acquisition.rule = static_cast<size_t>(found.choice.rule);
    acquisition.fingerprints.clear();
    for (const fs::path& file : found.files) {
      const auto seen = state.files.find(file);
      if (seen != state.files.end()) acquisition.fingerprints.push_back(seen->second.fingerprint);
    }
    if (const auto seen = state.files.find(key); seen != state.files.end()) {
      acquisition.fingerprints.push_back(seen->second.fingerprint);
    }
    acquisition.found = std::move(found);
    acquisition.backoff = milliseconds(0);
    Enqueue(key, acquisition);
  }

  void Enqueue(const fs::path& key, Acquisition& acquisition) {
    acquisition.retry = Clock::time_point::max();
    acquisition.shown = {key.string(), WatchState::kQueued, "", "", TimeText()};
    changed_report_ = true;
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back({key, acquisition.found, rules_, acquisition.rule});
    }
    changed_.notify_one();
  }

  void Retry() {
    const auto now = Clock::now();
    for (auto& [key, acquisition] : acquisitions_) {
      if (acquisition.shown.state == WatchState::kFailed && acquisition.retry <= now) {
        Enqueue(key, acquisition);
      }
    }
  }

  // --- ingesting, on threads of its own ----------------------------------------------------------

  struct Job {
    fs::path key;
    ingest::FoundAcquisition found;
    std::shared_ptr<const std::vector<WatchRule>> rules;
    size_t rule = 0;
  };

  void Work(const std::stop_token& stop) {
    for (;;) {
      Job job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
        if (ending_) return;
        job = std::move(queue_.front());
        queue_.pop_front();
        started_.push_back(job.key);
      }
      Wake();
      Outcome outcome = Ingest(job, stop);
      outcome.key = job.key;
      {
        const std::lock_guard lock(mutex_);
        outcomes_.push_back(std::move(outcome));
      }
      Wake();
    }
  }

  static Outcome Failed(const Error& error) {
    Outcome outcome;
    outcome.reason = error.ToString();
    outcome.is_transient = IsTransient(error.kind());
    outcome.cancelled = error.kind() == ErrorKind::kCancelled;
    return outcome;
  }

  Outcome Ingest(const Job& job, const std::stop_token& stop) const {
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
    const auto state = ingest::LookAtDestination(*plan, stop);
    if (!state.ok()) return Failed(state.error());
    Outcome outcome;
    outcome.destination = plan->destination.string();
    if (state->kind == ingest::DestinationKind::kSame) {
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
    const auto result = ingest::RunIngest(*plan, progress, stop);
    if (!result.ok()) {
      Outcome failed = Failed(result.error());
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

  void TakeOutcomes() {
    std::vector<Outcome> outcomes;
    std::vector<fs::path> started;
    {
      const std::lock_guard lock(mutex_);
      outcomes.swap(outcomes_);
      started.swap(started_);
    }
    for (const fs::path& key : started) {
      Acquisition& acquisition = acquisitions_[key];
      acquisition.shown.state = WatchState::kIngesting;
      acquisition.shown.since = TimeText();
      changed_report_ = true;
    }
    for (const Outcome& outcome : outcomes) TakeOutcome(outcome);
  }

  void TakeOutcome(const Outcome& outcome) {
    Acquisition& acquisition = acquisitions_[outcome.key];
    acquisition.shown.destination = outcome.destination;
    changed_report_ = true;
    if (outcome.cancelled) {
      acquisition.shown.state = WatchState::kQueued;
      return;
    }
    handled_.insert(acquisition.fingerprints.begin(), acquisition.fingerprints.end());
    LookSoon(acquisition.folder);  // for what came meanwhile
    if (!outcome.ok) {
      Fail(acquisition, outcome.key, outcome.reason);
      if (!outcome.is_transient) return;
      acquisition.backoff = std::clamp(
          acquisition.backoff * 2, std::max<milliseconds>(options_.quiet, kTick), kLongestBackoff);
      acquisition.retry = Clock::now() + acquisition.backoff;
      return;
    }
    acquisition.shown.state = WatchState::kDone;
    acquisition.shown.since = TimeText();
    acquisition.shown.reason.clear();
    if (!outcome.was_done) {
      ++report_.ingested;
      report_.bytes += outcome.bytes;
      report_.last_success_unix = static_cast<int64_t>(std::time(nullptr));
      report_.recent.push_back(acquisition.shown);
      if (report_.recent.size() > kRecent) report_.recent.pop_front();
    }
    acquisition.found = {};
    acquisition.fingerprints = {};
  }

  // --- the rest ----------------------------------------------------------------------------------

  void Reload() {
    if (options_.rules.empty()) return;
    NotifyService(fmt::format(
        "RELOADING=1\nMONOTONIC_USEC={}",
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch())
            .count()));
    auto rules = ReadWatchRules(options_.rules);
    if (!rules.ok()) {
      report_.rules_error = rules.error().ToString();
      spdlog::error("the rules stay as they were: {}", report_.rules_error);
    } else {
      report_.rules_error.clear();
      rules_ = std::make_shared<const std::vector<WatchRule>>(*std::move(rules));
      report_.rule_count = rules_->size();
      // Another rule may do better, or take what none took; what is done is told by the store.
      handled_.clear();
      report_.unknown_files = 0;
      std::erase_if(acquisitions_, [](const auto& known) {
        return known.second.shown.state != WatchState::kQueued &&
               known.second.shown.state != WatchState::kIngesting;
      });
      spdlog::info("{} rules loaded", rules_->size());
    }
    changed_report_ = true;
    LookAtAll();
    NotifyService("READY=1");
  }

  int64_t CountOf(WatchState state) const {
    return std::ranges::count_if(
        acquisitions_, [state](const auto& known) { return known.second.shown.state == state; });
  }

  bool IsIdle() const {
    return CountOf(WatchState::kWaiting) + CountOf(WatchState::kQueued) +
                   CountOf(WatchState::kIngesting) ==
               0 &&
           std::ranges::none_of(folders_, [](const auto& known) {
             return known.second.next_look != Clock::time_point::max();
           });
  }

  void WriteReports(bool is_last) {
    const auto now = Clock::now();
    const bool is_due = changed_report_ && now - last_report_ >= std::min(kTick, options_.quiet);
    if (!is_last && !is_due && now - last_report_ < options_.rescan) return;
    last_report_ = now;
    changed_report_ = false;
    report_.open.clear();
    report_.counts = {};
    for (const auto& [key, acquisition] : acquisitions_) {
      ++report_.counts[static_cast<size_t>(acquisition.shown.state)];
      if (acquisition.shown.state != WatchState::kDone) report_.open.push_back(acquisition.shown);
    }
    for (const auto& [path, write] : {std::pair(options_.status_file, &WriteStatusFile),
                                      std::pair(options_.metrics_file, &WriteMetricsFile)}) {
      if (path.empty()) continue;
      const Status written = write(path, report_);
      if (!written.ok()) spdlog::warn("{}", written.error().ToString());
    }
    NotifyService(fmt::format("STATUS=watching {}: {} waiting, {} in work, {} done, {} failed",
                              report_.folder, report_.counts[0],
                              report_.counts[1] + report_.counts[2], report_.counts[3],
                              report_.counts[4]));
  }

  void Sleep(const std::optional<std::chrono::microseconds>& watchdog) {
    auto until = Clock::now() + kTick;
    if (watchdog) until = std::min(until, Clock::now() + *watchdog / 4);
    until = std::min(until, last_walk_ + options_.rescan);
    for (const auto& [folder, state] : folders_) until = std::min(until, state.next_look);
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    pollfd descriptors[2] = {{wake_.get(), POLLIN, 0}, {monitor_.fd(), POLLIN, 0}};
    (void)poll(descriptors, monitor_.fd() >= 0 ? 2 : 1,
               static_cast<int>(std::clamp<int64_t>(left.count(), 1, 60'000)));
    uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof count);
  }

  const WatcherOptions options_;
  std::shared_ptr<const std::vector<WatchRule>> rules_;
  FolderMonitor monitor_;
  FileDescriptor wake_;
  std::map<fs::path, FolderState> folders_;
  std::map<fs::path, Acquisition> acquisitions_;  // by what they are opened by
  // Fingerprints of files that are done, failed or unknown, until they change.
  std::unordered_set<uint64_t> handled_;
  WatchReport report_;
  bool changed_report_ = true;
  Clock::time_point last_report_{};
  Clock::time_point last_walk_{};

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Job> queue_;
  std::vector<fs::path> started_;
  std::vector<Outcome> outcomes_;
  bool ending_ = false;
};

Watcher::Watcher(WatcherOptions options, std::vector<WatchRule> rules)
    : state_(std::make_unique<State>(std::move(options), std::move(rules))) {}
Watcher::~Watcher() = default;

bool Watcher::Run(const std::stop_token& stop) { return state_->Run(stop); }

}  // namespace penstock::tools
