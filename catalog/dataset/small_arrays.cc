#include "catalog/dataset/small_arrays.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "catalog/dataset/histogram.h"
#include "penstock/base/file.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/statistics.h"

namespace penstock {

namespace {

uint64_t Bytes(const std::vector<int64_t>& shape, ElementType type) {
  uint64_t bytes = ElementSize(type);
  for (const int64_t extent : shape) bytes *= static_cast<uint64_t>(extent);
  return bytes;
}

ElementType SumType(ElementType pixel) {
  if (!IsInteger(pixel)) return ElementType::kFloat64;
  return IsSigned(pixel) ? ElementType::kInt64 : ElementType::kUint64;
}

ElementType SumOfSquaresType(ElementType pixel) {
  return IsInteger(pixel) && ElementSize(pixel) <= 2 ? ElementType::kUint64 : ElementType::kFloat64;
}

SmallArray OneChunk(std::string name, ElementType type, std::vector<int64_t> shape,
                    std::vector<std::string> dimension_names) {
  SmallArray array;
  array.name = std::move(name);
  array.type = type;
  array.shape = std::move(shape);
  array.chunk_shape = array.shape;
  array.dimension_names = std::move(dimension_names);
  array.attributes["units"] = "";
  return array;
}

}  // namespace

uint64_t SmallArray::chunk_bytes() const { return Bytes(chunk_shape, type); }
uint64_t SmallArray::bytes() const { return Bytes(shape, type); }

std::string SmallArray::ChunkPath(int64_t chunk) const {
  std::string path = "data.zarr/" + name + "/c/" + std::to_string(chunk);
  for (size_t axis = 1; axis < shape.size(); ++axis) path += "/0";
  return path;
}

std::vector<std::string> NavigationAxisNames(const DatasetShape& shape) {
  if (shape.scan.is_series) return {"axis_k"};
  return {"axis_m", "axis_k"};
}

std::vector<std::string> AxisNames(const DatasetShape& shape) {
  std::vector<std::string> names = NavigationAxisNames(shape);
  names.insert(names.end(), {"axis_j", "axis_i"});
  return names;
}

std::vector<int64_t> NavigationExtents(const DatasetShape& shape) {
  if (shape.scan.is_series) return {shape.scan.columns};
  return {shape.scan.rows, shape.scan.columns};
}

std::vector<int64_t> AxisExtents(const DatasetShape& shape) {
  std::vector<int64_t> extents = NavigationExtents(shape);
  extents.insert(extents.end(), {shape.signal.rows, shape.signal.columns});
  return extents;
}

SmallArray ImageKeyArray(const DatasetShape& shape) {
  SmallArray array = OneChunk("image_key", ElementType::kInt32, NavigationExtents(shape),
                              NavigationAxisNames(shape));
  array.fill_value = 3;
  array.attributes = {{"long_name", "0 sample frame, 3 invalid or not received"}};
  return array;
}

SmallArray PixelMaskArray(const DatasetShape& shape) {
  SmallArray array = OneChunk("pixel_mask", ElementType::kUint32,
                              {shape.signal.rows, shape.signal.columns}, {"axis_j", "axis_i"});
  array.attributes = {{"long_name",
                       "bits: 0 no sensor or no data, 1 dead, 2 under-responding, 3 "
                       "over-responding, 4 noisy"}};
  return array;
}

SmallArray ExtentChecksumArray(int64_t block_count, uint64_t largest_block_bytes) {
  const auto extents =
      static_cast<int64_t>((largest_block_bytes + kExtentBytes - 1) / kExtentBytes);
  SmallArray array = OneChunk("extent_checksum", ElementType::kUint64, {block_count, extents},
                              {"block", "extent"});
  array.attributes = {{"long_name", "XXH3-64 of every extent of a block file, 0 beyond its end"},
                      {"algorithm", "xxh3-64"},
                      {"extent_bytes", kExtentBytes}};
  return array;
}

SmallArray AxisArray(const std::string& axis, int64_t extent, const AxisCalibration& calibration) {
  SmallArray array = OneChunk(axis, ElementType::kFloat64, {extent}, {axis});
  array.fill_value = "NaN";
  array.attributes["units"] = calibration.units;
  if (!calibration.long_name.empty()) array.attributes["long_name"] = calibration.long_name;
  return array;
}

std::vector<SmallArray> FrameStatisticsArrays(const DatasetShape& shape) {
  if (IsComplex(shape.element_type)) return {};
  const auto array = [&shape](const char* name, ElementType type) {
    return OneChunk(std::string("statistics/frame/") + name, type, NavigationExtents(shape),
                    NavigationAxisNames(shape));
  };
  std::vector<SmallArray> arrays{array("minimum_value", shape.element_type),
                                 array("maximum_value", shape.element_type),
                                 array("sum", SumType(shape.element_type)),
                                 array("sum_sq", SumOfSquaresType(shape.element_type))};
  if (!IsInteger(shape.element_type)) arrays.push_back(array("nan_count", ElementType::kUint64));
  return arrays;
}

std::vector<SmallArray> FrameHeaderArrays(const DatasetShape& shape) {
  const auto array = [&shape](const char* name, const char* units, const char* long_name) {
    SmallArray made = OneChunk(std::string("frame_header/") + name, ElementType::kInt64,
                               NavigationExtents(shape), NavigationAxisNames(shape));
    made.fill_value = -1;
    made.attributes = {{"units", units}, {"long_name", long_name}};
    return made;
  };
  return {
      array("source_frame", "", "number of the frame in the vendor's files, -1: missing"),
      array("source_file", "", "index of the frame's file in penstock/sources, -1: unknown"),
      array("source_offset", "byte", "where the frame's record begins in its file, -1: unknown"),
      array("sequence_number", "", "number that the camera gave the frame, -1: unknown"),
      array("count_time", "ns", "exposure of the frame, -1: unknown"),
      array("start_time", "ns", "time since 1970-01-01T00:00:00Z, -1: unknown")};
}

std::vector<SmallArray> PresentFrameHeaderArrays(const std::filesystem::path& dataset_directory,
                                                 const DatasetShape& shape) {
  std::vector<SmallArray> present;
  for (SmallArray& array : FrameHeaderArrays(shape)) {
    std::error_code problem;
    if (std::filesystem::exists(dataset_directory / array.ChunkPath(), problem)) {
      present.push_back(std::move(array));
    }
  }
  return present;
}

bool KeepsSumPatterns(const DatasetShape& shape, const BlockGrid& grid) {
  if (IsComplex(shape.element_type)) return false;
  const double pattern_bytes = static_cast<double>(grid.block_count()) *
                               static_cast<double>(shape.signal.pixel_count()) * sizeof(double);
  return pattern_bytes <= 0.01 * static_cast<double>(shape.payload_bytes());
}

std::vector<SmallArray> BlockStatisticsArrays(const DatasetShape& shape, const BlockGrid& grid) {
  if (IsComplex(shape.element_type)) return {};
  const auto edges = static_cast<int64_t>(HistogramEdges(shape.element_type).size());
  std::vector<SmallArray> arrays{
      OneChunk("statistics/block/histogram", ElementType::kUint64, {grid.block_count(), edges - 1},
               {"block", "bin"}),
      OneChunk("statistics/block/counts_edges", ElementType::kFloat64, {edges}, {"edge"})};
  if (KeepsSumPatterns(shape, grid)) {
    SmallArray& pattern =
        arrays.emplace_back(OneChunk("statistics/block/sum_pattern", ElementType::kFloat64,
                                     {grid.block_count(), shape.signal.rows, shape.signal.columns},
                                     {"block", "axis_j", "axis_i"}));
    pattern.chunk_shape[0] = 1;
  }
  return arrays;
}

Status WriteArrayPart(const std::filesystem::path& dataset_directory, const SmallArray& array,
                      int64_t chunk, uint64_t offset, std::span<const std::byte> bytes) {
  const std::filesystem::path path = dataset_directory / array.ChunkPath(chunk);
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_WRONLY | O_CREAT));
  if (ftruncate(fd.get(), static_cast<off_t>(array.chunk_bytes())) != 0) {
    return Error::FromErrno(errno, "cannot set the size of the file").In(path);
  }
  return WriteFully(fd.get(), offset, bytes, path);
}

Result<std::vector<std::byte>> ReadArray(const std::filesystem::path& dataset_directory,
                                         const SmallArray& array) {
  const std::filesystem::path path = dataset_directory / array.ChunkPath();
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(fd.get(), path));
  // Also what keeps a shape of the sidecar from choosing how much is allocated.
  if (identity.size != array.bytes()) {
    return Error::Corrupt("the array has not the size that nexus.json says")
        .In(path)
        .Expected(std::to_string(array.bytes()) + " bytes")
        .Found(std::to_string(identity.size))
        .Advice("run penstock verify");
  }
  std::vector<std::byte> bytes(identity.size);
  PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), 0, bytes, path));
  return bytes;
}

}  // namespace penstock
