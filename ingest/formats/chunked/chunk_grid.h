// Frames in an array that is stored in chunks: which chunks hold them, and where in a chunk.

#ifndef PENSTOCK_INGEST_FORMATS_CHUNKED_CHUNK_GRID_H_
#define PENSTOCK_INGEST_FORMATS_CHUNKED_CHUNK_GRID_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace penstock::ingest::chunked {

// The role of each axis of an array. Frames are numbered in C order over the navigation axes.
struct FrameAxes {
  std::vector<size_t> navigation;  // slow first; may be empty
  size_t rows = 0;
  size_t columns = 1;
  // All other axes, at this index.
  std::vector<uint64_t> fixed;  // one per axis of the array; only that of other axes counts

  // Neither rows, columns nor navigation.
  bool IsFixed(size_t axis) const;
  // Navigation axes in the order of the file, before rows, before columns.
  bool InOrder() const;
};

// The default roles: the last two axes are rows and columns, those before them navigation.
FrameAxes ImageAxes(size_t rank);

// In C order, in elements.
std::vector<uint64_t> Strides(const std::vector<uint64_t>& shape);
std::string ShapeText(const std::vector<uint64_t>& shape);  // "(3, 4, 256, 256)"
// `count` elements, `stride` elements apart in the source.
void CopyElements(const std::byte* from, uint64_t stride, std::byte* to, uint64_t count,
                  uint64_t element_bytes);

// A chunk, cut to the array.
struct ChunkBox {
  uint64_t index = 0;  // in C order over the grid
  std::vector<uint64_t> origin;
  std::vector<uint64_t> extent;
};

// Constant after construction.
class ChunkGrid {
 public:
  ChunkGrid() = default;
  ChunkGrid(std::vector<uint64_t> shape, std::vector<uint64_t> chunk, FrameAxes axes,
            uint64_t element_bytes);

  uint64_t frame_count() const { return frames_; }
  uint64_t frame_bytes() const { return frame_bytes_; }
  uint64_t chunk_bytes() const { return chunk_bytes_; }
  uint64_t rows() const { return rows_; }
  uint64_t columns() const { return columns_; }
  const std::vector<uint64_t>& chunks() const { return grid_; }  // per axis
  // Chunks that one frame is spread over.
  uint64_t SignalChunks() const { return grid_[axes_.rows] * grid_[axes_.columns]; }
  // Frames along the frame axis that one chunk holds back to back.
  int64_t FramesPerChunk() const;
  // What a cache should hold so that no chunk is decoded twice; 0 where nothing is to be kept.
  uint64_t CacheBytes() const;

  // The chunk of a frame, as if it had one only; what tells them apart is BoxOf's second number.
  uint64_t NavigationChunk(uint64_t frame) const;
  // Those of frames [first, last), each once, in order.
  std::vector<uint64_t> NavigationChunks(uint64_t first, uint64_t last) const;
  ChunkBox BoxOf(uint64_t navigation_chunk, uint64_t signal_chunk) const;

  uint64_t FramesIn(const ChunkBox& box) const;
  // Calls with the number of each frame that the chunk has a part of.
  template <typename Visitor>
  void ForEachFrame(const ChunkBox& box, const Visitor& visit) const {
    std::vector<uint64_t> at(axes_.navigation.size(), 0);
    do {
      uint64_t frame = 0;
      uint64_t element = 0;  // in the chunk, of the frame's first pixel there
      for (size_t i = 0; i < at.size(); ++i) {
        const size_t axis = axes_.navigation[i];
        frame = frame * shape_[axis] + box.origin[axis] + at[i];
        element += at[i] * chunk_stride_[axis];
      }
      visit(frame, element);
    } while (Advance(box, at));
  }
  // Copies what the chunk has of frames [first, last) to their places in `destination`, which
  // begins with frame `first`; gives the number of frames.
  uint64_t Deliver(const ChunkBox& box, const std::byte* chunk, uint64_t first, uint64_t last,
                   std::span<std::byte> destination) const;
  // The first frame of a chunk that is nothing but whole frames in order, all of [first, last).
  std::optional<uint64_t> WholeFrames(const ChunkBox& box, uint64_t first, uint64_t last) const;
  // The frame's pixels lie together in the chunk.
  bool HoldsWholeFrames() const;
  // Elements in the chunk before the part that ForEachFrame counts from, for the fixed axes.
  uint64_t FixedElements(const ChunkBox& box) const;

 private:
  bool Advance(const ChunkBox& box, std::vector<uint64_t>& at) const;

  std::vector<uint64_t> shape_;
  std::vector<uint64_t> chunk_;
  std::vector<uint64_t> grid_;
  FrameAxes axes_;
  uint64_t element_bytes_ = 0;
  uint64_t frames_ = 1;
  uint64_t frame_bytes_ = 0;
  uint64_t chunk_bytes_ = 0;
  uint64_t rows_ = 0;
  uint64_t columns_ = 0;
  std::vector<uint64_t> chunk_stride_;  // elements, within a chunk
  std::vector<uint64_t> grid_stride_;   // chunks
};

}  // namespace penstock::ingest::chunked

#endif  // PENSTOCK_INGEST_FORMATS_CHUNKED_CHUNK_GRID_H_
