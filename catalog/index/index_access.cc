#include "catalog/index/index_access.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "catalog/index/pending.h"
#include "catalog/index/tree_walk.h"
#include "catalog/index/verification_log.h"
#include "penstock/base/file.h"

namespace penstock::catalog {

namespace {

// A writer holds the lock for milliseconds; longer than this means a rebuild.
constexpr std::chrono::milliseconds kReaderPatience{500};
constexpr std::string_view kIndexPrefix = "index-";

std::vector<std::filesystem::path> IndexDirectories(const StoreFolder& store) {
  std::vector<std::filesystem::path> directories;
  std::error_code code;
  for (std::filesystem::directory_iterator item(store.index(), code);
       !code && item != std::filesystem::directory_iterator(); item.increment(code)) {
    if (item->path().filename().native().starts_with(kIndexPrefix)) {
      directories.push_back(item->path());
    }
  }
  return directories;
}

// Above all that exist, so that a name is never used twice while a reader may still hold it.
std::string NextIndexName(const StoreFolder& store) {
  uint64_t last = 0;
  for (const std::filesystem::path& directory : IndexDirectories(store)) {
    const std::string name = directory.filename().string();
    uint64_t number = 0;
    std::from_chars(name.data() + kIndexPrefix.size(), name.data() + name.size(), number);
    last = std::max(last, number);
  }
  return std::string(kIndexPrefix) + std::to_string(last + 1);
}

bool IsUsable(const StoreFolder& store, const CurrentIndex& current) {
  return IndexDatabase::OpenReadOnly(store.index() / current.directory, current.sequence).ok();
}

Status FillIndex(const StoreFolder& store, IndexDatabase& database, RebuildReport& report,
                 ProgressSink& progress, const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const VerificationLog log, ReadVerifications(store));
  report.unreadable_verification_lines = log.unreadable_lines;
  const auto enter = [&](const std::string& path) -> Result<bool> {
    Result<Entry> entry = ReadEntry(store.dataset(path), path);
    if (!entry.ok()) {
      report.unreadable.push_back({.path = path, .message = entry.error().ToString()});
      return false;
    }
    log.Attach(*entry);
    ++report.datasets;
    progress.Advance(entry->sidecar_bytes);
    PENSTOCK_RETURN_IF_ERROR(database.Put(*entry));
    return true;
  };
  PENSTOCK_RETURN_IF_ERROR(WalkDatasets(store, enter, report, stop));
  std::sort(report.unreadable.begin(), report.unreadable.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  for (const UnreadableDataset& dataset : report.unreadable) {
    PENSTOCK_RETURN_IF_ERROR(database.PutUnreadable(dataset));
  }
  return database.Flush();
}

}  // namespace

bool MeansUnusable(const Error& error) {
  return error.kind() == ErrorKind::kNotFound || error.kind() == ErrorKind::kCorrupt ||
         error.kind() == ErrorKind::kUnsupported;
}

Result<WriteAccess> WriteAccess::Open(const StoreFolder& store,
                                      std::chrono::milliseconds patience) {
  PENSTOCK_ASSIGN_OR_RETURN(StoreLock lock, StoreLock::Exclusive(store, patience));
  PENSTOCK_ASSIGN_OR_RETURN(CurrentIndex current, ReadCurrentIndex(store));
  PENSTOCK_ASSIGN_OR_RETURN(
      IndexDatabase database,
      IndexDatabase::Open(store.index() / current.directory, current.sequence));
  return WriteAccess(std::move(lock), std::move(current), std::move(database));
}

Status WriteAccess::Commit(const StoreFolder& store) {
  current_.sequence = database_.sequence();
  return WriteCurrentIndex(store, current_);
}

Result<ReadAccess> ReadAccess::Open(const StoreFolder& store) {
  std::optional<StoreLock> held;
  Result<StoreLock> lock = StoreLock::Shared(store, kReaderPatience);
  if (lock.ok()) held = *std::move(lock);
  PENSTOCK_ASSIGN_OR_RETURN(const CurrentIndex current, ReadCurrentIndex(store));
  PENSTOCK_ASSIGN_OR_RETURN(
      IndexDatabase database,
      IndexDatabase::OpenReadOnly(store.index() / current.directory, current.sequence));
  return ReadAccess(std::move(held), std::move(database));
}

Result<RebuildReport> BuildIndex(const StoreFolder& store, const std::filesystem::path& directory,
                                 uint64_t& sequence, ProgressSink& progress,
                                 const std::stop_token& stop) {
  RebuildReport report;
  progress.Begin("reading the sidecars of " + store.root().string(), 0);
  const auto build = [&]() -> Status {
    PENSTOCK_ASSIGN_OR_RETURN(IndexDatabase database, IndexDatabase::Create(directory));
    PENSTOCK_RETURN_IF_ERROR(FillIndex(store, database, report, progress, stop));
    sequence = database.sequence();
    return {};
  };
  Status built = build();
  progress.End();
  if (!built.ok()) {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    return std::move(built).error();
  }
  return report;
}

Result<Replacement> ReplaceIndex(const StoreFolder& store,
                                 const std::optional<std::string>& only_if_failed,
                                 std::chrono::milliseconds patience, ProgressSink& progress,
                                 const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreLock lock, StoreLock::Exclusive(store, patience));
  if (only_if_failed) {
    const Result<CurrentIndex> current = ReadCurrentIndex(store);
    if (current.ok() && current->directory != *only_if_failed && IsUsable(store, *current)) {
      return Replacement{};
    }
  }
  PENSTOCK_RETURN_IF_ERROR(store.CreateFolder(store.index()));
  // Notes written from here on may concern datasets that the walk has passed already.
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<PendingNote> notes, ReadNotes(store));
  CurrentIndex fresh{.directory = NextIndexName(store)};
  PENSTOCK_ASSIGN_OR_RETURN(RebuildReport report, BuildIndex(store, store.index() / fresh.directory,
                                                             fresh.sequence, progress, stop));
  PENSTOCK_RETURN_IF_ERROR(WriteCurrentIndex(store, fresh));
  RemoveNotes(notes);
  for (const std::filesystem::path& directory : IndexDirectories(store)) {
    std::error_code ignored;
    if (directory.filename() != fresh.directory) std::filesystem::remove_all(directory, ignored);
  }
  return Replacement{.replaced = true, .report = std::move(report)};
}

}  // namespace penstock::catalog
