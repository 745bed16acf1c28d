// Regions of a scan: which frames a pass looks at (PassOptions::selection).
//
// Pure functions, thread-safe. A selection has one byte per frame in scan order, 0: leave it out.

#ifndef PENSTOCK_READER_REGION_H_
#define PENSTOCK_READER_REGION_H_

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

// First, behind the last, step; as in Python negative bounds count from the end, and what lies
// beyond the axis is cut off.
struct AxisSlice {
  int64_t first = 0;
  int64_t last = INT64_MAX;
  int64_t step = 1;
};

// Frames whose scan row and column lie in the slices. For a series `columns` are its frames and
// `rows` must be everything. kInvalidArgument for a step below 1 or where nothing is selected.
Result<std::vector<uint8_t>> SliceRegion(ScanShape scan, const AxisSlice& rows,
                                         const AxisSlice& columns);

// Frames at (row, column); for a series the row is 0. kInvalidArgument outside of the scan.
Result<std::vector<uint8_t>> PointRegion(ScanShape scan,
                                         std::span<const std::pair<int64_t, int64_t>> points);

// An .npy file: an array of the scan's shape (non-zero: wanted), or integers of shape (n, 2), the
// rows and columns of n frames; for a series (n,) of frame numbers or of its length, if boolean.
Result<std::vector<uint8_t>> LoadRegion(const std::filesystem::path& npy_file, ScanShape scan);

// "ROWS,COLUMNS" with slices in the manner of Python ("10:20,:", "::2,::2", "5,7"), for a series
// "FRAMES"; or the name of an .npy file.
Result<std::vector<uint8_t>> ParseRegion(std::string_view text, ScanShape scan);

}  // namespace penstock

#endif  // PENSTOCK_READER_REGION_H_
