#include "penstock/dataset/geometry.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "penstock/dataset/chunk_index.h"

namespace penstock {

namespace {

// Zarr readers fetch whole inner chunks: 1-4 MiB is where one frame and one block are both fast.
constexpr uint64_t kInnerChunkBytes = uint64_t{2} << 20;
constexpr uint64_t kMaximumPayloadBytes = uint64_t{1} << 62;

// The largest divisor d of `n` with d <= limit; 1 where limit < 1.
int64_t LargestDivisorUpTo(int64_t n, int64_t limit) {
  int64_t best = 1;
  for (int64_t small = 1; small <= n / small; ++small) {
    if (n % small != 0) continue;
    for (const int64_t divisor : {small, n / small}) {
      if (divisor <= limit) best = std::max(best, divisor);
    }
  }
  return best;
}

}  // namespace

Status DatasetShape::Validate() const {
  uint64_t bytes = ElementSize(element_type);
  const auto multiply = [&bytes](int64_t extent) {
    if (extent <= 0) return false;
    return !__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes) &&
           bytes <= kMaximumPayloadBytes;
  };
  if (multiply(scan.rows) && multiply(scan.columns) && multiply(signal.rows) &&
      multiply(signal.columns) && !(scan.is_series && scan.rows != 1)) {
    return {};
  }
  return Error::InvalidArgument("the shape of the dataset is not possible")
      .Expected("axes of at least 1 (a series has one scan row) and at most 2^62 bytes in all")
      .Found("scan " + std::to_string(scan.rows) + " x " + std::to_string(scan.columns) +
             (scan.is_series ? " (series)" : "") + ", frames " + std::to_string(signal.rows) +
             " x " + std::to_string(signal.columns) + " of " +
             std::string(ZarrDataType(element_type)));
}

Result<BlockGrid> ChooseBlockGrid(const DatasetShape& shape, uint64_t target_block_bytes) {
  PENSTOCK_RETURN_IF_ERROR(shape.Validate());
  const uint64_t frame_bytes = shape.frame_bytes();
  const auto frames = static_cast<int64_t>(
      std::clamp<uint64_t>(target_block_bytes / frame_bytes, 1, shape.frame_count()));
  const auto inner_limit =
      static_cast<int64_t>(std::max<uint64_t>(kInnerChunkBytes / frame_bytes, 1));

  BlockGrid grid;
  const int64_t row_inner = LargestDivisorUpTo(shape.scan.columns, inner_limit);
  if (frames >= shape.scan.columns) {
    grid.block_rows = std::min(frames / shape.scan.columns, shape.scan.rows);
    grid.block_columns = shape.scan.columns;
    grid.inner_columns = row_inner;
  } else {
    // A multiple of the inner chunk that the row allows, so that cutting the row costs no
    // granularity.
    grid.block_rows = 1;
    grid.block_columns = frames >= row_inner ? frames / row_inner * row_inner : frames;
    grid = GridFor(shape, grid, Compression::kNone);
  }
  grid.grid_rows = (shape.scan.rows + grid.block_rows - 1) / grid.block_rows;
  grid.grid_columns = (shape.scan.columns + grid.block_columns - 1) / grid.block_columns;
  return grid;
}

BlockGrid GridFor(const DatasetShape& shape, BlockGrid grid, Compression compression) {
  const uint64_t bytes =
      compression == Compression::kNone ? kInnerChunkBytes : kCompressedChunkBytes;
  const auto limit = static_cast<int64_t>(std::max<uint64_t>(bytes / shape.frame_bytes(), 1));
  grid.inner_columns = LargestDivisorUpTo(std::gcd(shape.scan.columns, grid.block_columns), limit);
  return grid;
}

Status ValidateBlockGrid(const DatasetShape& shape, const BlockGrid& grid) {
  PENSTOCK_RETURN_IF_ERROR(shape.Validate());
  const ScanShape& scan = shape.scan;
  const bool whole_rows =
      grid.block_columns == scan.columns && grid.block_rows >= 1 && grid.block_rows <= scan.rows;
  const bool part_of_row =
      grid.block_rows == 1 && grid.block_columns >= 1 && grid.block_columns <= scan.columns;
  if ((whole_rows || part_of_row) && grid.inner_columns >= 1 &&
      scan.columns % grid.inner_columns == 0 && grid.block_columns % grid.inner_columns == 0 &&
      grid.grid_rows == (scan.rows + grid.block_rows - 1) / grid.block_rows &&
      grid.grid_columns == (scan.columns + grid.block_columns - 1) / grid.block_columns) {
    return {};
  }
  return Error::InvalidArgument("the partition into blocks does not fit the scan")
      .Expected("blocks of whole scan rows or of a part of one row of a scan of " +
                std::to_string(scan.rows) + " x " + std::to_string(scan.columns) +
                ", inner chunks that divide both")
      .Found("blocks of " + std::to_string(grid.block_rows) + " x " +
             std::to_string(grid.block_columns) + ", inner chunks of " +
             std::to_string(grid.inner_columns) + ", grid of " + std::to_string(grid.grid_rows) +
             " x " + std::to_string(grid.grid_columns));
}

BlockRegion RegionOfBlock(const DatasetShape& shape, const BlockGrid& grid, int64_t block) {
  BlockRegion region;
  region.first_row = block / grid.grid_columns * grid.block_rows;
  region.first_column = block % grid.grid_columns * grid.block_columns;
  region.row_count = std::min(grid.block_rows, shape.scan.rows - region.first_row);
  region.column_count = std::min(grid.block_columns, shape.scan.columns - region.first_column);
  region.first_frame = region.first_row * shape.scan.columns + region.first_column;
  return region;
}

int64_t BlockOfFrame(const DatasetShape& shape, const BlockGrid& grid, int64_t frame) {
  const int64_t row = frame / shape.scan.columns;
  const int64_t column = frame % shape.scan.columns;
  return row / grid.block_rows * grid.grid_columns + column / grid.block_columns;
}

std::string BlockRelativePath(const DatasetShape& shape, const BlockGrid& grid, int64_t block) {
  std::string path = "data.zarr/real/c/";
  if (!shape.scan.is_series) path += std::to_string(block / grid.grid_columns) + "/";
  return path + std::to_string(block % grid.grid_columns) + "/0/0";
}

}  // namespace penstock
