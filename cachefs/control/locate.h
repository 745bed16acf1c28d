// Where the blocks of a dataset are: the answer to the control command "locate".

#ifndef PENSTOCK_CACHEFS_CONTROL_LOCATE_H_
#define PENSTOCK_CACHEFS_CONTROL_LOCATE_H_

#include <string>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

// What one node holds of a dataset, by block number.
struct NodeResidency {
  std::string node;                     // its host name, or as the list of peers has it
  std::vector<ResidencyDetail> blocks;  // empty where the node did not say
  std::string failure;                  // why not
};

// This node; `name` is "" for its host name.
NodeResidency ResidencyHere(const BlockCache& cache, const DatasetView& view,
                            const std::string& name);

// {"dataset", "generation", "nodes": [name, ...], "silent": [{"node", "why"}], "blocks": [{"block",
// "path", "bytes", "rows": [first, end), "columns": [first, end), "frames": [first, end), "nodes":
// [{"node", "state", "extents_present", "extents"}]}]}; the blocks whose path is `path` or lies
// below it.
Json LocateJson(const DatasetView& view, const std::string& path,
                const std::vector<NodeResidency>& nodes);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_LOCATE_H_
