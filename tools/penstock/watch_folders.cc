#include "tools/penstock/watch_folders.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"
#include "tools/penstock/completion.h"

namespace penstock::tools {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// Without the vendor's mark of completion an acquisition has to be still for so many times longer.
constexpr int kUnmarkedFactor = 3;

// A file in one state, as a number.
uint64_t Fingerprint(const fs::path& path, const FileIdentity& identity) {
  const std::string text = fmt::format("{}\n{}\n{}\n{}", path.string(), identity.inode,
                                       identity.size, identity.mtime_ns);
  return HashExtent(AsBytes(text));
}

}  // namespace

WatchFolders::WatchFolders(const WatcherOptions& options, WatchBook& book, ReadyCallback ready)
    : options_(options), book_(book), ready_(std::move(ready)), monitor_(options.folder) {}

void WatchFolders::SetRules(std::shared_ptr<const std::vector<WatchRule>> rules) {
  rules_ = std::move(rules);
  handled_.clear();
}

void WatchFolders::LookAtAll() {
  const std::set<fs::path> folders = monitor_.Walk();
  if (monitor_.complaint() != book_.report().complaint) {
    book_.report().complaint = monitor_.complaint();
    spdlog::warn("{}; they are looked at every {} s", monitor_.complaint(),
                 options_.rescan.count() / 1000);
  }
  std::erase_if(folders_, [&folders](const auto& known) { return !folders.contains(known.first); });
  std::erase_if(book_.entries(), [&folders](const auto& known) {
    return !folders.contains(known.second.folder) && !known.second.is_under_way();
  });
  for (const fs::path& folder : folders) folders_[folder].next_look = Clock::now();
  last_walk_ = Clock::now();
}

void WatchFolders::LookSoon(const fs::path& folder) {
  Folder& known = folders_[folder];
  known.next_look = std::min(known.next_look,
                             Clock::now() + std::min<milliseconds>(options_.quiet / 4, kWatchTick));
}

void WatchFolders::NoticeChanges() {
  if (Clock::now() - last_walk_ >= options_.rescan) LookAtAll();
  for (const fs::path& folder : monitor_.TakeChanged()) LookSoon(folder);
}

void WatchFolders::LookAtDue() {
  const auto now = Clock::now();
  std::vector<fs::path> due;
  for (const auto& [path, folder] : folders_) {
    if (folder.next_look <= now) due.push_back(path);
  }
  for (const fs::path& path : due) Look(path, folders_[path]);
}

void WatchFolders::Handle(const std::vector<uint64_t>& fingerprints) {
  handled_.insert(fingerprints.begin(), fingerprints.end());
}

bool WatchFolders::IsIdle() const {
  return std::ranges::none_of(folders_, [](const auto& known) {
    return known.second.next_look != Clock::time_point::max();
  });
}

WatchFolders::Clock::time_point WatchFolders::NextLook() const {
  auto next = last_walk_ + options_.rescan;
  for (const auto& [path, folder] : folders_) next = std::min(next, folder.next_look);
  return next;
}

milliseconds WatchFolders::QuietOf(const WatchRule* rule) const {
  return rule != nullptr && rule->quiet ? *rule->quiet : options_.quiet;
}

void WatchFolders::Look(const fs::path& path, Folder& folder) {
  const auto now = Clock::now();
  folder.next_look = Clock::time_point::max();
  if (!TakeFiles(path, folder, now)) {
    Forget(std::exchange(folder.waiting, {}), {});
    return;
  }
  const auto settled_at = [this, &folder](const fs::path& file) {
    const auto seen = folder.files.find(file);
    // In another folder, or not there when the files were listed: as if it had just come.
    if (seen == folder.files.end()) return Clock::now() + options_.quiet;
    const WatchRule* rule = FindRule(*rules_, file.lexically_relative(options_.folder));
    return seen->second.since + QuietOf(rule);
  };
  ingest::FolderOptions options;
  options.choose = [this](const fs::path& relative) -> std::optional<ingest::OpenChoice> {
    const WatchRule* rule = FindRule(*rules_, relative);
    if (rule == nullptr || rule->ignore) return std::nullopt;
    return ingest::OpenChoice{rule->options.format, rule->options.open, rule - rules_->data()};
  };
  options.is_settled = [&settled_at, &path, now](const fs::path& file) {
    return file.parent_path() != path || settled_at(file) <= now;
  };
  options.is_done = [this, &folder](const fs::path& file) {
    const auto seen = folder.files.find(file);
    return seen != folder.files.end() && handled_.contains(seen->second.fingerprint);
  };
  auto contents = ingest::FolderExaminer(options_.folder, options).Examine(path, {});
  if (!contents.ok()) {
    spdlog::warn("{}", contents.error().ToString());
    return;
  }
  std::set<fs::path> waiting;
  for (const fs::path& file : contents->unsettled) {
    waiting.insert(file);
    book_.Wait(file, path, "still being written");
  }
  if (!contents->unsettled.empty()) {
    folder.next_look = now + options_.quiet;
    for (const auto& [file, seen] : folder.files) {
      const auto settled = settled_at(file);
      if (settled > now) folder.next_look = std::min(folder.next_look, settled);
    }
  }
  for (const ingest::LeftOut& left : contents->unknown) {
    ++book_.report().unknown_files;
    HandleFile(folder, left.path);
    spdlog::debug("left alone: {}", left.reason.ToString());
  }
  for (const auto* list : {&contents->unsupported, &contents->failed}) {
    for (const ingest::LeftOut& left : *list) {
      HandleFile(folder, left.path);
      book_.Fail(left.path, path, left.reason.ToString());
    }
  }
  for (ingest::FoundAcquisition& found : contents->acquisitions) {
    Consider(std::move(found), path, folder, now, waiting);
  }
  Forget(folder.waiting, waiting);
  folder.waiting = std::move(waiting);
}

// What is not waited for any more is known by another name now, or gone.
void WatchFolders::Forget(const std::set<fs::path>& before, const std::set<fs::path>& waiting) {
  for (const fs::path& path : before) {
    const auto known = book_.entries().find(path);
    if (waiting.contains(path) || known == book_.entries().end()) continue;
    if (known->second.shown.state == WatchState::kWaiting) book_.entries().erase(known);
  }
  book_.Changed();
}

// Lists the folder; false where nothing has to be opened.
bool WatchFolders::TakeFiles(const fs::path& path, Folder& folder, Clock::time_point now) {
  std::map<fs::path, File> files;
  std::error_code problem;
  bool all_handled = true;
  for (fs::directory_iterator entry(path, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    std::error_code ignored;
    if (!ingest::IsVisibleName(entry->path()) ||
        entry->symlink_status(ignored).type() != fs::file_type::regular) {
      continue;
    }
    const auto identity = IdentifyFile(entry->path());
    if (!identity.ok()) continue;
    File file{Fingerprint(entry->path(), *identity), now};
    const auto before = folder.files.find(entry->path());
    if (before != folder.files.end() && before->second.fingerprint == file.fingerprint) {
      file.since = before->second.since;
    }
    all_handled = all_handled && handled_.contains(file.fingerprint);
    files.emplace(entry->path(), file);
  }
  if (problem && problem.value() != ENOENT) {
    spdlog::warn("cannot list {}: {}", path.string(), problem.message());
  }
  // What is done or failed and whose file is gone or another now is forgotten.
  std::erase_if(book_.entries(), [this, &path, &files](const auto& known) {
    const WatchState shown = known.second.shown.state;
    const bool is_over = shown == WatchState::kFailed || shown == WatchState::kDone;
    const auto file = files.find(known.first);
    const bool is_same = file != files.end() && handled_.contains(file->second.fingerprint);
    return known.second.folder == path && is_over && !is_same;
  });
  if (all_handled) files.clear();  // a folder with nothing to wait for costs no memory
  folder.files = std::move(files);
  return !all_handled;
}

void WatchFolders::HandleFile(const Folder& folder, const fs::path& file) {
  const auto seen = folder.files.find(file);
  if (seen != folder.files.end()) handled_.insert(seen->second.fingerprint);
}

void WatchFolders::Consider(ingest::FoundAcquisition found, const fs::path& path, Folder& folder,
                            Clock::time_point now, std::set<fs::path>& waiting) {
  auto& entries = book_.entries();
  const fs::path key = found.path;
  if (const auto known = entries.find(key); known != entries.end() && known->second.is_under_way())
    return;
  const WatchRule& rule = (*rules_)[static_cast<size_t>(found.choice.rule)];
  const auto source = found.Open();
  if (source.ok()) {
    const Completion completion = CompletionOf((*source)->description());
    auto still_since = Clock::time_point::min();
    for (const fs::path& file : found.files) {
      const auto seen = folder.files.find(file);
      if (seen != folder.files.end()) still_since = std::max(still_since, seen->second.since);
    }
    const auto ready = still_since + QuietOf(&rule) * kUnmarkedFactor;
    if (!completion.is_marked && now < ready) {
      folder.next_look = std::min(folder.next_look, ready);
      waiting.insert(key);
      book_.Wait(key, path, completion.missing_mark);
      return;
    }
  }
  // It may have been known by another of its files.
  for (const fs::path& file : found.files) {
    const auto other = entries.find(file);
    if (file == key || other == entries.end()) continue;
    if (!other->second.is_under_way()) entries.erase(other);
  }
  found.source.reset();  // many may be queued
  WatchEntry& entry = entries[key];
  entry.folder = path;
  entry.rule = static_cast<size_t>(found.choice.rule);
  entry.fingerprints.clear();
  for (const fs::path& file : found.files) {
    const auto seen = folder.files.find(file);
    if (seen != folder.files.end()) entry.fingerprints.push_back(seen->second.fingerprint);
  }
  if (const auto seen = folder.files.find(key); seen != folder.files.end()) {
    entry.fingerprints.push_back(seen->second.fingerprint);
  }
  entry.found = std::move(found);
  entry.backoff = milliseconds(0);
  ready_(key, entry);
}

}  // namespace penstock::tools
