// Blosc's frame: a header of 16 bytes, the offsets of its blocks, and of each block one compressed
// stream or one per byte of the elements. Penstock undoes LZ4, Zstandard and bitshuffle itself, at
// two to four times Blosc's rate; what it does not know (blocks whose elements do not fill whole
// bytes of the planes) is left to Blosc.

#include "penstock/dataset/compression.h"

#include <blosc.h>
#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "penstock/dataset/shuffle.h"

namespace penstock {

static_assert(kLargestCompressedChunk <= BLOSC_MAX_BUFFERSIZE);
static_assert(StoredChunkLimit(0) == BLOSC_MAX_OVERHEAD);

namespace {

struct CompressionText {
  Compression compression;
  std::string_view name;
};
constexpr std::array<CompressionText, 3> kCompressions = {
    {{Compression::kNone, "none"}, {Compression::kLz4, "lz4"}, {Compression::kZstd, "zstd"}}};

constexpr size_t kHeaderBytes = 16;
constexpr uint8_t kFormatVersion = 2;
constexpr uint8_t kByteShuffled = 0x01;
constexpr uint8_t kCopied = 0x02;
constexpr uint8_t kBitShuffled = 0x04;
constexpr uint8_t kNotSplit = 0x10;
constexpr uint8_t kLz4Format = 1;
constexpr uint8_t kZstdFormat = 4;
constexpr size_t kBloscOverrun = 4096;
// Blosc gives each byte of an element its own stream up to these bounds.
constexpr size_t kMostStreams = 16;
constexpr size_t kSmallestStream = 128;

uint32_t U32(std::span<const std::byte> bytes, size_t at) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Error Damaged(std::string expected, std::string found) {
  return Error::Corrupt("the compressed chunk is damaged")
      .Expected(std::move(expected))
      .Found(std::move(found))
      .Advice("`penstock verify` lists all damage; restore the file from another copy");
}

struct Header {
  uint8_t flags = 0;
  size_t block_bytes = 0;
  size_t block_count = 0;

  bool is(uint8_t flag) const { return (flags & flag) != 0; }
  uint8_t format() const { return flags >> 5; }
};

// Every number that decides where bytes are read or written is checked here.
Result<Header> ReadHeader(size_t element_bytes, std::span<const std::byte> stored,
                          size_t chunk_bytes) {
  if (stored.size() < kHeaderBytes) {
    return Damaged("a header of 16 bytes", fmt::format("{} bytes in all", stored.size()));
  }
  const auto version = std::to_integer<uint8_t>(stored[0]);
  Header header{.flags = std::to_integer<uint8_t>(stored[2])};
  const auto type_bytes = std::to_integer<size_t>(stored[3]);
  const uint32_t bytes = U32(stored, 4);
  header.block_bytes = U32(stored, 8);
  const uint32_t stored_bytes = U32(stored, 12);
  if (version != kFormatVersion || type_bytes != element_bytes || bytes != chunk_bytes ||
      stored_bytes != stored.size()) {
    return Damaged(fmt::format("Blosc version {}, elements of {} bytes, {} bytes stored as {}",
                               kFormatVersion, element_bytes, chunk_bytes, stored.size()),
                   fmt::format("version {}, elements of {} bytes, {} bytes stored as {}", version,
                               type_bytes, bytes, stored_bytes));
  }
  if (header.is(kCopied)) {
    if (stored.size() == chunk_bytes + kHeaderBytes) return header;
    return Damaged(fmt::format("{} bytes of pixels", chunk_bytes),
                   fmt::format("{}", stored.size() - kHeaderBytes));
  }
  if (header.format() != kLz4Format && header.format() != kZstdFormat) {
    return Damaged("LZ4 or Zstandard", fmt::format("Blosc's format {}", header.format()));
  }
  if (header.block_bytes == 0 || header.block_bytes > chunk_bytes ||
      header.block_bytes % element_bytes != 0) {
    return Damaged(fmt::format("blocks of 1 to {} bytes, of whole elements", chunk_bytes),
                   fmt::format("{}", header.block_bytes));
  }
  header.block_count = (chunk_bytes + header.block_bytes - 1) / header.block_bytes;
  if (header.block_count > (stored.size() - kHeaderBytes) / sizeof(uint32_t)) {
    return Damaged(fmt::format("the offsets of {} blocks", header.block_count),
                   fmt::format("{} bytes", stored.size() - kHeaderBytes));
  }
  return header;
}

}  // namespace

std::string_view CompressionName(Compression compression) {
  for (const CompressionText& known : kCompressions) {
    if (known.compression == compression) return known.name;
  }
  return "";
}

Result<Compression> ParseCompression(std::string_view name) {
  for (const CompressionText& known : kCompressions) {
    if (known.name == name) return known.compression;
  }
  return Error::InvalidArgument("this is not a way to compress frames")
      .Expected("none, lz4 or zstd")
      .Found("'" + std::string(name) + "'");
}

Result<size_t> CompressChunk(Compression compression, size_t element_bytes,
                             std::span<const std::byte> pixels, std::span<std::byte> destination) {
  const std::string name(CompressionName(compression));
  const auto compress = [&](int level, std::span<std::byte> to) {
    return blosc_compress_ctx(level, BLOSC_BITSHUFFLE, element_bytes, pixels.size(), pixels.data(),
                              to.data(), to.size(), name.c_str(), kCompressionBlockBytes, 1);
  };
  const uint64_t limit = StoredChunkLimit(pixels.size());
  // Of streams that do not compress, Blosc 1.21 writes some bytes beyond the room that it was
  // given.
  thread_local std::vector<std::byte> room;
  room.resize(std::max<size_t>(room.size(), limit + kBloscOverrun));
  for (const int level : {kCompressionLevel, 0}) {  // 0 copies
    const int written = compress(level, std::span(room).first(limit));
    if (written <= 0 || static_cast<uint64_t>(written) > limit) continue;
    std::memcpy(destination.data(), room.data(), static_cast<size_t>(written));
    return static_cast<size_t>(written);
  }
  return Error::Internal(fmt::format("Blosc cannot compress {} bytes with {}", pixels.size(),
                                     CompressionName(compression)));
}

struct ChunkDecoder::State {
  std::vector<std::byte> streams;  // of one block, decompressed
  std::vector<std::byte> planes;   // working memory of the transposition
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> zstd{nullptr, &ZSTD_freeDCtx};

  bool Inflate(uint8_t format, std::span<const std::byte> from, std::span<std::byte> to) {
    if (from.size() == to.size()) {
      std::memcpy(to.data(), from.data(), to.size());
      return true;
    }
    if (format == kLz4Format) {
      const int written = LZ4_decompress_safe(
          reinterpret_cast<const char*>(from.data()), reinterpret_cast<char*>(to.data()),
          static_cast<int>(from.size()), static_cast<int>(to.size()));
      return written >= 0 && static_cast<size_t>(written) == to.size();
    }
    if (zstd == nullptr) zstd.reset(ZSTD_createDCtx());
    return zstd != nullptr && ZSTD_decompressDCtx(zstd.get(), to.data(), to.size(), from.data(),
                                                  from.size()) == to.size();
  }

  // Of block `block`, whose first stream begins at `at` in the chunk; fills `to`.
  Status DecodeBlock(const Header& header, size_t element_bytes, size_t block, size_t at,
                     std::span<const std::byte> stored, std::span<std::byte> to) {
    const bool split = !header.is(kNotSplit) && element_bytes <= kMostStreams &&
                       to.size() / element_bytes >= kSmallestStream &&
                       to.size() == header.block_bytes;
    const size_t stream_count = split ? element_bytes : 1;
    const size_t stream_bytes = to.size() / stream_count;
    const bool transposed = header.is(kBitShuffled);
    if (transposed) streams.resize(std::max(streams.size(), to.size()));
    const std::span<std::byte> inflated = transposed ? std::span(streams).first(to.size()) : to;
    for (size_t stream = 0; stream < stream_count; ++stream) {
      if (at > stored.size() || stored.size() - at < sizeof(uint32_t)) {
        return Damaged(fmt::format("block {} within {} bytes", block, stored.size()),
                       fmt::format("it begins at {}", at));
      }
      const uint32_t bytes = U32(stored, at);
      at += sizeof(uint32_t);
      if (bytes == 0 || bytes > stored.size() - at || bytes > INT32_MAX) {
        return Damaged(fmt::format("block {} within {} bytes", block, stored.size()),
                       fmt::format("a stream of {} bytes at {}", bytes, at));
      }
      if (!Inflate(header.format(), stored.subspan(at, bytes),
                   inflated.subspan(stream * stream_bytes, stream_bytes))) {
        return Damaged(
            fmt::format("{} bytes in stream {} of block {}", stream_bytes, stream, block),
            header.format() == kLz4Format ? "what LZ4 cannot decode"
                                          : "what Zstandard cannot decode");
      }
      at += bytes;
    }
    if (!transposed) return {};
    if (element_bytes > 1) planes.resize(std::max(planes.size(), to.size()));
    UntransposeBits(streams.data(), to.data(), planes.data(), to.size() / element_bytes,
                    element_bytes);
    return {};
  }
};

ChunkDecoder::ChunkDecoder() : state_(std::make_unique<State>()) {}
ChunkDecoder::~ChunkDecoder() = default;
ChunkDecoder::ChunkDecoder(ChunkDecoder&&) noexcept = default;
ChunkDecoder& ChunkDecoder::operator=(ChunkDecoder&&) noexcept = default;

Status ChunkDecoder::Decode(size_t element_bytes, std::span<const std::byte> stored,
                            std::span<std::byte> pixels) {
  PENSTOCK_ASSIGN_OR_RETURN(const Header header, ReadHeader(element_bytes, stored, pixels.size()));
  if (header.is(kCopied)) {
    std::memcpy(pixels.data(), stored.data() + kHeaderBytes, pixels.size());
    return {};
  }
  const size_t last_bytes = pixels.size() - (header.block_count - 1) * header.block_bytes;
  const size_t plane_unit = 8 * element_bytes;  // whole bytes of every plane
  if (header.is(kByteShuffled) || header.block_bytes % plane_unit != 0 ||
      last_bytes % plane_unit != 0) {
    size_t bytes = 0;
    const bool valid =
        blosc_cbuffer_validate(stored.data(), stored.size(), &bytes) == 0 && bytes == pixels.size();
    const int written =
        valid ? blosc_decompress_ctx(stored.data(), pixels.data(), pixels.size(), 1) : -1;
    if (written >= 0 && static_cast<size_t>(written) == pixels.size()) return {};
    return Damaged(fmt::format("{} bytes of pixels", pixels.size()), "what Blosc cannot decode");
  }
  for (size_t block = 0; block < header.block_count; ++block) {
    const size_t begin = block * header.block_bytes;
    PENSTOCK_RETURN_IF_ERROR(state_->DecodeBlock(
        header, element_bytes, block, U32(stored, kHeaderBytes + block * sizeof(uint32_t)), stored,
        pixels.subspan(begin, std::min(header.block_bytes, pixels.size() - begin))));
  }
  return {};
}

}  // namespace penstock
