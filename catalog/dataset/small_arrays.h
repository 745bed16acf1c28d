// The small Zarr arrays of a dataset beside the raw blocks: which there are for a shape, and their
// files. All but sum_pattern are one chunk, so that the file is the plain array in C order.

#ifndef PENSTOCK_DATASET_SMALL_ARRAYS_H_
#define PENSTOCK_DATASET_SMALL_ARRAYS_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

struct SmallArray {
  std::string name;  // relative to data.zarr: "statistics/frame/sum"
  ElementType type = ElementType::kUint64;
  std::vector<int64_t> shape;
  std::vector<int64_t> chunk_shape;  // equal to shape but for sum_pattern: one block
  std::vector<std::string> dimension_names;
  Json fill_value = 0;
  Json attributes = Json::object();

  uint64_t chunk_bytes() const;
  uint64_t bytes() const;
  // Relative to the dataset: "data.zarr/statistics/frame/sum/c/0/0". `chunk` counts along the first
  // axis.
  std::string ChunkPath(int64_t chunk = 0) const;
};

// "axis_m", "axis_k" or only "axis_k" for a series; then "axis_j", "axis_i".
std::vector<std::string> NavigationAxisNames(const DatasetShape& shape);
std::vector<std::string> AxisNames(const DatasetShape& shape);
// Extents in the same order.
std::vector<int64_t> NavigationExtents(const DatasetShape& shape);
std::vector<int64_t> AxisExtents(const DatasetShape& shape);

SmallArray ImageKeyArray(const DatasetShape& shape);
SmallArray PixelMaskArray(const DatasetShape& shape);
// `largest_block_bytes`: of the block files.
SmallArray ExtentChecksumArray(int64_t block_count, uint64_t largest_block_bytes);
SmallArray AxisArray(const std::string& axis, int64_t extent, const AxisCalibration& calibration);

// In frame_header, int64: source_frame, source_file, source_offset, sequence_number, count_time,
// start_time. A dataset has those of which its source says something.
std::vector<SmallArray> FrameHeaderArrays(const DatasetShape& shape);
// Those whose files are there.
std::vector<SmallArray> PresentFrameHeaderArrays(const std::filesystem::path& dataset_directory,
                                                 const DatasetShape& shape);

// Empty for complex pixels. Names in statistics/frame: minimum_value, maximum_value, sum, sum_sq
// and, for floating pixels, nan_count.
std::vector<SmallArray> FrameStatisticsArrays(const DatasetShape& shape);
// In statistics/block: histogram, counts_edges and, while it is at most 1 % of the data,
// sum_pattern.
std::vector<SmallArray> BlockStatisticsArrays(const DatasetShape& shape, const BlockGrid& grid);
bool KeepsSumPatterns(const DatasetShape& shape, const BlockGrid& grid);

// Writes `bytes` at byte `offset` of a chunk, creating the file in its full size (zero where
// nothing is written). Different parts may be written from different threads.
Status WriteArrayPart(const std::filesystem::path& dataset_directory, const SmallArray& array,
                      int64_t chunk, uint64_t offset, std::span<const std::byte> bytes);

// The whole of an array of one chunk. kCorrupt where the file has another size than the shape says.
Result<std::vector<std::byte>> ReadArray(const std::filesystem::path& dataset_directory,
                                         const SmallArray& array);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_SMALL_ARRAYS_H_
