// The catalog of a store: an index over its datasets, so that listing never walks directories.
//
// A store is a directory tree with datasets in it. Its folder STORE/.penstock holds
//
//   catalog/            the index (RocksDB): derived, may be deleted at any time
//   verifications.jsonl what `penstock verify` found, append-only: not derived, a master copy
//   pending/            registrations and removals that wait for a busy or unwritable index
//   catalog.lock        the lock among the processes that use the catalog
//
// The sidecars are the truth: an index that is missing, damaged, of another schema or older than
// its last recorded write is rebuilt from them where it is needed (docs/catalog.md).
//
// All functions may be called from several threads and several processes at once; waiting for
// another process is bounded (CatalogOptions).

#ifndef PENSTOCK_CATALOG_CATALOG_H_
#define PENSTOCK_CATALOG_CATALOG_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/catalog/entry.h"

namespace penstock::catalog {

// The nearest directory above `path` that has a .penstock folder; nothing where there is none.
std::optional<std::filesystem::path> FindStore(const std::filesystem::path& path);

// The path of a dataset relative to its store, both resolved. kInvalidArgument where it is not
// below the store or where a component begins with a dot: hidden directories are not catalogued.
Result<std::string> PathInStore(const std::filesystem::path& store,
                                const std::filesystem::path& dataset_directory);

struct RegisterOptions {
  // How long to wait for another process that writes the index.
  std::chrono::milliseconds patience{2000};
};

enum class Registered : uint8_t {
  kIndexed,  // in the index
  // A note in STORE/.penstock/pending that the next user of the catalog takes up; listings show the
  // dataset at once.
  kPending,
};

// Enters a published dataset, or enters it again after it changed. Never walks the store: without a
// usable index the registration stays pending, and the next listing builds the index.
Result<Registered> RegisterDataset(const std::filesystem::path& store,
                                   const std::filesystem::path& dataset_directory,
                                   const RegisterOptions& options = {});

// Removes an entry; for datasets that were deleted or moved away. A dataset that still exists comes
// back with the next rebuild. kNotFound where the index has no such entry.
Status Forget(const std::filesystem::path& store, std::string_view path,
              const RegisterOptions& options = {});

enum class Presence : uint8_t {
  kPresent,
  kChanged,      // nexus.json is not the one that was indexed: register or rebuild
  kVanished,     // there is no nexus.json any more
  kUnreachable,  // the file system gives an error for it
};

std::string_view PresenceName(Presence presence);  // "present", ...

struct ListedEntry {
  Entry entry;
  Presence presence = Presence::kPresent;

  bool operator==(const ListedEntry&) const = default;
};

// A directory with a nexus.json that could not be read when the index was built.
struct UnreadableDataset {
  std::string path;
  std::string message;

  bool operator==(const UnreadableDataset&) const = default;
};

struct ListOptions {
  std::string prefix = {};     // of the path: "2026/" or "2026/session_7/scan_"
  bool check_presence = true;  // one stat per entry; all are kPresent otherwise
  bool with_facts = false;     // fill Entry::facts
};

struct Listing {
  std::vector<ListedEntry> entries;           // by path, bytewise
  std::vector<UnreadableDataset> unreadable;  // by path
  bool rebuilt = false;                       // the index had to be built anew
};

// Answers from the index alone (and one stat per entry). Builds the index first where there is no
// usable one, which walks the store once; where .penstock cannot be written, the walk is repeated
// every time. `progress` hears of such a walk only.
Result<Listing> List(const std::filesystem::path& store, const ListOptions& options,
                     ProgressSink& progress, const std::stop_token& stop);

// One entry, by its path. kNotFound otherwise.
Result<ListedEntry> Lookup(const std::filesystem::path& store, std::string_view path,
                           ProgressSink& progress, const std::stop_token& stop);

// Entries that have a numeric fact of this name and unit between the limits (both included),
// ordered by its value. A range scan over the index.
Result<std::vector<Entry>> FindByFact(const std::filesystem::path& store,
                                      std::string_view fact_path, std::string_view units,
                                      double low, double high, ProgressSink& progress,
                                      const std::stop_token& stop);

// Appends to the store's verification log and enters the date in the index. An index that is busy
// or unusable is no error: the log is the master copy and is read at the next rebuild or pending
// registration.
Status RecordVerification(const std::filesystem::path& store, std::string_view path,
                          const VerifyRecord& record);

// The last verification of this generation of a dataset, from the store's log; asks no index.
Result<std::optional<VerifyRecord>> LastVerification(const std::filesystem::path& store,
                                                     std::string_view path,
                                                     std::string_view generation);

struct RebuildReport {
  int64_t datasets = 0;
  int64_t directories = 0;     // looked into
  int64_t symbolic_links = 0;  // to directories; not followed
  std::vector<UnreadableDataset> unreadable;
  std::vector<std::string> unreadable_directories;  // "PATH: permission denied"
  int64_t unreadable_verification_lines = 0;
};

// Walks the store and builds a fresh index, which replaces the old one by one rename; until then,
// and for ever if this is stopped, the old one answers. Hidden directories (among them .penstock
// and the .NAME.ingest of unfinished ingests) and symbolic links are not followed. kBusy when
// another process holds the index for more than `patience`.
Result<RebuildReport> Rebuild(const std::filesystem::path& store, ProgressSink& progress,
                              const std::stop_token& stop,
                              std::chrono::milliseconds patience = std::chrono::seconds(30));

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_CATALOG_H_
