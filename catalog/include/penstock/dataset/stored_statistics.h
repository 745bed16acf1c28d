// The statistics that were taken while a dataset was written, read back (statistics.h says what
// they are and how exact).
//
// Every file is held against the dataset's own list of checksums before it is believed. Nothing
// (std::nullopt) where the dataset has none: complex pixels, or a dataset that is still growing.
// Thread-safe.

#ifndef PENSTOCK_DATASET_STORED_STATISTICS_H_
#define PENSTOCK_DATASET_STORED_STATISTICS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/statistics.h"

namespace penstock {

// One per frame in scan order; of frames that image_key marks they mean nothing. kCorrupt where a
// file contradicts its checksum or the shape.
Result<std::optional<std::vector<FrameStatistics>>> ReadFrameStatistics(const Dataset& dataset);

// [block][bin] over the valid frames of the block, between HistogramEdges of its type.
Result<std::optional<std::vector<std::vector<uint64_t>>>> ReadBlockHistograms(
    const Dataset& dataset);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_STORED_STATISTICS_H_
