// The codecs of a chunk, undone one after the other.

#include "ingest/formats/chunked/codecs.h"

#include <fmt/format.h>

#include <cstring>

#include "ingest/formats/zarr/array_reader.h"
#include "penstock/dataset/block_layout.h"

namespace penstock::ingest::zarr {

namespace {

constexpr size_t kWordBytes = 4;

// What lies between two compressors: the chunk, and what an incompressible one grows by.
uint64_t IntermediateBytes(uint64_t chunk_bytes) { return chunk_bytes + chunk_bytes / 64 + 4096; }

// The size in front of the block, then the block.
Result<size_t> UndoLz4(std::span<const std::byte> stored, std::span<std::byte> destination) {
  uint32_t bytes = 0;
  if (stored.size() < kWordBytes) return Error::Corrupt("LZ4: the chunk is shorter than its size");
  std::memcpy(&bytes, stored.data(), kWordBytes);
  if (bytes > destination.size()) {
    return Error::Corrupt("LZ4: the chunk is larger than the metadata says")
        .Expected(fmt::format("at most {} bytes", destination.size()))
        .Found(fmt::format("{}", bytes));
  }
  PENSTOCK_ASSIGN_OR_RETURN(const size_t written, chunked::UndoLz4Block(stored.subspan(kWordBytes),
                                                                        destination.first(bytes)));
  if (written != bytes) return Error::Corrupt("LZ4: the chunk is shorter than it says");
  return written;
}

Result<std::span<const std::byte>> CheckCrc32c(std::span<const std::byte> stored) {
  if (stored.size() < kWordBytes) return Error::Corrupt("crc32c: no room for the checksum");
  const auto data = stored.first(stored.size() - kWordBytes);
  uint32_t kept = 0;
  std::memcpy(&kept, stored.data() + data.size(), kWordBytes);
  const uint32_t found = Crc32c(data.data(), data.size());
  if (kept != found) {
    return Error::Corrupt("crc32c: the checksum of the chunk is wrong")
        .Expected(fmt::format("{:08x}", kept))
        .Found(fmt::format("{:08x}", found));
  }
  return data;
}

Result<size_t> Undo(Codec codec, std::span<const std::byte> stored, std::span<std::byte> to) {
  switch (codec) {
    case Codec::kZlib:
      return chunked::UndoZlib(stored, to);
    case Codec::kGzip:
      return chunked::UndoGzip(stored, to);
    case Codec::kZstd:
      return chunked::UndoZstd(stored, to);
    case Codec::kLz4:
      return UndoLz4(stored, to);
    case Codec::kBlosc:
      return chunked::UndoBlosc(stored, to);
    case Codec::kCrc32c:
      break;
  }
  return Error::Internal("no compressor");
}

size_t Compressors(std::span<const Codec> codecs) {
  size_t count = 0;
  for (const Codec codec : codecs) count += codec == Codec::kCrc32c ? 0 : 1;
  return count;
}

}  // namespace

uint64_t CodecScratchBytes(std::span<const Codec> codecs, uint64_t chunk_bytes) {
  return (Compressors(codecs) > 1 || codecs.size() > 1 ? 2 : 0) * IntermediateBytes(chunk_bytes);
}

Status UndoCodecs(std::span<const Codec> codecs, std::span<const std::byte> stored,
                  std::span<std::byte> scratch, std::span<std::byte> chunk) {
  const size_t buffer_bytes = scratch.size() / 2;
  std::span<const std::byte> from = stored;
  size_t buffer = 0;
  for (size_t i = codecs.size(); i-- > 0;) {
    if (codecs[i] == Codec::kCrc32c) {
      PENSTOCK_ASSIGN_OR_RETURN(from, CheckCrc32c(from));
      continue;
    }
    // What was done to the chunk first is undone into its place.
    const std::span<std::byte> to =
        i == 0 ? chunk : scratch.subspan(buffer * buffer_bytes, buffer_bytes);
    PENSTOCK_ASSIGN_OR_RETURN(const size_t written, Undo(codecs[i], from, to));
    from = to.first(written);
    buffer = 1 - buffer;
  }
  if (from.size() != chunk.size()) {
    return Error::Corrupt("a chunk is not as large as the metadata says")
        .Expected(fmt::format("{} bytes", chunk.size()))
        .Found(fmt::format("{}", from.size()));
  }
  if (from.data() != chunk.data()) std::memcpy(chunk.data(), from.data(), from.size());
  return Status::Ok();
}

}  // namespace penstock::ingest::zarr
