// Frames out of one array: which axes they lie along, and how to get them.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_FRAME_READER_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_FRAME_READER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ingest/formats/chunked/chunk_cache.h"
#include "ingest/formats/chunked/chunk_grid.h"
#include "ingest/formats/hdf5/array.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::hdf5 {

using chunked::ChunkCache;
using chunked::FrameAxes;
using chunked::ImageAxes;

// Thread-safe. Frames [0, frame_count()).
class FrameReader {
 public:
  // `file`: index of the array's file among the source's. `cache_key`: tells the chunks of this
  // array from those of others in the same cache.
  FrameReader(Array array, FrameAxes axes, size_t file, uint64_t cache_key,
              std::shared_ptr<ChunkCache> cache);

  uint64_t frame_count() const { return frames_; }
  // Frames before the last one of which anything was written.
  uint64_t WrittenFrames() const;
  const Array& array() const { return array_; }
  SignalShape signal() const;
  uint64_t frame_bytes() const { return frame_bytes_; }
  // Frames along the frame axis that one chunk holds back to back.
  int64_t FramesPerChunk() const;
  uint64_t ScratchBytes() const;
  // What the cache should hold so that no chunk is decoded twice; 0 where nothing is to be kept.
  uint64_t CacheBytes() const;

  // Frames [first, last); `number` is the source's number of frame `first`, for reports.
  Status Decode(uint64_t first, uint64_t last, int64_t number, std::span<std::byte> destination,
                DecodeContext& context) const;

  // An offset only where each frame lies in one piece.
  FrameLocation Locate(uint64_t frame) const;

 private:
  using Box = chunked::ChunkBox;
  struct Call;
  struct Buffers;

  uint64_t OffsetOf(uint64_t frame) const;  // kContiguous
  bool InOnePiece() const {                 // kContiguous: other axes may lie between the rows'
    return stride_[axes_.columns] == 1 && stride_[axes_.rows] == columns_;
  }
  Status DecodeContiguous(Call& call) const;
  Status DecodeSlabs(Call& call) const;
  Status DecodeChunks(Call& call) const;
  uint64_t Deliver(const Box& box, const std::byte* chunk, const Call& call) const;
  Status ReadRun(std::span<const Box> run, Call& call, const Buffers& buffers) const;
  Result<std::span<const std::byte>> ReadWindows(uint64_t start, uint64_t end, Call& call,
                                                 std::span<std::byte> buffer) const;
  Status UseChunk(const Box& box, std::span<const std::byte> stored, uint32_t mask, Call& call,
                  const Buffers& buffers) const;
  Status FillChunk(const Box& box, Call& call, std::span<std::byte> chunk) const;
  Status ReadByLibrary(const Box& box, Call& call, const Buffers& buffers) const;
  Status LoadElements(const Box& box, std::span<std::byte> chunk) const;
  Error Explain(Error error, const Box& box) const;
  void SwapBytes(std::span<std::byte> bytes) const;

  Array array_;
  FrameAxes axes_;
  size_t file_;
  uint64_t cache_key_;
  std::shared_ptr<ChunkCache> cache_;
  uint64_t frames_ = 1;
  uint64_t frame_bytes_ = 0;
  uint64_t rows_ = 0;
  uint64_t columns_ = 0;
  std::vector<uint64_t> stride_;  // elements, of the array
  chunked::ChunkGrid grid_;       // but for kContiguous
  std::vector<uint32_t> lead_;    // bytes before each chunk that are read with it
  uint64_t last_offset_ = 0;      // of the chunk that lies last
  uint32_t tail_ = 0;             // bytes behind it that are read with it
  uint64_t longest_read_ = 0;
  bool in_order_ = false;  // the chunks lie in the file as in the table
};

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_FRAME_READER_H_
