// Frames out of one Zarr array.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_ARRAY_READER_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_ARRAY_READER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingest/formats/chunked/chunk_cache.h"
#include "ingest/formats/chunked/chunk_grid.h"
#include "ingest/formats/zarr/chunk_table.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::zarr {

// Undoes the codecs of a chunk; gives exactly chunk.size() bytes. Thread-safe. Errors are kCorrupt
// and say what does not fit; the caller adds file and place.
Status UndoCodecs(std::span<const Codec> codecs, std::span<const std::byte> stored,
                  std::span<std::byte> scratch, std::span<std::byte> chunk);
uint64_t CodecScratchBytes(std::span<const Codec> codecs, uint64_t chunk_bytes);

// Thread-safe. Frames [0, frame_count()).
class ArrayReader {
 public:
  // `first_file`: where the table's files begin among the source's.
  ArrayReader(std::string path, ArrayMetadata metadata, ChunkTable table, chunked::FrameAxes axes,
              size_t first_file, uint64_t cache_bytes);

  const ArrayMetadata& metadata() const { return metadata_; }
  const ChunkTable& table() const { return table_; }
  const chunked::ChunkGrid& grid() const { return grid_; }
  uint64_t ScratchBytes() const;
  // Frames of which some chunk is missing, counted up to `most`.
  uint64_t FilledFrames(uint64_t most) const;

  Status Decode(uint64_t first, uint64_t last, std::span<std::byte> destination,
                DecodeContext& context) const;

 private:
  struct Wanted;
  struct Call;
  struct Buffers;

  bool ReadsInPlace() const { return metadata_.codecs.empty() && grid_.HoldsWholeFrames(); }
  Status ReadFile(std::span<const Wanted> wanted, Call& call, const Buffers& buffers) const;
  Status ReadRun(int fd, std::span<const Wanted> run, Call& call, const Buffers& buffers) const;
  Status ReadInPlace(int fd, const Wanted& wanted, Call& call) const;
  Status UseChunk(const Wanted& wanted, std::span<const std::byte> stored, Call& call,
                  const Buffers& buffers) const;
  void Fill(std::span<std::byte> chunk) const;
  void Swap(std::span<std::byte> bytes) const;
  Error Explain(Error error, const Wanted& wanted) const;

  const std::string path_;
  const ArrayMetadata metadata_;
  const ChunkTable table_;
  const chunked::FrameAxes axes_;
  const chunked::ChunkGrid grid_;
  const size_t first_file_;
  uint64_t index_bytes_ = 0;  // of a shard, where it is read along with its chunks
  uint64_t longest_ = 0;      // stored chunk
  mutable chunked::ChunkCache cache_;
};

// All elements of an array with one axis, as numbers.
Result<std::vector<double>> ReadNumbers(const Node& array, uint64_t max_elements);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_ARRAY_READER_H_
