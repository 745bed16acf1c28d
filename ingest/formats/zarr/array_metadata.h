// What .zarray or zarr.json says of an array: shape, chunks, type, codecs, names of its chunks.

#ifndef PENSTOCK_INGEST_FORMATS_ZARR_ARRAY_METADATA_H_
#define PENSTOCK_INGEST_FORMATS_ZARR_ARRAY_METADATA_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingest/formats/zarr/node.h"
#include "penstock/base/element_type.h"
#include "penstock/base/result.h"

namespace penstock::ingest::zarr {

enum class Codec : uint8_t { kZlib, kGzip, kZstd, kLz4, kBlosc, kCrc32c };

// Several chunks in one file, with a table of their places.
struct Sharding {
  std::vector<uint64_t> shard;  // shape; a multiple of the chunk's
  bool index_at_start = false;
  bool index_big_endian = false;
  bool index_checksum = false;
  uint64_t chunks_per_shard = 1;
  uint64_t IndexBytes() const { return chunks_per_shard * 16 + (index_checksum ? 4 : 0); }
};

struct ArrayMetadata {
  std::vector<uint64_t> shape;  // 1 to 8 axes, no axis of 0
  std::vector<uint64_t> chunk;  // what is decoded at once: within a shard, the inner chunk
  ElementType type = ElementType::kUint16;
  bool big_endian = false;
  std::vector<std::byte> fill;  // one element, little-endian
  bool fill_stated = true;      // not null
  std::vector<Codec> codecs;    // in the order of encoding
  std::optional<Sharding> sharding;
  // Names of chunks: the prefix and the indices, with the separator between all of them.
  std::string prefix;
  char separator = '.';
  bool separator_stated = true;

  uint64_t element_bytes() const { return ElementSize(type); }
  // Words that have a byte order; a complex number is two.
  uint64_t word_bytes() const { return IsComplex(type) ? element_bytes() / 2 : element_bytes(); }
  // Of the files: chunks or shards.
  const std::vector<uint64_t>& file_shape() const { return sharding ? sharding->shard : chunk; }
};

// The type alone, for choosing among arrays; nothing where pixels cannot have it.
std::optional<ElementType> PixelType(const Node& array);
// "uint16", or what the metadata says where it is none of ours.
std::string TypeText(const Node& array);

// The fill value as it is stated.
std::string FillText(const Node& array);

// kUnsupported, with advice, for what is legal Zarr and not read here.
Result<ArrayMetadata> ReadArrayMetadata(const Node& array);

}  // namespace penstock::ingest::zarr

#endif  // PENSTOCK_INGEST_FORMATS_ZARR_ARRAY_METADATA_H_
