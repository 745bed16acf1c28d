// data.nxs: the tree of nexus.json as an HDF5 file, with the raw blocks as a virtual dataset.

#ifndef PENSTOCK_DATASET_NEXUS_FILE_H_
#define PENSTOCK_DATASET_NEXUS_FILE_H_

#include <cstdint>
#include <filesystem>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock {

// HDF5 opens every source file of a virtual dataset and reads zeros, without an error, once it runs
// out of descriptors.
inline constexpr int64_t kMaximumVirtualSources = 512;

// Writes `dataset_directory`/data.nxs. Links to blocks become virtual, links to small arrays are
// embedded. The same tree gives the same bytes.
Status WriteNexusFile(const std::filesystem::path& dataset_directory, const Json& tree);
// The same in place of a file that readers may have open, by one rename.
Status ReplaceNexusFile(const std::filesystem::path& dataset_directory, const Json& tree);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_NEXUS_FILE_H_
