// Compression of frames: one inner chunk of the Zarr shard at a time, as Blosc (version 1) frames
// with bitshuffle and LZ4 or Zstandard, what Zarr's codec "blosc" reads.
//
// Of a stored chunk nothing is believed: every number in it is held against the dataset and the
// bytes that are there before it is used.

#ifndef PENSTOCK_DATASET_COMPRESSION_H_
#define PENSTOCK_DATASET_COMPRESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "penstock/base/result.h"

namespace penstock {

enum class Compression : uint8_t { kNone, kLz4, kZstd };

// "none", "lz4", "zstd": also Blosc's names.
std::string_view CompressionName(Compression compression);
// kInvalidArgument for another name.
Result<Compression> ParseCompression(std::string_view name);

// Of Blosc. Counting data gains next to nothing from more.
inline constexpr int kCompressionLevel = 1;
// Transposed and compressed at once: with its planes it fits the L2 cache of any machine.
inline constexpr uint64_t kCompressionBlockBytes = uint64_t{256} << 10;
// Inner chunks of compressed blocks have at most so many bytes of frames, but at least one frame:
// one frame out of many is decoded in some tens of microseconds.
inline constexpr uint64_t kCompressedChunkBytes = kCompressionBlockBytes;
// What Blosc can hold; larger chunks cannot be compressed.
inline constexpr uint64_t kLargestCompressedChunk = uint64_t{1} << 30;

// The most bytes that a chunk takes when it is stored: pixels that do not compress are copied.
inline constexpr uint64_t StoredChunkLimit(uint64_t chunk_bytes) { return chunk_bytes + 16; }

// Writes the stored form of a chunk to `destination`, which has StoredChunkLimit bytes, and gives
// its size. The same pixels give the same bytes. Precondition: compression is not kNone, pixels are
// whole elements and at most kLargestCompressedChunk bytes. Thread-safe.
Result<size_t> CompressChunk(Compression compression, size_t element_bytes,
                             std::span<const std::byte> pixels, std::span<std::byte> destination);

// Keeps its working memory (some times a Blosc block) from chunk to chunk. Not thread-safe: one per
// worker.
class ChunkDecoder {
 public:
  ChunkDecoder();
  ~ChunkDecoder();
  ChunkDecoder(ChunkDecoder&&) noexcept;
  ChunkDecoder& operator=(ChunkDecoder&&) noexcept;

  // Fills `pixels`. kCorrupt where `stored` is not exactly a chunk of that many bytes; it says what
  // was expected and what was found, the caller adds file, offset and frames.
  Status Decode(size_t element_bytes, std::span<const std::byte> stored,
                std::span<std::byte> pixels);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_COMPRESSION_H_
