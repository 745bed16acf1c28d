#include "penstock/dataset/faces.h"

#include <algorithm>

#include "catalog/dataset/small_arrays.h"
#include "penstock/base/npy.h"
#include "penstock/dataset/block_layout.h"

namespace penstock {

std::vector<FacePart> FaceLayout::PartsOf(uint64_t offset, uint64_t size) const {
  std::vector<FacePart> parts;
  if (offset >= total_bytes()) return parts;
  size = std::min(size, total_bytes() - offset);
  if (size > 0 && offset < header_bytes_) {
    const uint64_t bytes = std::min(size, header_bytes_ - offset);
    parts.push_back({.block = -1, .file_offset = offset, .bytes = bytes});
    offset += bytes;
    size -= bytes;
  }
  const uint64_t frame_bytes = shape_.frame_bytes();
  while (size > 0) {
    const uint64_t in_payload = offset - header_bytes_;
    const int64_t block =
        BlockOfFrame(shape_, grid_, static_cast<int64_t>(in_payload / frame_bytes));
    const BlockRegion region = RegionOfBlock(shape_, grid_, block);
    const uint64_t in_block = in_payload - static_cast<uint64_t>(region.first_frame) * frame_bytes;
    const uint64_t block_bytes = static_cast<uint64_t>(region.frame_count()) * frame_bytes;
    const uint64_t bytes = std::min(size, block_bytes - in_block);
    parts.push_back({.block = block, .file_offset = kPayloadStart + in_block, .bytes = bytes});
    offset += bytes;
    size -= bytes;
  }
  return parts;
}

Result<std::string> MakeNpyFaceHeader(const DatasetShape& shape) {
  return MakeNpyHeader(shape.element_type, AxisExtents(shape), kNpyFaceHeader);
}

}  // namespace penstock
