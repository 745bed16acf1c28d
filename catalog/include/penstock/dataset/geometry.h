// Shapes of a scan and of its partition into blocks. Slow axis first, as in NumPy.
//
// Plain values; every function is pure and thread-safe.

#ifndef PENSTOCK_DATASET_GEOMETRY_H_
#define PENSTOCK_DATASET_GEOMETRY_H_

#include <cstdint>
#include <string>

#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock {

// The navigation axes. A series (no known scan shape) has rows == 1 and `is_series`; its Zarr and
// HDF5 arrays then have one navigation axis (axis_k) instead of two (axis_m, axis_k).
struct ScanShape {
  int64_t rows = 0;
  int64_t columns = 0;
  bool is_series = false;

  int64_t frame_count() const { return rows * columns; }
  bool operator==(const ScanShape&) const = default;
};

// The signal axes: one detector frame (axis_j, axis_i), in pixels.
struct SignalShape {
  int64_t rows = 0;
  int64_t columns = 0;

  int64_t pixel_count() const { return rows * columns; }
  bool operator==(const SignalShape&) const = default;
};

struct DatasetShape {
  ScanShape scan;
  SignalShape signal;
  ElementType element_type = ElementType::kUint16;

  int64_t frame_count() const { return scan.frame_count(); }
  uint64_t frame_bytes() const {
    return static_cast<uint64_t>(signal.pixel_count()) * ElementSize(element_type);
  }
  uint64_t payload_bytes() const { return static_cast<uint64_t>(frame_count()) * frame_bytes(); }
  // kInvalidArgument for a zero or negative axis or a product beyond 2^62 bytes.
  Status Validate() const;
  bool operator==(const DatasetShape&) const = default;
};

// The frames of one block. A block holds whole scan rows or a part of one row, so its frames are
// always a contiguous range [first_frame, first_frame + frame_count) in scan order.
struct BlockRegion {
  int64_t first_row = 0;
  int64_t row_count = 0;
  int64_t first_column = 0;
  int64_t column_count = 0;
  int64_t first_frame = 0;

  int64_t frame_count() const { return row_count * column_count; }
  bool operator==(const BlockRegion&) const = default;
};

inline constexpr uint64_t kDefaultBlockBytes = uint64_t{256} << 20;

// The regular partition of a scan: full blocks of (block_rows, scan.columns) or (1, block_columns)
// frames, cut at the edges of the scan. Blocks are numbered in C order over the grid.
struct BlockGrid {
  int64_t block_rows = 0;
  int64_t block_columns = 0;
  int64_t grid_rows = 0;
  int64_t grid_columns = 0;
  // Frames in one inner chunk of the Zarr shard, (1, inner_columns): the largest common divisor
  // structure of layout rule 3, so that no inner chunk is ragged.
  int64_t inner_columns = 0;

  int64_t block_count() const { return grid_rows * grid_columns; }
  bool operator==(const BlockGrid&) const = default;
};

// Chooses blocks of at most `target_block_bytes` of frames (at least one frame).
Result<BlockGrid> ChooseBlockGrid(const DatasetShape& shape, uint64_t target_block_bytes);

// kInvalidArgument where the grid is not one that the layout allows for this shape.
Status ValidateBlockGrid(const DatasetShape& shape, const BlockGrid& grid);

// Precondition: 0 <= block < grid.block_count().
BlockRegion RegionOfBlock(const DatasetShape& shape, const BlockGrid& grid, int64_t block);
int64_t BlockOfFrame(const DatasetShape& shape, const BlockGrid& grid, int64_t frame);

// "data.zarr/real/c/3/0/0/0" (or "data.zarr/real/c/3/0/0" for a series), relative to the dataset.
std::string BlockRelativePath(const DatasetShape& shape, const BlockGrid& grid, int64_t block);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_GEOMETRY_H_
