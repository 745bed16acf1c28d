#include <cstring>
#include <type_traits>

#include "catalog/dataset/small_arrays.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/dataset_writer.h"

namespace penstock {

namespace {

void AppendNumber(std::vector<std::byte>& bytes, ElementType type, FrameStatistics::Number number) {
  VisitElementType(type, [&bytes, number](auto element) {
    using T = decltype(element);
    if constexpr (std::is_arithmetic_v<T>) {
      T value;
      if constexpr (std::is_floating_point_v<T>) {
        value = static_cast<T>(number.as_float);
      } else if constexpr (std::is_signed_v<T>) {
        value = static_cast<T>(number.as_int);
      } else {
        value = static_cast<T>(number.as_uint);
      }
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      bytes.insert(bytes.end(), raw, raw + sizeof value);
    }
  });
}

FrameStatistics::Number FieldOf(const FrameStatistics& frame, std::string_view field,
                                ElementType type) {
  if (field == "minimum_value") return frame.minimum;
  if (field == "maximum_value") return frame.maximum;
  if (field == "sum") return frame.sum;
  FrameStatistics::Number number;
  if (field == "nan_count") {
    number.as_uint = frame.nan_count;
  } else if (type == ElementType::kUint64) {
    number.as_uint = frame.sum_of_squares_exact;
  } else {
    number.as_float = frame.sum_of_squares;
  }
  return number;
}

template <typename T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

}  // namespace

Status WriteBlockStatistics(const std::filesystem::path& dataset_directory,
                            const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                            const BlockStatistics& statistics) {
  const BlockRegion region = RegionOfBlock(shape, grid, block);
  for (const SmallArray& array : FrameStatisticsArrays(shape)) {
    const std::string_view field = std::string_view(array.name).substr(array.name.rfind('/') + 1);
    std::vector<std::byte> bytes;
    bytes.reserve(static_cast<size_t>(region.frame_count()) * ElementSize(array.type));
    for (const FrameStatistics& frame : statistics.frames()) {
      AppendNumber(bytes, array.type, FieldOf(frame, field, array.type));
    }
    const uint64_t offset = static_cast<uint64_t>(region.first_frame) * ElementSize(array.type);
    PENSTOCK_RETURN_IF_ERROR(WriteArrayPart(dataset_directory, array, 0, offset, bytes));
  }
  for (const SmallArray& array : BlockStatisticsArrays(shape, grid)) {
    if (array.name.ends_with("/histogram")) {
      const std::span<const std::byte> bytes = BytesOf(statistics.histogram());
      PENSTOCK_RETURN_IF_ERROR(WriteArrayPart(dataset_directory, array, 0,
                                              static_cast<uint64_t>(block) * bytes.size(), bytes));
    } else if (array.name.ends_with("/sum_pattern")) {
      PENSTOCK_RETURN_IF_ERROR(
          WriteArrayPart(dataset_directory, array, block, 0, BytesOf(statistics.sum_pattern())));
    } else {
      PENSTOCK_RETURN_IF_ERROR(WriteArrayPart(dataset_directory, array, 0, 0,
                                              BytesOf(HistogramEdges(shape.element_type))));
    }
  }
  return {};
}

Status CreateStatistics(const std::filesystem::path& dataset_directory, const DatasetShape& shape,
                        const BlockGrid& grid) {
  std::vector<SmallArray> arrays = FrameStatisticsArrays(shape);
  for (SmallArray& array : BlockStatisticsArrays(shape, grid)) {
    if (array.chunk_shape == array.shape) arrays.push_back(std::move(array));
  }
  for (const SmallArray& array : arrays) {
    PENSTOCK_RETURN_IF_ERROR(WriteArrayPart(dataset_directory, array, 0, 0, {}));
  }
  return {};
}

std::vector<std::string> StatisticsFiles(const DatasetShape& shape, const BlockGrid& grid,
                                         int64_t block) {
  std::vector<std::string> files;
  for (const SmallArray& array : FrameStatisticsArrays(shape)) files.push_back(array.ChunkPath());
  for (const SmallArray& array : BlockStatisticsArrays(shape, grid)) {
    files.push_back(array.ChunkPath(array.chunk_shape == array.shape ? 0 : block));
  }
  return files;
}

}  // namespace penstock
