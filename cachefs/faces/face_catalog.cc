#include "cachefs/faces/face_catalog.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "cachefs/faces/face_header.h"
#include "cachefs/faces/limits.h"
#include "cachefs/upstream/read_file.h"
#include "cachefs/upstream/store_presence.h"
#include "penstock/dataset/checksum.h"
#include "penstock/dataset/checksum_list.h"

namespace penstock::cachefs {

namespace {

constexpr size_t kMostKnown = 256;
constexpr mode_t kReadable = 0444;
constexpr uint64_t kStatBlock = 512;
constexpr char kSidecarName[] = "nexus.json";

std::string Join(const std::string& directory, std::string_view name) {
  return directory.empty() ? std::string(name) : directory + "/" + std::string(name);
}

std::string IdOf(const Face& face) {
  std::string name = face.dataset;
  name.push_back('\0');
  name += face.generation;
  name.push_back('\0');
  name += FaceName(face.kind);
  return HashBytes(AsBytes(name));
}

// Out of the id: the same after a restart, another one for a dataset that was written anew.
ino_t InodeOf(const Face& face) {
  uint64_t number = 0;
  std::from_chars(face.id.data(), face.id.data() + 16, number, 16);
  return number | (uint64_t{1} << 63);  // no store has so many files
}

// `like`: the file that the times are of.
ShownFace Show(std::shared_ptr<const Face> face, const struct stat& like) {
  ShownFace shown{.face = std::move(face), .status = like};
  shown.status.st_mode = S_IFREG | (like.st_mode & kReadable);
  shown.status.st_nlink = 1;
  shown.status.st_ino = InodeOf(*shown.face);
  shown.status.st_size = static_cast<off_t>(shown.face->total_bytes);
  shown.status.st_blocks =
      static_cast<blkcnt_t>((shown.face->total_bytes + kStatBlock - 1) / kStatBlock);
  return shown;
}

std::shared_ptr<const Face> MakeFace(FaceKind kind, const std::string& directory,
                                     const Dataset& dataset, uint64_t header_bytes) {
  auto face = std::make_shared<Face>();
  face->kind = kind;
  face->dataset = directory;
  face->generation = dataset.generation();
  face->id = IdOf(*face);
  face->layout = FaceLayout(dataset.shape(), dataset.grid(), header_bytes);
  face->header_bytes = header_bytes;
  face->total_bytes = face->layout.total_bytes();
  return face;
}

bool IsGone(const Error& error) { return error.kind() == ErrorKind::kNotFound; }

// Says what is wrong with a dataset rather than with the store.
bool IsOfTheDataset(const Error& error) {
  return error.kind() == ErrorKind::kCorrupt || error.kind() == ErrorKind::kUnsupported ||
         error.kind() == ErrorKind::kPermission;
}

}  // namespace

bool FaceCatalog::IsFaceName(std::string_view name) {
  return name == kNexusFaceName || name == kNpyFaceName || name == kRawFaceName ||
         name == kChecksumListName;
}

Result<FaceCatalog::Found> FaceCatalog::Find(const std::string& directory) {
  const auto status = upstream_->Stat(Join(directory, kSidecarName));
  if (!status.ok()) {
    if (IsGone(status.error())) return Found();
    return status.error();
  }
  Found found{.dataset = nullptr, .sidecar = *status};
  const FileIdentity identity = IdentityOf(*status);
  {
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(known_.begin(), known_.end(),
                                    [&](const auto& each) { return each->directory == directory; });
    if (known != known_.end() && (*known)->sidecar == identity) {
      known_.splice(known_.begin(), known_, known);
      found.dataset = known_.front();
      return found;
    }
    if (known != known_.end()) known_.erase(known);
  }
  PENSTOCK_ASSIGN_OR_RETURN(found.dataset, Load(directory, identity));
  const std::lock_guard lock(mutex_);
  known_.push_front(found.dataset);
  if (known_.size() > kMostKnown) known_.pop_back();
  return found;
}

Result<std::shared_ptr<const FaceCatalog::DatasetFaces>> FaceCatalog::Load(
    const std::string& directory, const FileIdentity& sidecar) {
  auto loaded = std::make_shared<DatasetFaces>();
  loaded->directory = directory;
  loaded->sidecar = sidecar;
  const std::string path = Join(directory, kSidecarName);
  const auto text = ReadUpstreamFile(*upstream_, path, kLargestSidecar);
  const auto dataset =
      text.ok() ? Dataset::FromNexusJson(directory, *text) : Result<Dataset>(text.error());
  if (!dataset.ok()) {
    if (!IsOfTheDataset(dataset.error())) return dataset.error();
    spdlog::info("{}: no faces: {}", path, dataset.error().ToString());
    return std::shared_ptr<const DatasetFaces>(std::move(loaded));
  }
  if (dataset->state() == kGrowingState) {
    return std::shared_ptr<const DatasetFaces>(std::move(loaded));
  }
  loaded->first_block = Join(directory, dataset->blocks().front().relative_path);
  const auto nexus_header = NexusFaceHeaderBytes(dataset->nexus(), dataset->shape());
  if (nexus_header.ok()) {
    loaded->faces.push_back(MakeFace(FaceKind::kNexus, directory, *dataset, *nexus_header));
  } else {
    spdlog::info("{}: no contiguous {}: {}", path, kNexusFaceName, nexus_header.error().ToString());
  }
  loaded->faces.push_back(MakeFace(FaceKind::kNpy, directory, *dataset, kNpyFaceHeader));
  loaded->faces.push_back(MakeFace(FaceKind::kRaw, directory, *dataset, 0));
  return std::shared_ptr<const DatasetFaces>(std::move(loaded));
}

Result<std::optional<ShownFace>> FaceCatalog::At(const std::string& directory,
                                                 std::string_view name) {
  PENSTOCK_ASSIGN_OR_RETURN(const Found found, Find(directory));
  if (!found.dataset) return std::optional<ShownFace>();
  const auto& faces = found.dataset->faces;
  if (name == kChecksumListName) {
    // The list is as it is where the mount shows the store's own data.nxs.
    if (faces.empty() || faces.front()->kind != FaceKind::kNexus) return std::optional<ShownFace>();
    return ChecksumList(directory);
  }
  const auto face = std::find_if(faces.begin(), faces.end(),
                                 [name](const auto& each) { return FaceName(each->kind) == name; });
  if (face == faces.end()) return std::optional<ShownFace>();
  if ((*face)->kind != FaceKind::kNexus) {
    const auto other = upstream_->Stat(Join(directory, name));
    if (other.ok()) return std::optional<ShownFace>();
    // Of a store that is away it would be remembered.
    if (!IsGone(other.error()) && !IsStoreAway(other.error())) return other.error();
  }
  ShownFace shown = Show(*face, found.sidecar);
  // Who may not read the blocks may not read them here. (Where they are missing, reading says so.)
  const auto block = upstream_->Stat(found.dataset->first_block);
  if (!block.ok() && !IsGone(block.error())) return block.error();
  if (block.ok()) {
    shown.status.st_mode &= S_IFMT | block->st_mode;
    shown.status.st_uid = block->st_uid;
    shown.status.st_gid = block->st_gid;
  }
  return std::optional<ShownFace>(std::move(shown));
}

Result<std::optional<ShownFace>> FaceCatalog::ChecksumList(const std::string& directory) {
  const std::string path = Join(directory, kChecksumListName);
  const auto status = upstream_->Stat(path);
  const auto text = status.ok() ? ReadUpstreamFile(*upstream_, path, kLargestChecksumList)
                                : Result<std::string>(status.error());
  const auto list = text.ok() ? ChecksumsWithoutNexus(*text, path) : text;
  if (!list.ok()) {
    if (!IsGone(list.error()) && !IsOfTheDataset(list.error())) return list.error();
    return std::optional<ShownFace>();  // a damaged one is shown as it is
  }
  auto face = std::make_shared<Face>();
  face->kind = FaceKind::kChecksumList;
  face->dataset = directory;
  face->generation = HashBytes(AsBytes(*list));
  face->id = IdOf(*face);
  face->header_bytes = face->total_bytes = list->size();
  ShownFace shown = Show(std::move(face), *status);
  shown.status.st_ino = status->st_ino;
  shown.status.st_mode = status->st_mode;
  return std::optional<ShownFace>(std::move(shown));
}

void FaceCatalog::AddTo(const std::string& directory, std::vector<DirectoryEntry>& entries) {
  const auto find = [&entries](std::string_view name) {
    return std::find_if(entries.begin(), entries.end(),
                        [name](const DirectoryEntry& entry) { return entry.name == name; });
  };
  if (find(kSidecarName) == entries.end()) return;
  const auto found = Find(directory);
  if (!found.ok()) {
    spdlog::error("{}: listed without faces: {}", directory, found.error().ToString());
    return;
  }
  if (!found->dataset) return;
  for (const auto& face : found->dataset->faces) {
    const auto entry = find(FaceName(face->kind));
    if (entry == entries.end()) {
      entries.push_back({.name = FaceName(face->kind), .type = S_IFREG, .inode = InodeOf(*face)});
    } else if (face->kind == FaceKind::kNexus) {
      *entry = {.name = entry->name, .type = S_IFREG, .inode = InodeOf(*face)};
    }
  }
}

}  // namespace penstock::cachefs
