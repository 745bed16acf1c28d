#include "ingest/formats/chunked/chunk_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace penstock::ingest::chunked {

namespace {

template <typename Word>
void CopyStrided(const std::byte* from, uint64_t stride, std::byte* to, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    std::memcpy(to + i * sizeof(Word), from + i * stride * sizeof(Word), sizeof(Word));
  }
}

}  // namespace

bool FrameAxes::IsFixed(size_t axis) const {
  return axis != rows && axis != columns && std::ranges::find(navigation, axis) == navigation.end();
}

bool FrameAxes::InOrder() const {
  return std::ranges::is_sorted(navigation) && rows < columns &&
         (navigation.empty() || navigation.back() < rows);
}

FrameAxes ImageAxes(size_t rank) {
  FrameAxes axes;
  axes.fixed.assign(rank, 0);
  for (size_t axis = 0; axis + 2 < rank; ++axis) axes.navigation.push_back(axis);
  axes.rows = rank - 2;
  axes.columns = rank - 1;
  return axes;
}

std::vector<uint64_t> Strides(const std::vector<uint64_t>& shape) {
  std::vector<uint64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * shape[axis];
  return strides;
}

std::string ShapeText(const std::vector<uint64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

void CopyElements(const std::byte* from, uint64_t stride, std::byte* to, uint64_t count,
                  uint64_t element_bytes) {
  if (stride == 1) {
    std::memcpy(to, from, count * element_bytes);
    return;
  }
  struct Wide {
    uint64_t words[2];
  };
  switch (element_bytes) {
    case 1:
      return CopyStrided<uint8_t>(from, stride, to, count);
    case 2:
      return CopyStrided<uint16_t>(from, stride, to, count);
    case 4:
      return CopyStrided<uint32_t>(from, stride, to, count);
    case 8:
      return CopyStrided<uint64_t>(from, stride, to, count);
    default:
      return CopyStrided<Wide>(from, stride, to, count);
  }
}

ChunkGrid::ChunkGrid(std::vector<uint64_t> shape, std::vector<uint64_t> chunk, FrameAxes axes,
                     uint64_t element_bytes)
    : shape_(std::move(shape)),
      chunk_(std::move(chunk)),
      axes_(std::move(axes)),
      element_bytes_(element_bytes),
      rows_(shape_[axes_.rows]),
      columns_(shape_[axes_.columns]) {
  for (const size_t axis : axes_.navigation) frames_ *= shape_[axis];
  frame_bytes_ = rows_ * columns_ * element_bytes_;
  chunk_bytes_ = element_bytes_;
  for (size_t axis = 0; axis < shape_.size(); ++axis) {
    chunk_bytes_ *= chunk_[axis];
    grid_.push_back(shape_[axis] / chunk_[axis] + (shape_[axis] % chunk_[axis] != 0 ? 1 : 0));
  }
  chunk_stride_ = Strides(chunk_);
  grid_stride_ = Strides(grid_);
}

int64_t ChunkGrid::FramesPerChunk() const {
  uint64_t frames = 1;
  for (size_t i = axes_.navigation.size(); i-- > 0;) {
    const size_t axis = axes_.navigation[i];
    frames *= std::min(chunk_[axis], shape_[axis]);
    if (chunk_[axis] < shape_[axis]) break;
  }
  return static_cast<int64_t>(frames);
}

uint64_t ChunkGrid::CacheBytes() const {
  uint64_t in_chunk = 1;
  for (const size_t axis : axes_.navigation) in_chunk *= std::min(chunk_[axis], shape_[axis]);
  if (in_chunk == 1) return 0;
  // All chunks that a run through the frames touches before it comes back to the first: those
  // along the axes behind the slowest one that a chunk spans.
  uint64_t chunks = 1;
  bool behind = false;
  for (const size_t axis : axes_.navigation) {
    if (behind) chunks *= grid_[axis];
    behind = behind || chunk_[axis] > 1;
  }
  chunks *= SignalChunks();
  constexpr uint64_t kEnough = uint64_t{1} << 40;
  return chunks > kEnough / chunk_bytes_ ? kEnough : (chunks + 2) * chunk_bytes_;
}

uint64_t ChunkGrid::NavigationChunk(uint64_t frame) const {
  uint64_t chunk = 0;
  for (size_t i = axes_.navigation.size(); i-- > 0;) {
    const size_t axis = axes_.navigation[i];
    chunk += frame % shape_[axis] / chunk_[axis] * grid_stride_[axis];
    frame /= shape_[axis];
  }
  return chunk;
}

std::vector<uint64_t> ChunkGrid::NavigationChunks(uint64_t first, uint64_t last) const {
  std::vector<uint64_t> list;
  for (uint64_t frame = first; frame < last; ++frame) {
    const uint64_t chunk = NavigationChunk(frame);
    if (list.empty() || list.back() != chunk) list.push_back(chunk);
  }
  std::ranges::sort(list);
  // Not std::ranges::unique: clang 14 cannot compile it with g++ 12's library.
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

ChunkBox ChunkGrid::BoxOf(uint64_t navigation_chunk, uint64_t signal_chunk) const {
  ChunkBox box;
  const size_t rank = shape_.size();
  box.origin.resize(rank);
  box.extent.resize(rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    uint64_t at = navigation_chunk / grid_stride_[axis] % grid_[axis];
    if (axis == axes_.rows) {
      at = signal_chunk / grid_[axes_.columns];
    } else if (axis == axes_.columns) {
      at = signal_chunk % grid_[axes_.columns];
    } else if (axes_.IsFixed(axis)) {
      at = axes_.fixed[axis] / chunk_[axis];
    }
    box.index += at * grid_stride_[axis];
    box.origin[axis] = at * chunk_[axis];
    box.extent[axis] = std::min(chunk_[axis], shape_[axis] - box.origin[axis]);
  }
  return box;
}

uint64_t ChunkGrid::FramesIn(const ChunkBox& box) const {
  uint64_t frames = 1;
  for (const size_t axis : axes_.navigation) frames *= box.extent[axis];
  return frames;
}

bool ChunkGrid::Advance(const ChunkBox& box, std::vector<uint64_t>& at) const {
  size_t i = at.size();
  while (i > 0 && ++at[i - 1] == box.extent[axes_.navigation[i - 1]]) at[--i] = 0;
  return i > 0;
}

uint64_t ChunkGrid::FixedElements(const ChunkBox& box) const {
  uint64_t elements = 0;
  for (size_t axis = 0; axis < shape_.size(); ++axis) {
    if (axes_.IsFixed(axis)) {
      elements += (axes_.fixed[axis] - box.origin[axis]) * chunk_stride_[axis];
    }
  }
  return elements;
}

bool ChunkGrid::HoldsWholeFrames() const {
  return chunk_stride_[axes_.columns] == 1 && chunk_[axes_.columns] == columns_ &&
         chunk_stride_[axes_.rows] == columns_ && chunk_[axes_.rows] >= rows_;
}

uint64_t ChunkGrid::Deliver(const ChunkBox& box, const std::byte* chunk, uint64_t first,
                            uint64_t last, std::span<std::byte> destination) const {
  const uint64_t size = element_bytes_;
  const uint64_t base = FixedElements(box);
  const uint64_t rows = box.extent[axes_.rows];
  const uint64_t columns = box.extent[axes_.columns];
  const uint64_t row_stride = chunk_stride_[axes_.rows];
  const uint64_t column_stride = chunk_stride_[axes_.columns];
  const bool whole = column_stride == 1 && columns == columns_ && row_stride == columns_;
  uint64_t delivered = 0;
  ForEachFrame(box, [&](uint64_t frame, uint64_t element) {
    if (frame < first || frame >= last) return;
    ++delivered;
    const std::byte* from = chunk + (base + element) * size;
    std::byte* to = destination.data() + (frame - first) * frame_bytes_ +
                    (box.origin[axes_.rows] * columns_ + box.origin[axes_.columns]) * size;
    if (whole) {
      std::memcpy(to, from, rows * columns * size);
      return;
    }
    for (uint64_t row = 0; row < rows; ++row) {
      CopyElements(from + row * row_stride * size, column_stride, to + row * columns_ * size,
                   columns, size);
    }
  });
  return delivered;
}

std::optional<uint64_t> ChunkGrid::WholeFrames(const ChunkBox& box, uint64_t first,
                                               uint64_t last) const {
  if (!axes_.InOrder()) return std::nullopt;
  bool varies = false;  // an axis before this one has more than one index in the chunk
  uint64_t frame = 0;
  uint64_t count = 1;
  for (const size_t axis : axes_.navigation) {
    if (varies && box.extent[axis] != shape_[axis]) return std::nullopt;
    if (box.extent[axis] != chunk_[axis]) return std::nullopt;
    varies = varies || box.extent[axis] > 1;
    frame = frame * shape_[axis] + box.origin[axis];
    count *= box.extent[axis];
  }
  const bool fits = count * frame_bytes_ == chunk_bytes_ && chunk_[axes_.rows] == rows_ &&
                    chunk_[axes_.columns] == columns_ && frame >= first && frame + count <= last;
  if (!fits) return std::nullopt;
  return frame;
}

}  // namespace penstock::ingest::chunked
