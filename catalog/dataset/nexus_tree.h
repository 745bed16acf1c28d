// The NeXus tree of nexus.json (silx dictdump JSON convention: "@name" attribute of a group,
// "field@name" attribute of a field, ">name" link). docs/sidecar.md lists the paths.

#ifndef PENSTOCK_DATASET_NEXUS_TREE_H_
#define PENSTOCK_DATASET_NEXUS_TREE_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/dataset/small_arrays.h"
#include "penstock/base/result.h"
#include "penstock/dataset/dataset_writer.h"
#include "penstock/dataset/description.h"

namespace penstock {

inline constexpr std::string_view kNexusRelease = "v2026.01";
inline constexpr int kLayoutVersion = 1;  // of datasets of raw blocks
inline constexpr int kCompressedLayoutVersion = 2;
// dictdump_schema of the link to compressed frames: an array of a Zarr group beside the sidecar.
inline constexpr char kZarrLinkSchema[] = "penstock_zarr_v3_link_v1";

// "measurement/event1/image1/image_4d", or image_3d for a series.
std::string SignalGroupPath(const DatasetShape& shape);

// The NX_class of the group at `path` (relative to the NXentry); NXcollection where nothing is
// known of it.
std::string_view NexusClassOf(std::string_view path);

// Required fields of NXem that the NXentry does not have, as paths relative to it: those of the
// definition itself, and those of every optional group that is there.
std::vector<std::string> AbsentNxemFields(const Json& entry);

// The link to the frames: to the raw blocks, or to the Zarr array of compressed ones.
Json LinkToBlocks(const DatasetShape& shape, const BlockGrid& grid, Compression compression);
// Sets the members of the penstock collection that say how blocks are stored, layout_version among
// them.
void SetCompression(Json& penstock, const DatasetShape& shape, Compression compression);
Json HistoryRecord(const HistoryEntry& entry);

// kInvalidArgument where a fact's path cannot be one ("", "a//b", a path through a field).
// `frame_headers`: those of the arrays that the dataset has.
Result<Json> MakeNexusTree(const DatasetDescription& description, const DatasetContents& contents,
                           const std::vector<SmallArray>& frame_headers);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_NEXUS_TREE_H_
