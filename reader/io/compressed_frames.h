// CompressedFrames: the frames of a compressed block, decoded run by run into one buffer that stays
// in the L2 cache on the way to the kernels.
//
// Stored bytes come out of the page cache, which the kernel then fills ahead, or past it from a
// ChunkReader.

#ifndef PENSTOCK_READER_IO_COMPRESSED_FRAMES_H_
#define PENSTOCK_READER_IO_COMPRESSED_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "penstock/base/aligned_buffer.h"
#include "penstock/base/result.h"
#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/dataset.h"
#include "reader/io/chunk_reader.h"
#include "reader/io/extent_verifier.h"

namespace penstock {

// Not thread-safe; one per worker. Keeps its buffers.
class CompressedFrames {
 public:
  // Runs have a multiple of `tile_frames` (0: any number), so that tiles are whole, but not more
  // than about `buffer_bytes` where frames are large.
  CompressedFrames(const Dataset& dataset, int64_t tile_frames, size_t buffer_bytes);

  // Reads the index of a block. `fd` and `path` must stay until the next call or Close.
  Status Open(int fd, int64_t block, const std::filesystem::path& path);
  void Close();
  const ChunkIndex& index() const { return *index_; }

  // The file offsets of what is stored of some frames.
  struct StoredRange {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  StoredRange StoredBytesOf(FrameRange frames) const;

  // `ahead`: the frames behind these will be wanted, too. `past_cache`: where to read from in place
  // of the page cache; has been started for StoredBytesOf(frames) and must stay until the last run.
  Status Start(FrameRange frames, bool ahead, ChunkReader* past_cache = nullptr);
  // The next frames that lie one after another in memory, valid until the next call; none after the
  // last. What is read goes through `check` first. Errors name file, offset and frames.
  struct Run {
    int64_t frame_count = 0;
    const std::byte* pixels = nullptr;
  };
  Result<Run> Next(ExtentCheck& check);

 private:
  void Advise(uint64_t from);
  Result<std::span<const std::byte>> ReadStored(uint64_t begin, uint64_t end);
  Result<std::span<const std::byte>> TakeFromChunks(uint64_t begin, uint64_t end);
  Status DecodeChunk(int64_t chunk, std::span<const std::byte> stored, std::span<std::byte> pixels);

  const Dataset& dataset_;
  const size_t frame_bytes_;
  const size_t element_bytes_;
  int64_t run_frames_ = 1;

  int fd_ = -1;
  const std::filesystem::path* path_ = nullptr;
  std::optional<ChunkIndex> index_;
  ChunkDecoder decoder_;
  ChunkReader* past_cache_ = nullptr;
  std::span<const std::byte> chunk_;  // of it
  uint64_t chunk_begin_ = 0;          // in the file
  AlignedBuffer stored_;
  AlignedBuffer pixels_;

  FrameRange frames_;   // asked for
  int64_t next_ = 0;    // the first one that was not given yet
  FrameRange decoded_;  // what pixels_ holds, from its beginning; ends with a chunk
  uint64_t advised_ = 0;
  uint64_t advise_end_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_IO_COMPRESSED_FRAMES_H_
