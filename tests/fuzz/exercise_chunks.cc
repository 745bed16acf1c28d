#include "tests/fuzz/exercise_chunks.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "penstock/dataset/chunk_index.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

namespace {

struct Block {
  DatasetShape shape;
  BlockGrid grid;
  int64_t chunks = 0;  // of the full block shape
};

Block BlockOf(uint8_t choice) {
  constexpr std::array<ElementType, 4> kTypes = {ElementType::kUint8, ElementType::kUint16,
                                                 ElementType::kFloat32, ElementType::kFloat64};
  Block block;
  block.shape.element_type = kTypes[choice % kTypes.size()];
  // Some hundred pixels, or some more than a bitshuffle block, with a part that is not shuffled.
  const bool large = choice / kTypes.size() % 2 != 0;
  block.shape.scan = {.rows = 3, .columns = 4};
  block.shape.signal =
      large ? SignalShape{.rows = 61, .columns = 97} : SignalShape{.rows = 5, .columns = 7};
  block.grid.block_rows = 2;
  block.grid.block_columns = 4;
  block.grid.inner_columns = 2;
  block.grid.grid_rows = 2;
  block.grid.grid_columns = 1;
  block.chunks = block.grid.block_rows * block.grid.block_columns / block.grid.inner_columns;
  return block;
}

[[noreturn]] void Broken(const char* what) {
  std::fprintf(stderr, "the decoder of chunks: %s\n", what);
  std::abort();
}

// In memory of exactly its size, so that a sanitizer sees a byte too many.
std::unique_ptr<std::byte[]> Exactly(std::span<const std::byte> bytes) {
  auto copy = std::make_unique<std::byte[]>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.get());
  return copy;
}

void DecodeTwice(const Block& block, uint64_t chunk_bytes, std::span<const std::byte> stored,
                 ChunkDecoder& used, ChunkExercise& exercise) {
  const size_t element = ElementSize(block.shape.element_type);
  const auto input = Exactly(stored);
  const std::span<const std::byte> exact(input.get(), stored.size());
  // What was in the memory before must not be seen.
  std::vector<std::byte> first(chunk_bytes, std::byte{0x55});
  std::vector<std::byte> second(chunk_bytes, std::byte{0xAA});
  ChunkDecoder fresh;
  const Status decoded = used.Decode(element, exact, first);
  const Status again = fresh.Decode(element, exact, second);
  if (decoded.ok() != again.ok()) Broken("a chunk is decoded by one and refused by another");
  if (!decoded.ok()) {
    if (decoded.error().kind() != ErrorKind::kCorrupt) Broken("a refusal that is not kCorrupt");
    ++exercise.chunks_refused;
    return;
  }
  if (first != second) Broken("two decoders give different pixels");
  ++exercise.chunks_decoded;
}

std::string FileOf(const Block& block, std::span<const std::byte> input) {
  const size_t table = static_cast<size_t>(block.chunks) * 2;
  if (input.size() < table) return {};
  std::vector<uint64_t> sizes;
  std::string file;
  size_t at = table;
  for (size_t i = 0; i < static_cast<size_t>(block.chunks); ++i) {
    const auto wanted =
        std::to_integer<size_t>(input[2 * i]) | std::to_integer<size_t>(input[2 * i + 1]) << 8U;
    const size_t size = std::min(wanted, input.size() - at);
    sizes.push_back(size);
    file.append(reinterpret_cast<const char*>(input.data()) + at, size);
    at += size;
  }
  return file + MakeChunkIndex(block.shape, block.grid, 0, sizes);
}

}  // namespace

ChunkExercise ExerciseChunks(std::span<const std::byte> input) {
  ChunkExercise exercise;
  if (input.size() < 2) return exercise;
  const Block block = BlockOf(std::to_integer<uint8_t>(input[0]));
  const bool whole_file = input[1] == std::byte{0};
  std::span<const std::byte> file = input.subspan(2);
  std::string made;
  if (!whole_file) {
    made = FileOf(block, file);
    file = std::as_bytes(std::span(made));
  }
  const uint64_t index_bytes = ChunkIndexBytes(block.grid);
  if (file.size() < index_bytes) return exercise;
  const auto index =
      ChunkIndex::Parse(block.shape, block.grid, 0, file.size(), file.last(index_bytes), "block");
  if (!index.ok()) {
    if (index.error().kind() != ErrorKind::kCorrupt) Broken("an index refused as not kCorrupt");
    return exercise;
  }
  exercise.index_parsed = true;
  ChunkDecoder decoder;
  for (int64_t chunk = 0; chunk < index->chunk_count(); ++chunk) {
    if (index->begin(chunk) > index->end(chunk) || index->end(chunk) > file.size() - index_bytes) {
      Broken("a chunk that does not lie in the file");
    }
    if (index->is_absent(chunk)) continue;
    DecodeTwice(block, index->chunk_bytes(),
                file.subspan(index->begin(chunk), index->end(chunk) - index->begin(chunk)), decoder,
                exercise);
  }
  return exercise;
}

std::string ChunkSeed(uint8_t choice, bool zstd, bool whole_file) {
  const Block block = BlockOf(choice);
  const size_t element = ElementSize(block.shape.element_type);
  const size_t chunk_bytes =
      static_cast<size_t>(block.grid.inner_columns) * block.shape.frame_bytes();
  std::string table;
  std::string chunks;
  std::vector<uint64_t> sizes;
  uint32_t state = 12345;
  for (int64_t chunk = 0; chunk < block.chunks; ++chunk) {
    std::vector<std::byte> pixels(chunk_bytes);
    for (size_t i = 0; i < chunk_bytes; i += element) {  // few counts
      state = state * 1664525U + 1013904223U;
      pixels[i] = static_cast<std::byte>(chunk == 1             ? state >> 24U
                                         : (state >> 24U) > 250 ? 1U
                                                                : 0U);
    }
    std::vector<std::byte> stored(StoredChunkLimit(chunk_bytes));
    const auto size =
        CompressChunk(zstd ? Compression::kZstd : Compression::kLz4, element, pixels, stored);
    const size_t bytes = chunk == 2 || !size.ok() ? 0 : *size;  // one is absent
    sizes.push_back(bytes);
    table += {static_cast<char>(bytes & 255U), static_cast<char>(bytes >> 8U)};
    chunks.append(reinterpret_cast<const char*>(stored.data()), bytes);
  }
  const std::string head = {static_cast<char>(choice), static_cast<char>(whole_file ? 0 : 1)};
  if (!whole_file) return head + table + chunks;
  return head + chunks + MakeChunkIndex(block.shape, block.grid, 0, sizes);
}

}  // namespace penstock
