#include "penstock/catalog/catalog.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "catalog/index/index_access.h"
#include "catalog/index/pending.h"
#include "catalog/index/presence.h"
#include "catalog/index/store_folder.h"
#include "catalog/index/verification_log.h"

namespace penstock::catalog {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAbsorbPatience{200};
constexpr milliseconds kRebuildPatience{30'000};
constexpr int kReadAttempts = 3;

// The notes that are not in the index yet, evaluated; nothing for the usual case of no notes.
using Overlay = std::map<std::string, NoteOutcome, std::less<>>;

bool MeansUnwritable(const Error& error) {
  return error.kind() == ErrorKind::kPermission || error.kind() == ErrorKind::kNoSpace ||
         error.kind() == ErrorKind::kUnsupported || error.kind() == ErrorKind::kIo;
}

// Errors of the index that a registration survives by leaving a note.
bool MeansLater(const Error& error) {
  return MeansUnusable(error) || error.kind() == ErrorKind::kBusy || MeansUnwritable(error);
}

// Opens the index for writing, takes up the pending notes, writes, commits.
Status WriteToIndex(const StoreFolder& store, milliseconds patience,
                    const std::function<Status(IndexDatabase&)>& write) {
  PENSTOCK_ASSIGN_OR_RETURN(WriteAccess access, WriteAccess::Open(store, patience));
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<PendingNote> notes, ReadNotes(store));
  PENSTOCK_RETURN_IF_ERROR(AbsorbNotes(store, notes, access.database()));
  PENSTOCK_RETURN_IF_ERROR(write(access.database()));
  return access.Commit(store);
}

Result<Overlay> ReadOverlay(const StoreFolder& store) {
  Overlay overlay;
  PENSTOCK_ASSIGN_OR_RETURN(std::vector<PendingNote> notes, ReadNotes(store));
  if (notes.empty()) return overlay;
  const Status absorbed =
      WriteToIndex(store, kAbsorbPatience, [](IndexDatabase&) { return Status(); });
  if (absorbed.ok()) {
    PENSTOCK_ASSIGN_OR_RETURN(notes, ReadNotes(store));
    if (notes.empty()) return overlay;
  }
  PENSTOCK_ASSIGN_OR_RETURN(const VerificationLog log, ReadVerifications(store));
  for (const PendingNote& note : notes) {
    Result<NoteOutcome> outcome = EvaluateNote(store, note, log);
    if (outcome.ok()) overlay[note.path] = *std::move(outcome);
  }
  return overlay;
}

// A private index for a store whose .penstock cannot be written.
class TemporaryIndex {
 public:
  static Result<TemporaryIndex> Build(const StoreFolder& store, ProgressSink& progress,
                                      const std::stop_token& stop) {
    std::error_code code;
    std::string name = (std::filesystem::temp_directory_path(code) / "penstock-catalog.XXXXXX");
    if (mkdtemp(name.data()) == nullptr) {
      return Error::FromErrno(errno, "cannot create a temporary directory").In(name);
    }
    TemporaryIndex index(name);
    uint64_t sequence = 0;
    PENSTOCK_RETURN_IF_ERROR(BuildIndex(store, index.Directory(), sequence, progress, stop));
    return index;
  }
  ~TemporaryIndex() {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  TemporaryIndex(TemporaryIndex&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}
  TemporaryIndex& operator=(TemporaryIndex&&) = delete;

  std::filesystem::path Directory() const { return folder_ / "index"; }

 private:
  explicit TemporaryIndex(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

// Asks the index; rebuilds it where it proves unusable on the way and asks again. `query` returns a
// Status and keeps its answer to itself; it may be called several times.
Status Ask(const StoreFolder& store, ProgressSink& progress, const std::stop_token& stop,
           bool& rebuilt, const std::function<Status(const IndexDatabase&)>& query) {
  Status asked;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const Result<CurrentIndex> current = ReadCurrentIndex(store);
    asked = [&]() -> Status {
      PENSTOCK_ASSIGN_OR_RETURN(const ReadAccess access, ReadAccess::Open(store));
      return query(access.database());
    }();
    if (asked.ok() || !MeansUnusable(asked.error())) return asked;
    Result<Replacement> replaced = ReplaceIndex(store, current.ok() ? current->directory : "",
                                                kRebuildPatience, progress, stop);
    if (replaced.ok()) {
      rebuilt = rebuilt || replaced->replaced;
      continue;
    }
    if (replaced.error().kind() == ErrorKind::kBusy ||
        replaced.error().kind() == ErrorKind::kCancelled) {
      return std::move(replaced).error();
    }
    progress.Note("the catalog cannot be kept, the store was searched instead: " +
                  replaced.error().ToString());
    PENSTOCK_ASSIGN_OR_RETURN(const TemporaryIndex temporary,
                              TemporaryIndex::Build(store, progress, stop));
    rebuilt = true;
    PENSTOCK_ASSIGN_OR_RETURN(const IndexDatabase database,
                              IndexDatabase::OpenReadOnly(temporary.Directory(), 0));
    return query(database);
  }
  return asked;
}

void ApplyOverlay(const Overlay& overlay, const ListOptions& options, Listing& listing) {
  std::erase_if(listing.entries,
                [&](const ListedEntry& listed) { return overlay.contains(listed.entry.path); });
  std::erase_if(listing.unreadable,
                [&](const UnreadableDataset& dataset) { return overlay.contains(dataset.path); });
  for (const auto& [path, outcome] : overlay) {
    if (!path.starts_with(options.prefix)) continue;
    if (outcome.entry) {
      listing.entries.push_back({.entry = *outcome.entry});
      if (!options.with_facts) listing.entries.back().entry.facts.clear();
    }
    if (outcome.unreadable) listing.unreadable.push_back(*outcome.unreadable);
  }
  std::sort(listing.entries.begin(), listing.entries.end(),
            [](const auto& a, const auto& b) { return a.entry.path < b.entry.path; });
  std::sort(listing.unreadable.begin(), listing.unreadable.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
}

}  // namespace

Result<Registered> RegisterDataset(const std::filesystem::path& store,
                                   const std::filesystem::path& dataset_directory,
                                   const RegisterOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_ASSIGN_OR_RETURN(const std::string path, PathInStore(folder.root(), dataset_directory));
  PENSTOCK_ASSIGN_OR_RETURN(Entry entry, ReadEntry(folder.dataset(path), path));
  PENSTOCK_ASSIGN_OR_RETURN(const VerificationLog log, ReadVerifications(folder, path));
  log.Attach(entry);
  Status written = WriteToIndex(folder, options.patience,
                                [&](IndexDatabase& database) { return database.Put(entry); });
  if (written.ok()) return Registered::kIndexed;
  if (!MeansLater(written.error())) return written.error();
  PENSTOCK_RETURN_IF_ERROR(WriteNote(folder, PendingAction::kRegister, path));
  return Registered::kPending;
}

Status Forget(const std::filesystem::path& store, std::string_view path,
              const RegisterOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  bool existed = false;
  Status written = WriteToIndex(folder, options.patience, [&](IndexDatabase& database) -> Status {
    PENSTOCK_ASSIGN_OR_RETURN(existed, database.Remove(path));
    return {};
  });
  if (written.ok()) {
    if (existed) return {};
    return Error::NotFound("the catalog has no dataset of this name").In(std::string(path));
  }
  if (!MeansLater(written.error())) return written;
  return WriteNote(folder, PendingAction::kForget, path);
}

Result<Listing> List(const std::filesystem::path& store, const ListOptions& options,
                     ProgressSink& progress, const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_ASSIGN_OR_RETURN(const Overlay overlay, ReadOverlay(folder));
  Listing listing;
  PENSTOCK_RETURN_IF_ERROR(
      Ask(folder, progress, stop, listing.rebuilt, [&](const IndexDatabase& database) -> Status {
        listing.entries.clear();
        PENSTOCK_RETURN_IF_ERROR(
            database.VisitEntries(options.prefix, options.with_facts, [&](Entry entry) {
              listing.entries.push_back({.entry = std::move(entry)});
              return true;
            }));
        PENSTOCK_ASSIGN_OR_RETURN(listing.unreadable, database.Unreadable(options.prefix));
        return {};
      }));
  if (!overlay.empty()) ApplyOverlay(overlay, options, listing);
  if (options.check_presence) CheckPresence(folder, listing.entries);
  return listing;
}

Result<ListedEntry> Lookup(const std::filesystem::path& store, std::string_view path,
                           ProgressSink& progress, const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_ASSIGN_OR_RETURN(Overlay overlay, ReadOverlay(folder));
  std::optional<Entry> entry;
  bool rebuilt = false;
  PENSTOCK_RETURN_IF_ERROR(
      Ask(folder, progress, stop, rebuilt, [&](const IndexDatabase& database) -> Status {
        PENSTOCK_ASSIGN_OR_RETURN(entry, database.Get(path, true));
        return {};
      }));
  const auto noted = overlay.find(path);
  if (noted != overlay.end()) entry = std::move(noted->second.entry);
  if (!entry) {
    return Error::NotFound("the catalog has no dataset of this name")
        .In((folder.root() / path).string())
        .Advice("'penstock ls' shows the names; 'penstock catalog rebuild' searches the store");
  }
  std::vector<ListedEntry> listed{{.entry = *std::move(entry)}};
  CheckPresence(folder, listed);
  return std::move(listed.front());
}

Result<std::vector<Entry>> FindByFact(const std::filesystem::path& store,
                                      std::string_view fact_path, std::string_view units,
                                      double low, double high, ProgressSink& progress,
                                      const std::stop_token& stop) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_ASSIGN_OR_RETURN(const Overlay overlay, ReadOverlay(folder));
  std::vector<std::pair<double, Entry>> found;
  const auto number_of = [&](const Entry& entry) -> std::optional<double> {
    for (const EntryFact& fact : entry.facts) {
      if (fact.path == fact_path && fact.units == units && fact.value.is_number()) {
        return fact.value.get<double>();
      }
    }
    return std::nullopt;
  };
  bool rebuilt = false;
  PENSTOCK_RETURN_IF_ERROR(
      Ask(folder, progress, stop, rebuilt, [&](const IndexDatabase& database) -> Status {
        found.clear();
        PENSTOCK_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                                  database.PathsByFact(fact_path, units, low, high));
        for (const std::string& path : paths) {
          PENSTOCK_ASSIGN_OR_RETURN(std::optional<Entry> entry, database.Get(path, true));
          const std::optional<double> number = entry ? number_of(*entry) : std::nullopt;
          if (!number) {
            return Error::Corrupt("the catalog names a fact that its entry lacks").In(path);
          }
          if (!overlay.contains(path)) found.emplace_back(*number, *std::move(entry));
        }
        return {};
      }));
  for (const auto& [path, outcome] : overlay) {
    const std::optional<double> number = outcome.entry ? number_of(*outcome.entry) : std::nullopt;
    if (number && *number >= low && *number <= high) found.emplace_back(*number, *outcome.entry);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.path) < std::tie(b.first, b.second.path);
  });
  std::vector<Entry> entries;
  entries.reserve(found.size());
  for (auto& [number, entry] : found) entries.push_back(std::move(entry));
  return entries;
}

Status RecordVerification(const std::filesystem::path& store, std::string_view path,
                          const VerifyRecord& record) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_RETURN_IF_ERROR(AppendVerification(folder, path, record));
  Status written =
      WriteToIndex(folder, RegisterOptions().patience, [&](IndexDatabase& database) -> Status {
        PENSTOCK_ASSIGN_OR_RETURN(const std::optional<Entry> entry, database.Get(path, false));
        if (!entry || entry->generation != record.generation) return {};
        PENSTOCK_RETURN_IF_ERROR(database.PutVerification(path, record));
        return {};
      });
  if (!written.ok() && MeansLater(written.error())) {
    // A note makes the next user read the log; where not even that can be left, the next rebuild
    // reads it.
    (void)WriteNote(folder, PendingAction::kRegister, path);
    return {};
  }
  return written;
}

Result<std::optional<VerifyRecord>> LastVerification(const std::filesystem::path& store,
                                                     std::string_view path,
                                                     std::string_view generation) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_ASSIGN_OR_RETURN(const VerificationLog log, ReadVerifications(folder, path));
  Entry entry;
  entry.path = path;
  entry.generation = generation;
  log.Attach(entry);
  return entry.last_verified;
}

Result<RebuildReport> Rebuild(const std::filesystem::path& store, ProgressSink& progress,
                              const std::stop_token& stop, milliseconds patience) {
  PENSTOCK_ASSIGN_OR_RETURN(const StoreFolder folder, StoreFolder::Of(store));
  PENSTOCK_ASSIGN_OR_RETURN(Replacement replacement,
                            ReplaceIndex(folder, std::nullopt, patience, progress, stop));
  return std::move(replacement.report);
}

}  // namespace penstock::catalog
