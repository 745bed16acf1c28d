#include "tools/penstock/watcher.h"

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <optional>
#include <utility>

#include "penstock/base/file.h"
#include "tools/penstock/service_notify.h"
#include "tools/penstock/watch_book.h"
#include "tools/penstock/watch_folders.h"
#include "tools/penstock/watch_worker.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

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

}  // namespace

class Watcher::State {
 public:
  State(WatcherOptions options, std::vector<WatchRule> rules)
      : options_(std::move(options)),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        book_(options_),
        folders_(options_, book_,
                 [this](const fs::path& key, WatchEntry& entry) { Enqueue(key, entry); }) {
    g_wake_fd = wake_.get();
    struct sigaction action {};
    action.sa_handler = OnHangup;
    action.sa_flags = SA_RESTART;
    sigaction(SIGHUP, &action, nullptr);
    SetRules(std::move(rules));
  }
  ~State() { g_wake_fd = -1; }

  bool Run(const std::stop_token& stop) {
    const std::stop_callback wake(stop, [] { Wake(); });
    workers_.emplace(options_, stop, Wake);
    folders_.LookAtAll();
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
      folders_.NoticeChanges();
      TakeNews();
      folders_.LookAtDue();
      Retry();
      book_.Report(false);
      if (options_.until_idle && IsIdle()) break;
      if (watchdog && Clock::now() - last_ping >= *watchdog / 2) {
        NotifyService("WATCHDOG=1");
        last_ping = Clock::now();
      }
      Sleep(watchdog);
    }
    NotifyService("STOPPING=1");
    workers_->End();
    TakeNews();
    book_.Report(true);
    workers_.reset();
    spdlog::info("stopped; {} ingested, {} failed attempts", book_.report().ingested,
                 book_.report().failures);
    return book_.CountOf(WatchState::kFailed) == 0;
  }

 private:
  void SetRules(std::vector<WatchRule> rules) {
    rules_ = std::make_shared<const std::vector<WatchRule>>(std::move(rules));
    folders_.SetRules(rules_);
    book_.report().rule_count = rules_->size();
  }

  void Reload() {
    if (options_.rules.empty()) return;
    NotifyService(fmt::format(
        "RELOADING=1\nMONOTONIC_USEC={}",
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch())
            .count()));
    auto rules = ReadWatchRules(options_.rules);
    WatchReport& report = book_.report();
    if (!rules.ok()) {
      report.rules_error = rules.error().ToString();
      spdlog::error("the rules stay as they were: {}", report.rules_error);
    } else {
      report.rules_error.clear();
      // Another rule may do better, or take what none took; what is done is told by the store.
      SetRules(*std::move(rules));
      report.unknown_files = 0;
      std::erase_if(book_.entries(),
                    [](const auto& known) { return !known.second.is_under_way(); });
      spdlog::info("{} rules loaded", rules_->size());
    }
    book_.Changed();
    folders_.LookAtAll();
    NotifyService("READY=1");
  }

  void Enqueue(const fs::path& key, WatchEntry& entry) {
    entry.retry = Clock::time_point::max();
    entry.shown = {key.string(), WatchState::kQueued, "", "", TimeText()};
    book_.Changed();
    workers_->Add({key, entry.found, rules_, entry.rule});
  }

  void Retry() {
    const auto now = Clock::now();
    for (auto& [key, entry] : book_.entries()) {
      if (entry.shown.state == WatchState::kFailed && entry.retry <= now) Enqueue(key, entry);
    }
  }

  void TakeNews() {
    const WatchWorkers::News news = workers_->Take();
    for (const fs::path& key : news.started) {
      WatchEntry& entry = book_.entries()[key];
      entry.shown.state = WatchState::kIngesting;
      entry.shown.since = TimeText();
      book_.Changed();
    }
    for (const WatchOutcome& outcome : news.outcomes) TakeOutcome(outcome);
  }

  void TakeOutcome(const WatchOutcome& outcome) {
    WatchEntry& entry = book_.entries()[outcome.key];
    entry.shown.destination = outcome.destination;
    book_.Changed();
    if (outcome.cancelled) {
      entry.shown.state = WatchState::kQueued;
      return;
    }
    folders_.Handle(entry.fingerprints);
    folders_.LookSoon(entry.folder);  // for what came meanwhile
    if (!outcome.ok) {
      book_.Fail(outcome.key, entry.folder, outcome.reason);
      if (!outcome.is_transient) return;
      entry.backoff = std::clamp(
          entry.backoff * 2, std::max<milliseconds>(options_.quiet, kWatchTick), kLongestBackoff);
      entry.retry = Clock::now() + entry.backoff;
      return;
    }
    entry.shown.state = WatchState::kDone;
    entry.shown.since = TimeText();
    entry.shown.reason.clear();
    if (!outcome.was_done) {
      WatchReport& report = book_.report();
      ++report.ingested;
      report.bytes += outcome.bytes;
      report.last_success_unix = static_cast<int64_t>(std::time(nullptr));
      report.recent.push_back(entry.shown);
      if (report.recent.size() > kRecent) report.recent.pop_front();
    }
    entry.found = {};
    entry.fingerprints = {};
  }

  bool IsIdle() const {
    return book_.CountOf(WatchState::kWaiting) + book_.CountOf(WatchState::kQueued) +
                   book_.CountOf(WatchState::kIngesting) ==
               0 &&
           folders_.IsIdle();
  }

  void Sleep(const std::optional<std::chrono::microseconds>& watchdog) {
    auto until = Clock::now() + kWatchTick;
    if (watchdog) until = std::min(until, Clock::now() + *watchdog / 4);
    until = std::min(until, folders_.NextLook());
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    const int monitor = folders_.monitor_fd();
    pollfd descriptors[2] = {{wake_.get(), POLLIN, 0}, {monitor, POLLIN, 0}};
    (void)poll(descriptors, monitor >= 0 ? 2 : 1,
               static_cast<int>(std::clamp<int64_t>(left.count(), 1, 60'000)));
    uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof count);
  }

  const WatcherOptions options_;
  std::shared_ptr<const std::vector<WatchRule>> rules_;
  FileDescriptor wake_;
  WatchBook book_;
  WatchFolders folders_;
  std::optional<WatchWorkers> workers_;  // while it runs
};

Watcher::Watcher(WatcherOptions options, std::vector<WatchRule> rules)
    : state_(std::make_unique<State>(std::move(options), std::move(rules))) {}
Watcher::~Watcher() = default;

bool Watcher::Run(const std::stop_token& stop) { return state_->Run(stop); }

}  // namespace penstock::tools
