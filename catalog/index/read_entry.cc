// An Entry from a sidecar.

#include <string>
#include <utility>

#include "catalog/index/store_folder.h"
#include "penstock/base/file.h"
#include "penstock/catalog/entry.h"
#include "penstock/catalog/sidecar_view.h"

namespace penstock::catalog {

namespace {

constexpr size_t kMaxFactText = 256;

Entry EntryOf(const Dataset& dataset, std::string path) {
  Entry entry;
  entry.path = std::move(path);
  entry.shape = dataset.shape();
  entry.block_count = static_cast<int64_t>(dataset.blocks().size());
  for (const BlockInfo& block : dataset.blocks()) entry.block_bytes += block.bytes;
  entry.frames_expected = dataset.frames_expected();
  entry.frames_received = dataset.frames_received();
  entry.state = dataset.state();
  entry.generation = dataset.generation();
  SidecarView view = ViewSidecar(dataset.nexus());
  entry.source_format = std::move(view.source_format);
  entry.source_file_count = static_cast<int64_t>(view.sources.size());
  for (const SourceFileRecord& source : view.sources) {
    if (entry.source_files.size() == kMaxEntrySources) break;
    entry.source_files.push_back(source.name);
  }
  entry.start_time = std::move(view.start_time);
  for (const HistoryEntry& step : view.history) {
    if (step.operation == "ingest") entry.ingest_time = step.time;
  }
  entry.anomaly_count = view.anomaly_count;
  for (MetadataFact& fact : view.facts) {
    if (entry.facts.size() == kMaxEntryFacts) break;
    if (fact.value.is_string() && fact.value.get_ref<const std::string&>().size() > kMaxFactText) {
      continue;
    }
    if (fact.units.find('\0') != std::string::npos) continue;  // would break the index's keys
    entry.facts.push_back({.path = std::move(fact.path),
                           .value = std::move(fact.value),
                           .units = std::move(fact.units)});
  }
  return entry;
}

}  // namespace

Result<Entry> ReadEntry(const std::filesystem::path& directory, std::string path) {
  if (!IsUtf8(path)) {
    return Error::Unsupported("the name of the dataset is not UTF-8").In(directory);
  }
  const std::filesystem::path sidecar = directory / "nexus.json";
  // Published datasets are replaced by rename; when that happens while we read, we read again.
  for (int attempt = 0;; ++attempt) {
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity before, IdentifyFile(sidecar));
    PENSTOCK_ASSIGN_OR_RETURN(const Dataset dataset, Dataset::Open(directory));
    PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity after, IdentifyFile(sidecar));
    if (before == after) {
      Entry entry = EntryOf(dataset, std::move(path));
      entry.sidecar_bytes = after.size;
      entry.sidecar_mtime_ns = after.mtime_ns;
      return entry;
    }
    if (attempt == 3) {
      return Error::Busy("the sidecar changes while it is read").In(sidecar);
    }
  }
}

}  // namespace penstock::catalog
