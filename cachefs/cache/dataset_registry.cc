#include "cachefs/cache/dataset_registry.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <sstream>
#include <system_error>
#include <utility>

#include "cachefs/upstream/read_file.h"
#include "penstock/dataset/dataset.h"

namespace penstock::cachefs {

namespace {

constexpr std::chrono::seconds kBelieved{1};
constexpr uint64_t kLargestSidecar = uint64_t{64} << 20;
// Of a dataset that is replaced while it is read.
constexpr int kMostTries = 16;
// 4 MiB of data need 8 bytes of checksum: enough for 32 TiB.
constexpr uint64_t kLargestChecksums = uint64_t{64} << 20;
constexpr char kChecksumArray[] = "data.zarr/extent_checksum";
constexpr char kBlockMarker[] = "data.zarr/real/c/";

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

Error BeingReplaced(const std::string& dataset) {
  return Error::Busy("the dataset is being replaced").In(dataset).Advice("try again");
}

// Removes a directory when the scope ends.
class ScopedDirectory {
 public:
  explicit ScopedDirectory(std::filesystem::path path) : path_(std::move(path)) { Remove(); }
  ~ScopedDirectory() { Remove(); }
  ScopedDirectory(const ScopedDirectory&) = delete;
  ScopedDirectory& operator=(const ScopedDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  void Remove() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path path_;
};

}  // namespace

std::optional<std::string> DatasetRegistry::DatasetOfBlockPath(const std::string& path) {
  const std::string marker = kBlockMarker;
  if (path.starts_with(marker)) return "";
  const size_t at = path.rfind("/" + marker);
  if (at == std::string::npos) return std::nullopt;
  return path.substr(0, at);
}

std::shared_ptr<DatasetRegistry::Slot> DatasetRegistry::SlotOf(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Slot>& slot = slots_[path];
  if (!slot) slot = std::make_shared<Slot>();
  return slot;
}

Result<std::shared_ptr<const DatasetView>> DatasetRegistry::Get(const std::string& path,
                                                                bool ask_again) {
  std::shared_ptr<Slot> slot;
  std::unique_lock<std::mutex> lock;
  while (true) {
    slot = SlotOf(path);
    lock = std::unique_lock(slot->mutex);
    if (!slot->removed) break;
    // What others have found meanwhile is in another slot; two would load the dataset at once.
    lock.unlock();
  }
  if (!ask_again && slot->view && std::chrono::steady_clock::now() - slot->checked < kBelieved) {
    return slot->view;
  }

  auto current = LoadWhereChanged(path, slot->view);
  if (!current.ok()) {
    if (current.error().kind() == ErrorKind::kNotFound) {
      slot->view = nullptr;
      const std::lock_guard registry_lock(mutex_);
      if (const auto found = slots_.find(path); found != slots_.end() && found->second == slot) {
        slots_.erase(found);
      }
      slot->removed = true;
    }
    return current;
  }
  const std::shared_ptr<const DatasetView> previous = std::exchange(slot->view, *current);
  if (previous && !previous->blocks.empty() && previous->generation != slot->view->generation) {
    spdlog::info("{}: the dataset was written anew; its replicas are replaced", path);
    if (on_replaced_) on_replaced_(*previous);
  }
  slot->checked = std::chrono::steady_clock::now();
  return slot->view;
}

Result<std::shared_ptr<const DatasetView>> DatasetRegistry::LoadWhereChanged(
    const std::string& path, const std::shared_ptr<const DatasetView>& known) {
  std::optional<FileIdentity> tried;
  Result<std::shared_ptr<const DatasetView>> view = known;
  for (int tries = 0; tries < kMostTries; ++tries) {
    PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, upstream_->Stat(Join(path, "nexus.json")));
    const FileIdentity identity = IdentityOf(status);
    if (known && known->sidecar == identity) return known;
    // Of a dataset that is replaced while it is read, anything may be found to be wrong.
    if (tried && *tried == identity) {
      // "Not found" would mean that this is no dataset.
      return view.error().kind() == ErrorKind::kNotFound ? BeingReplaced(path) : view.error();
    }
    tried = identity;
    view = Load(path, identity);
    if (view.ok()) return view;
  }
  return BeingReplaced(path);
}

std::shared_ptr<const DatasetView> DatasetRegistry::Peek(const std::string& path) const {
  std::shared_ptr<Slot> slot;
  {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(path);
    if (found == slots_.end()) return nullptr;
    slot = found->second;
  }
  const std::unique_lock lock(slot->mutex, std::try_to_lock);
  return lock.owns_lock() ? slot->view : nullptr;
}

Result<std::shared_ptr<const BlockSource>> DatasetRegistry::BlockAt(const std::string& path) {
  const auto dataset = DatasetOfBlockPath(path);
  if (!dataset) return std::shared_ptr<const BlockSource>();
  const auto view = Get(*dataset);
  if (!view.ok()) {
    if (view.error().kind() == ErrorKind::kNotFound) return std::shared_ptr<const BlockSource>();
    return view.error();
  }
  const auto block = (*view)->block_of_path.find(path);
  if (block == (*view)->block_of_path.end()) return std::shared_ptr<const BlockSource>();
  return (*view)->blocks[static_cast<size_t>(block->second)];
}

std::vector<std::shared_ptr<const DatasetView>> DatasetRegistry::Known() const {
  std::vector<std::shared_ptr<Slot>> slots;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [path, slot] : slots_) slots.push_back(slot);
  }
  std::vector<std::shared_ptr<const DatasetView>> views;
  for (const auto& slot : slots) {
    // A slot whose store is being asked right now is left out rather than waited for.
    const std::unique_lock lock(slot->mutex, std::try_to_lock);
    if (lock && slot->view) views.push_back(slot->view);
  }
  return views;
}

Result<std::shared_ptr<const DatasetView>> DatasetRegistry::Load(const std::string& path,
                                                                 const FileIdentity& sidecar) {
  const std::string sidecar_path = Join(path, "nexus.json");
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text,
                            ReadUpstreamFile(*upstream_, sidecar_path, kLargestSidecar));

  // The checksum array is copied, so that any kind of store can be read by the code for
  // directories.
  const ScopedDirectory copy(sidecars_ / ReplicaId(path, text, -1));
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(copy.path()));
  PENSTOCK_ASSIGN_OR_RETURN(const Dataset dataset, Dataset::FromNexusJson(copy.path(), text));
  if (dataset.state() == kGrowingState) {
    // A generation per block that is added: its blocks are served as any other file until it is
    // sealed. Its checksums are not looked at, they are being replaced.
    auto growing = std::make_shared<DatasetView>();
    growing->path = path;
    growing->generation = dataset.generation();
    growing->sidecar = sidecar;
    return std::shared_ptr<const DatasetView>(std::move(growing));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto checksums, ReadChecksums(path, dataset, copy.path()));

  // Replaced while it was being read: what was read may be of two generations.
  PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, upstream_->Stat(sidecar_path));
  if (!(IdentityOf(status) == sidecar)) {
    return BeingReplaced(path);
  }

  auto view = std::make_shared<DatasetView>();
  view->path = path;
  view->generation = dataset.generation();
  view->sidecar = sidecar;
  view->compression = dataset.compression();
  if (checksums.size() != dataset.blocks().size()) {
    return Error::Corrupt("the extent checksums do not cover the blocks")
        .In(path)
        .Expected(fmt::format("{} blocks", dataset.blocks().size()))
        .Found(fmt::format("{}", checksums.size()));
  }
  for (size_t block = 0; block < dataset.blocks().size(); ++block) {
    const BlockInfo& info = dataset.blocks()[block];
    auto source = std::make_shared<BlockSource>();
    source->id = ReplicaId(path, view->generation, static_cast<int64_t>(block));
    source->dataset = path;
    source->generation = view->generation;
    source->block = static_cast<int64_t>(block);
    source->path = Join(path, info.relative_path);
    source->file_bytes = info.bytes;
    const uint64_t extents = (info.bytes + kExtentBytes - 1) / kExtentBytes;
    if (info.bytes == 0 || checksums[block].size() < extents) {
      return Error::Corrupt("the extent checksums do not cover a block")
          .In(source->path)
          .Expected(fmt::format("{} extents", extents))
          .Found(fmt::format("{}", checksums[block].size()));
    }
    source->extent_checksum.assign(checksums[block].begin(),
                                   checksums[block].begin() + static_cast<ptrdiff_t>(extents));
    view->block_of_path.emplace(source->path, source->block);
    view->blocks.push_back(std::move(source));
    view->regions.push_back(info.region);
  }
  return std::shared_ptr<const DatasetView>(std::move(view));
}

Result<std::vector<std::vector<uint64_t>>> DatasetRegistry::ReadChecksums(
    const std::string& path, const Dataset& dataset, const std::filesystem::path& copy) {
  const Status copied = CopyChecksumArray(path, copy);
  auto checksums = copied.ok() ? dataset.ReadExtentChecksums() : copied.error();
  if (checksums.ok() || checksums.error().kind() != ErrorKind::kNotFound) return checksums;
  // Not "not found": that would mean that this is no dataset, and its blocks files like any other.
  return Error::Corrupt("the checksums of the blocks are not there")
      .In(Join(path, kChecksumArray))
      .Found(checksums.error().ToString())
      .Advice("run penstock verify on the dataset in the store");
}

Status DatasetRegistry::CopyChecksumArray(const std::string& dataset,
                                          const std::filesystem::path& to) {
  uint64_t budget = kLargestChecksums;
  Status copied = CopyTree(Join(dataset, kChecksumArray), to / kChecksumArray, budget);
  if (copied.ok() || copied.error().kind() != ErrorKind::kUnsupported) return copied;
  // A store that lists no directories: the dataset itself lists its files.
  const std::string list = Join(dataset, "checksums.xxh128");
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text,
                            ReadUpstreamFile(*upstream_, list, kLargestChecksums));
  const std::string separator = "  ./";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find(separator);
    if (at == std::string::npos) continue;
    const std::string name = line.substr(at + separator.size());
    if (!name.starts_with(std::string(kChecksumArray) + "/")) continue;
    const std::filesystem::path local = to / name;
    if (local.lexically_normal() != local) return Error::Corrupt("not a file's name").In(list);
    PENSTOCK_RETURN_IF_ERROR(CreateDirectories(local.parent_path()));
    PENSTOCK_RETURN_IF_ERROR(CopyFile(Join(dataset, name), local, budget));
  }
  return {};
}

Status DatasetRegistry::CopyFile(const std::string& from, const std::filesystem::path& to,
                                 uint64_t& budget) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadUpstreamFile(*upstream_, from, budget));
  budget -= std::min<uint64_t>(budget, text.size());
  return WriteFileAtomically(to, text);
}

Status DatasetRegistry::CopyTree(const std::string& from, const std::filesystem::path& to,
                                 uint64_t& budget) {
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(to));
  PENSTOCK_ASSIGN_OR_RETURN(const auto entries, upstream_->List(from));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = Join(from, entry.name);
    PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, upstream_->Stat(path));
    if (S_ISDIR(status.st_mode)) {
      PENSTOCK_RETURN_IF_ERROR(CopyTree(path, to / entry.name, budget));
    } else if (S_ISREG(status.st_mode)) {
      PENSTOCK_RETURN_IF_ERROR(CopyFile(path, to / entry.name, budget));
    }
  }
  return {};
}

}  // namespace penstock::cachefs
