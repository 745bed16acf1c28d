// What HDF5 filters did to a chunk, undone without the HDF5 library: thread-safe, into memory that
// the caller owns.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_FILTERS_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_FILTERS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::ingest::hdf5 {

enum FilterId : int32_t {
  kDeflate = 1,
  kShuffle = 2,
  kFletcher32 = 3,
  kSzip = 4,
  kNbit = 5,
  kScaleOffset = 6,
  kLzf = 32000,
  kBlosc = 32001,
  kLz4 = 32004,
  kBitshuffle = 32008,
  kZstd = 32015,
};

struct Filter {
  int32_t id = 0;
  std::vector<uint32_t> parameters;
  std::string name;  // as the file has it, may be empty
};

// "deflate", "bitshuffle", or "filter 32026 (Blosc2)".
std::string FilterName(const Filter& filter);

// How the filters of a dataset are undone.
enum class FilterSupport : uint8_t {
  kOwn,      // by UndoFilters
  kLibrary,  // by H5Dread only (szip, nbit, scaleoffset)
  kNone,
};
FilterSupport SupportOf(std::span<const Filter> filters);
// The first filter that nothing here undoes, with advice. Precondition: SupportOf is kNone.
Error UnknownFilter(std::span<const Filter> filters);

// The bytes that UndoFilters needs in `scratch` for a chunk of `chunk_bytes`.
uint64_t FilterScratchBytes(std::span<const Filter> filters, uint64_t chunk_bytes);

// Gives exactly chunk.size() bytes. `mask`: bit i set where filter i was left out for this chunk.
// Errors are kCorrupt and say what does not fit; the caller adds file and place.
Status UndoFilters(std::span<const Filter> filters, uint32_t mask,
                   std::span<const std::byte> stored, size_t element_size,
                   std::span<std::byte> scratch, std::span<std::byte> chunk);

// The single filters, for tests. Each writes to `destination` and gives the number of bytes.
Result<size_t> UndoBitshuffle(const Filter& filter, std::span<const std::byte> stored,
                              size_t element_size, std::span<std::byte> scratch,
                              std::span<std::byte> destination);
Result<size_t> UndoLzf(std::span<const std::byte> stored, std::span<std::byte> destination);
Result<size_t> UndoLz4(std::span<const std::byte> stored, std::span<std::byte> destination);
uint32_t Fletcher32(std::span<const std::byte> bytes);

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_FILTERS_H_
