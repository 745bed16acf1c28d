#include "penstock/dataset/frame_header.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "catalog/dataset/small_arrays.h"
#include "penstock/base/file.h"
#include "penstock/dataset/checksum.h"

namespace penstock {

namespace {

// In the order of FrameHeaderArrays.
constexpr std::array kMembers = {&FrameHeader::source_frame,  &FrameHeader::source_file,
                                 &FrameHeader::source_offset, &FrameHeader::sequence_number,
                                 &FrameHeader::count_time,    &FrameHeader::start_time};

Result<bool> SaysNothing(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  std::vector<int64_t> part(size_t{1} << 17);
  for (uint64_t offset = 0;;) {
    PENSTOCK_ASSIGN_OR_RETURN(
        const size_t bytes,
        ReadSome(fd.get(), offset, std::as_writable_bytes(std::span(part)), path));
    const auto values = std::span(part).first(bytes / sizeof(int64_t));
    if (std::ranges::any_of(values, [](int64_t value) { return value != -1; })) return false;
    if (values.size() < part.size()) return true;
    offset += bytes;
  }
}

}  // namespace

Status WriteBlockFrameHeaders(const std::filesystem::path& dataset_directory,
                              const DatasetShape& shape, const BlockGrid& grid, int64_t block,
                              std::span<const FrameHeader> headers) {
  const BlockRegion region = RegionOfBlock(shape, grid, block);
  const std::vector<SmallArray> arrays = FrameHeaderArrays(shape);
  std::vector<int64_t> values(headers.size());
  for (size_t i = 0; i < arrays.size(); ++i) {
    std::ranges::transform(headers, values.begin(), kMembers[i]);
    PENSTOCK_RETURN_IF_ERROR(
        WriteArrayPart(dataset_directory, arrays[i], 0,
                       static_cast<uint64_t>(region.first_frame) * sizeof(int64_t),
                       std::as_bytes(std::span(values))));
  }
  return {};
}

Result<std::vector<FrameHeader>> ReadFrameHeaders(const std::filesystem::path& dataset_directory,
                                                  const DatasetShape& shape, int64_t first,
                                                  int64_t count) {
  std::vector<FrameHeader> headers(static_cast<size_t>(count));
  std::vector<int64_t> values(headers.size());
  bool found = false;
  const std::vector<SmallArray> arrays = FrameHeaderArrays(shape);
  for (size_t i = 0; i < arrays.size(); ++i) {
    const std::filesystem::path path = dataset_directory / arrays[i].ChunkPath();
    std::error_code problem;
    if (!std::filesystem::exists(path, problem)) continue;
    found = true;
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
    PENSTOCK_RETURN_IF_ERROR(ReadFully(fd.get(), static_cast<uint64_t>(first) * sizeof(int64_t),
                                       std::as_writable_bytes(std::span(values)), path));
    for (size_t k = 0; k < headers.size(); ++k) headers[k].*kMembers[i] = values[k];
  }
  if (!found) {
    return Error::NotFound("the dataset has no headers of its frames").In(dataset_directory);
  }
  return headers;
}

std::string FrameHeaderDigest(std::span<const FrameHeader> headers) {
  return HashBytes(std::as_bytes(headers));
}

Status DropSilentFrameHeaders(const std::filesystem::path& dataset_directory,
                              const DatasetShape& shape) {
  for (const SmallArray& array : FrameHeaderArrays(shape)) {
    const std::filesystem::path path = dataset_directory / array.ChunkPath();
    std::error_code problem;
    if (!std::filesystem::exists(path, problem)) continue;
    PENSTOCK_ASSIGN_OR_RETURN(const bool silent, SaysNothing(path));
    if (!silent) continue;
    const std::filesystem::path folder = dataset_directory / "data.zarr" / array.name;
    std::filesystem::remove_all(folder, problem);
    if (problem) return Error::FromErrno(problem.value(), "cannot remove").In(folder);
  }
  return {};
}

}  // namespace penstock
