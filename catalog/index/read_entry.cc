// An Entry from a sidecar.

#include <optional>
#include <string_view>
#include <utility>

#include "catalog/index/store_folder.h"
#include "penstock/base/file.h"
#include "penstock/catalog/entry.h"

namespace penstock::catalog {

namespace {

constexpr size_t kMaxFactText = 256;
constexpr int kMaxDepth = 32;
// Digest and table of the blocks, statistics: about the storage, not facts of the experiment.
constexpr std::string_view kStorageGroups[] = {"penstock", "statistics"};

bool IsGroupOfStorage(std::string_view name) {
  for (const std::string_view storage : kStorageGroups) {
    if (name == storage) return true;
  }
  return false;
}

std::string TextOr(const Json& object, const std::string& key, std::string fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>()
                                                     : std::move(fallback);
}

// Every scalar field below an NXentry. In the silx convention a group is an object, `@name` an
// attribute, `field@name` the attribute of a field, `>name` a link.
void CollectFacts(const Json& group, const std::string& prefix, int depth,
                  std::vector<EntryFact>& facts) {
  if (depth > kMaxDepth) return;
  for (const auto& [key, value] : group.items()) {
    if (facts.size() >= kMaxEntryFacts) return;
    if (key.find_first_of(std::string_view("@>\0", 3)) != std::string::npos) continue;
    if (value.is_object()) {
      if (depth == 0 && IsGroupOfStorage(key)) continue;
      CollectFacts(value, prefix + key + "/", depth + 1, facts);
      continue;
    }
    const bool short_text =
        value.is_string() && value.get_ref<const std::string&>().size() <= kMaxFactText;
    if (!short_text && !value.is_number() && !value.is_boolean()) continue;
    std::string units = TextOr(group, key + "@units", "");
    if (units.find('\0') != std::string::npos) units.clear();
    facts.push_back({.path = prefix + key, .value = value, .units = std::move(units)});
  }
}

Result<Entry> EntryOf(const Dataset& dataset, std::string path) {
  Entry entry;
  entry.path = std::move(path);
  entry.shape = dataset.shape();
  entry.block_count = static_cast<int64_t>(dataset.blocks().size());
  for (const BlockInfo& block : dataset.blocks()) entry.block_bytes += block.bytes;
  entry.frames_expected = dataset.frames_expected();
  entry.frames_received = dataset.frames_received();
  entry.state = dataset.state();
  entry.generation = dataset.generation();
  const Json& nexus = dataset.nexus();
  const Json none = Json::object();
  const auto entry1 = nexus.find("entry1");
  const Json& root = entry1 != nexus.end() && entry1->is_object() ? *entry1 : none;
  entry.start_time = TextOr(root, "start_time", "");
  CollectFacts(root, "", 0, entry.facts);
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
      PENSTOCK_ASSIGN_OR_RETURN(Entry entry, EntryOf(dataset, std::move(path)));
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
