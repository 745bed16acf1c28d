#include "tools/penstock/watch_book.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "tools/penstock/service_notify.h"

namespace penstock::tools {

using Clock = std::chrono::steady_clock;

WatchBook::WatchBook(const WatcherOptions& options) : options_(options) {
  report_.folder = options_.folder.string();
  report_.store = options_.store.string();
  report_.rules = options_.rules.string();
  report_.started = TimeText();
}

void WatchBook::Wait(const std::filesystem::path& path, const std::filesystem::path& folder,
                     const std::string& reason) {
  WatchEntry& entry = entries_[path];
  entry.folder = folder;
  if (entry.shown.state != WatchState::kWaiting || entry.shown.source.empty()) {
    entry.shown.since = TimeText();
    entry.shown.state = WatchState::kWaiting;
  }
  entry.shown.source = path.string();
  entry.shown.reason = reason;
}

void WatchBook::Fail(const std::filesystem::path& path, const std::filesystem::path& folder,
                     const std::string& reason) {
  WatchEntry& entry = entries_[path];
  entry.folder = folder;
  ++report_.failures;
  entry.shown = {path.string(), WatchState::kFailed, entry.shown.destination, reason, TimeText()};
  is_changed_ = true;
  spdlog::error("{}", reason.find(path.string()) == std::string::npos
                          ? path.string() + ": " + reason
                          : reason);
}

int64_t WatchBook::CountOf(WatchState state) const {
  return std::ranges::count_if(
      entries_, [state](const auto& known) { return known.second.shown.state == state; });
}

void WatchBook::Report(bool is_last) {
  const auto now = Clock::now();
  const bool is_due = is_changed_ && now - last_report_ >= std::min(kWatchTick, options_.quiet);
  if (!is_last && !is_due && now - last_report_ < options_.rescan) return;
  last_report_ = now;
  is_changed_ = false;
  report_.open.clear();
  report_.counts = {};
  for (const auto& [key, entry] : entries_) {
    ++report_.counts[static_cast<size_t>(entry.shown.state)];
    if (entry.shown.state != WatchState::kDone) report_.open.push_back(entry.shown);
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

}  // namespace penstock::tools
