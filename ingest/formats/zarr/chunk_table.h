// Which chunks of an array are there, and where.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_CHUNK_TABLE_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_CHUNK_TABLE_H_

#include <cstdint>
#include <filesystem>
#include <vector>

#include "ingest/formats/zarr/array_metadata.h"

namespace penstock::ingest::zarr {

struct ChunkFile {
  std::filesystem::path path;
  FileIdentity identity;
};

struct StoredChunk {
  uint64_t index = 0;  // in C order over the grid of chunks
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint32_t file = 0;
};

struct ChunkTable {
  std::vector<ChunkFile> files;     // in the order of the grid
  std::vector<StoredChunk> chunks;  // by index; what is not here was never written
  uint64_t grid_chunks = 0;         // written or not
  uint64_t surplus_files = 0;       // named like chunks that the array does not have

  const StoredChunk* Find(uint64_t index) const;
  uint64_t missing() const { return grid_chunks - chunks.size(); }
};

// Reads the directory, and the index of each shard. Refuses an array without any chunk, and one
// that claims far more than is there.
Result<ChunkTable> FindChunks(const Node& array, const ArrayMetadata& metadata);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_CHUNK_TABLE_H_
