// A dataset of numbers in an HDF5 file: where its bytes lie and what was done to them.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_ARRAY_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_ARRAY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingest/formats/hdf5/container.h"
#include "ingest/formats/hdf5/filters.h"
#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock::ingest::hdf5 {

struct StoredChunk {
  static constexpr uint64_t kNone = UINT64_MAX;
  uint64_t offset = kNone;  // in the file; kNone where the chunk was never written
  uint32_t bytes = 0;
  uint32_t mask = 0;  // of filters that were left out
};

enum class Storage : uint8_t {
  kContiguous,     // at one offset
  kChunks,         // at the offsets of the table
  kChunksLibrary,  // stored chunks come from H5Dread_chunk: their index is of a kind not read here
  kLibrary,        // elements come from H5Dread
};

struct Array {
  std::shared_ptr<Container> container;
  std::string path;
  std::vector<uint64_t> shape;  // at least one axis, no axis of 0
  ElementType type = ElementType::kUint16;
  bool big_endian = false;
  Storage storage = Storage::kContiguous;
  uint64_t offset = 0;              // kContiguous
  std::vector<std::byte> fill;      // one element, native order
  std::vector<uint64_t> chunk;      // shape of a chunk; kLibrary: what to read at once
  std::vector<uint64_t> grid;       // chunks per axis
  std::vector<StoredChunk> chunks;  // C order over the grid; kChunks
  std::vector<Filter> filters;
  uint64_t missing_chunks = 0;  // never written
  Object object;                // open as long as the library is needed

  std::string Place() const { return container->name() + ":" + path; }
  uint64_t element_bytes() const { return ElementSize(type); }
  uint64_t chunk_bytes() const;
  bool needs_library() const {
    return storage == Storage::kChunksLibrary || storage == Storage::kLibrary;
  }
};

// A part of a virtual dataset that is stored elsewhere: `count` items along its first axis, from
// `first` on, are those of `source` from `source_first` on.
struct VirtualPart {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t source_first = 0;
  std::string file;  // as the dataset names it; "." for its own file
  std::string path;
};

// What OpenArray needs to know before it opens: a virtual dataset has parts and no storage.
struct VirtualLayout {
  bool is_virtual = false;
  bool simple = false;  // parts along the first axis, all other axes whole
  std::vector<VirtualPart> parts;
  std::vector<uint64_t> shape;
};
Result<VirtualLayout> ReadVirtualLayout(const Object& object);

// Refuses what is no array of numbers, datasets stored outside HDF5, filters that nothing here
// undoes, and chunks beyond the end of the file. Virtual datasets are read by the library, after
// every file that they name was found.
Result<Array> OpenArray(Object object);

// The type of the elements, kUnsupported where pixels cannot have it.
Result<ElementType> ArrayElementType(const Object& object);

// For tests and for OpenArray: the table of chunks without the library. False where the index is
// of a kind that is not read here or is not understood; then nothing of the table counts.
struct ChunkIndexRequest {
  int fd = -1;
  std::filesystem::path path;
  uint64_t file_bytes = 0;
  uint64_t base = 0;
  uint64_t object_header = 0;  // address
  size_t address_bytes = 8;
  size_t length_bytes = 8;
  std::vector<uint64_t> max_shape;  // UINT64_MAX: unlimited
  std::vector<uint64_t> chunk;
  std::vector<uint64_t> grid;
  uint64_t chunk_bytes = 0;
  bool filtered = false;
};
bool ReadChunkIndex(const ChunkIndexRequest& request, std::vector<StoredChunk>& table);

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_ARRAY_H_
