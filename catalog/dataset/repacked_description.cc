#include "penstock/dataset/repacked_description.h"

#include <algorithm>
#include <string>
#include <utility>

#include "catalog/dataset/checksum_writer.h"
#include "catalog/dataset/json_text.h"
#include "catalog/dataset/nexus_file.h"
#include "catalog/dataset/nexus_tree.h"
#include "catalog/dataset/small_arrays.h"
#include "catalog/dataset/zarr_group.h"
#include "penstock/base/file.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/faces.h"

namespace penstock {

namespace {

constexpr char kGroup[] = "data.zarr/zarr.json";
constexpr char kFramesFolder[] = "data.zarr/real/";
constexpr char kFrames[] = "data.zarr/real/zarr.json";
constexpr char kChecksums[] = "data.zarr/extent_checksum/";
constexpr uint64_t kMaximumMetadataBytes = uint64_t{64} << 20;

Error NoPlace(const Dataset& source, const std::string& path) {
  return Error::Corrupt("the sidecar has not what every dataset has")
      .In((source.directory() / "nexus.json").string())
      .Expected(path);
}

Result<Json> ReadJson(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaximumMetadataBytes));
  PENSTOCK_ASSIGN_OR_RETURN(Json json, ParseJson(text, path));
  if (!json.is_object()) return Error::Corrupt("this is not a JSON object").In(path.string());
  return json;
}

// The group at `path` below the entry; null where there is none.
Json* Group(Json& entry, std::string path) {
  Json* node = &entry;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const auto found = node->find(path.substr(0, slash));
    if (found == node->end() || !found->is_object()) return nullptr;
    node = &*found;
    path.erase(0, slash + 1);
  }
  return node;
}

Status AddHistory(const Dataset& source, Json& penstock, const HistoryEntry& entry) {
  Json* const history = Group(penstock, "history");
  if (history == nullptr) return NoPlace(source, "entry1/penstock/history");
  int64_t count = 0;
  while (history->contains("entry" + std::to_string(count + 1))) ++count;
  (*history)["count"] = count + 1;
  (*history)["entry" + std::to_string(count + 1)] = HistoryRecord(entry);
  return {};
}

Result<Json> RepackedTree(const Dataset& source, const BlockGrid& grid,
                          const RepackedBlocks& repacked) {
  Json tree = source.nexus();
  Json& entry = tree["entry1"];
  Json& penstock = entry["penstock"];
  Json* const signal = Group(entry, SignalGroupPath(source.shape()));
  if (signal == nullptr || !signal->contains(">real")) {
    return NoPlace(source, "entry1/" + SignalGroupPath(source.shape()) + "/>real");
  }
  (*signal)[">real"] = LinkToBlocks(source.shape(), grid, repacked.compression);
  SetCompression(penstock, source.shape(), repacked.compression);
  penstock["inner_columns"] = grid.inner_columns;
  penstock["block_bytes"] = Json::array();
  penstock["block_checksum"] = Json::array();
  for (const BlockRecord& block : repacked.blocks) {
    penstock["block_bytes"].push_back(block.bytes);
    penstock["block_checksum"].push_back(block.checksum);
  }
  PENSTOCK_RETURN_IF_ERROR(AddHistory(source, penstock, repacked.history));
  return tree;
}

Status WriteZarr(const Dataset& source, const std::filesystem::path& staging, const BlockGrid& grid,
                 Compression compression, const SmallArray& extents) {
  PENSTOCK_ASSIGN_OR_RETURN(Json group, ReadJson(source.directory() / kGroup));
  PENSTOCK_ASSIGN_OR_RETURN(Json before, ReadJson(source.directory() / kFrames));
  const Json* const attributes = Group(before, "attributes");
  if (attributes == nullptr || !attributes->contains("dimension_units")) {
    return Error::Corrupt("the metadata of the frames has no units of its dimensions")
        .In((source.directory() / kFrames).string());
  }
  Json frames =
      RawDataMetadata(source.shape(), grid, compression, (*attributes)["dimension_units"]);
  Json checksums = SmallArrayMetadata(extents);
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(staging / "data.zarr/real"));
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(staging / kChecksums));
  PENSTOCK_RETURN_IF_ERROR(WriteNewFile(staging / kFrames, JsonText(frames)));
  PENSTOCK_RETURN_IF_ERROR(WriteNewFile(staging / kChecksums / "zarr.json", JsonText(checksums)));
  if (Json* const consolidated = Group(group, "consolidated_metadata/metadata")) {
    (*consolidated)["real"] = std::move(frames);
    (*consolidated)["extent_checksum"] = std::move(checksums);
  }
  return WriteNewFile(staging / kGroup, JsonText(group));
}

}  // namespace

bool IsRepackedFile(std::string_view path) {
  return path == "nexus.json" || path == kNexusFaceName || path == kChecksumListName ||
         path == kGroup || path.starts_with(kFramesFolder) || path.starts_with(kChecksums);
}

Status WriteRepackedDescription(const Dataset& source, const std::filesystem::path& staging,
                                const RepackedBlocks& repacked) {
  const DatasetShape& shape = source.shape();
  const BlockGrid grid = GridFor(shape, source.grid(), repacked.compression);
  uint64_t largest = 0;
  for (const BlockRecord& block : repacked.blocks) largest = std::max(largest, block.bytes);
  const SmallArray extents = ExtentChecksumArray(grid.block_count(), largest);
  std::vector<uint64_t> values(static_cast<size_t>(extents.shape[0] * extents.shape[1]));
  ChecksumList digests;
  for (const BlockRecord& block : repacked.blocks) {
    std::ranges::copy(block.extent_checksum, values.begin() + block.block * extents.shape[1]);
    digests[BlockRelativePath(shape, grid, block.block)] = block.checksum;
  }
  PENSTOCK_RETURN_IF_ERROR(
      WriteArrayPart(staging, extents, 0, 0, std::as_bytes(std::span(values))));
  PENSTOCK_RETURN_IF_ERROR(WriteZarr(source, staging, grid, repacked.compression, extents));
  PENSTOCK_ASSIGN_OR_RETURN(const Json tree, RepackedTree(source, grid, repacked));
  PENSTOCK_RETURN_IF_ERROR(WriteNewFile(staging / "nexus.json", JsonText(tree)));
  if (repacked.compression == Compression::kNone && grid.block_count() <= kMaximumVirtualSources) {
    PENSTOCK_RETURN_IF_ERROR(WriteNexusFile(staging, tree));
  }
  return WriteChecksumList(staging, std::move(digests));
}

}  // namespace penstock
