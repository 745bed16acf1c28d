// What the catalog knows of one dataset. Everything is read from its nexus.json, but for the last
// verification, which comes from the store's verification log. Plain values, not synchronised.

#ifndef PENSTOCK_CATALOG_ENTRY_H_
#define PENSTOCK_CATALOG_ENTRY_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"

namespace penstock::catalog {

// A scalar NeXus field under the NXentry, with its unit as the sidecar has it.
struct EntryFact {
  std::string path;  // "measurement/event1/instrument/ebeam_column/electron_source/voltage"
  Json value;        // a number, a string or a boolean
  std::string units;

  bool operator==(const EntryFact&) const = default;
};

enum class VerifyResult : uint8_t { kIntact, kDamaged };

// The outcome of one `penstock verify`. It counts for the generation it was made on only.
struct VerifyRecord {
  std::string time;  // ISO 8601 with zone
  VerifyResult result = VerifyResult::kIntact;
  std::string generation;
  uint64_t bytes_checked = 0;
  int64_t damage_count = 0;

  bool operator==(const VerifyRecord&) const = default;
};

inline constexpr size_t kMaxEntrySources = 16;
inline constexpr size_t kMaxEntryFacts = 256;

struct Entry {
  std::string path;  // relative to the store, '/' between components; unique
  DatasetShape shape;
  int64_t block_count = 0;
  uint64_t block_bytes = 0;  // all block files together
  int64_t frames_expected = 0;
  int64_t frames_received = 0;
  std::string state;       // "sealed"
  std::string generation;  // XXH3-128 of nexus.json
  std::string source_format;
  std::vector<std::string> source_files;  // names without folders; at most kMaxEntrySources
  int64_t source_file_count = 0;
  std::string start_time;  // ISO 8601 as in the sidecar, "" where unknown
  std::string ingest_time;
  int64_t anomaly_count = 0;
  // In the order of the sidecar, at most kMaxEntryFacts; only where asked for (ListOptions).
  std::vector<EntryFact> facts;

  // nexus.json when it was read: a changed file is detected by a stat.
  uint64_t sidecar_bytes = 0;
  int64_t sidecar_mtime_ns = 0;

  std::optional<VerifyRecord> last_verified;

  std::string name() const { return path.substr(path.rfind('/') + 1); }
  bool operator==(const Entry&) const = default;
};

// Reads the sidecar of `directory`; `path` is only stored. The errors are those of Dataset::Open,
// and kUnsupported for names that are not UTF-8.
Result<Entry> ReadEntry(const std::filesystem::path& directory, std::string path);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_ENTRY_H_
