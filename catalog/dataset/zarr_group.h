// The Zarr v3 metadata of data.zarr (zarr-specs, core protocol v3 and sharding_indexed v1.0).

#ifndef PENSTOCK_DATASET_ZARR_GROUP_H_
#define PENSTOCK_DATASET_ZARR_GROUP_H_

#include <filesystem>

#include "catalog/dataset/small_arrays.h"
#include "penstock/base/result.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/description.h"

namespace penstock {

// Of the array "real". `dimension_units`: one per axis, null where unknown.
Json RawDataMetadata(const DatasetShape& shape, const BlockGrid& grid, Compression compression,
                     Json dimension_units);
Json SmallArrayMetadata(const SmallArray& array);

// Writes every zarr.json, the one of the root with consolidated metadata.
Status WriteZarrMetadata(const std::filesystem::path& dataset_directory,
                         const DatasetDescription& description, Compression compression,
                         const SmallArray& extent_checksum);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_ZARR_GROUP_H_
