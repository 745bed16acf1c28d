// The general compressors that HDF5 and Zarr share. Thread-safe, into memory that the caller owns:
// each writes to `destination` and gives the number of bytes; an error is kCorrupt and the caller
// adds file and place.

#ifndef PENSTOCK_INGEST_FORMATS_CHUNKED_CODECS_H_
#define PENSTOCK_INGEST_FORMATS_CHUNKED_CODECS_H_

#include <cstddef>
#include <span>

#include "penstock/base/result.h"

namespace penstock::ingest::chunked {

Result<size_t> UndoZlib(std::span<const std::byte> stored, std::span<std::byte> destination);
// All members of a gzip file.
Result<size_t> UndoGzip(std::span<const std::byte> stored, std::span<std::byte> destination);
Result<size_t> UndoZstd(std::span<const std::byte> stored, std::span<std::byte> destination);
Result<size_t> UndoBlosc(std::span<const std::byte> stored, std::span<std::byte> destination);
// One block without any framing.
Result<size_t> UndoLz4Block(std::span<const std::byte> stored, std::span<std::byte> destination);

}  // namespace penstock::ingest::chunked

#endif  // PENSTOCK_INGEST_FORMATS_CHUNKED_CODECS_H_
