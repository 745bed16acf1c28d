#include "ingest/formats/chunked/codecs.h"

#include <blosc.h>
#include <fmt/format.h>
#include <libdeflate.h>
#include <lz4.h>
#include <zstd.h>

#include <memory>

namespace penstock::ingest::chunked {

namespace {

Error Damaged(std::string what) { return Error::Corrupt(std::move(what)); }

// One per thread: it holds tables of some 10 kB.
libdeflate_decompressor* Decompressor() {
  thread_local const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)>
      decompressor(libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  return decompressor.get();
}

Error DeflateError(libdeflate_result result, const char* codec) {
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
    return Damaged(fmt::format("{}: the chunk is larger than the dataset says", codec));
  }
  return Damaged(fmt::format("{}: the compressed data is damaged", codec));
}

}  // namespace

Result<size_t> UndoZlib(std::span<const std::byte> stored, std::span<std::byte> destination) {
  libdeflate_decompressor* const decompressor = Decompressor();
  if (decompressor == nullptr) return Error::Internal("no memory for the deflate decoder");
  size_t written = 0;
  const libdeflate_result result = libdeflate_zlib_decompress(
      decompressor, stored.data(), stored.size(), destination.data(), destination.size(), &written);
  if (result != LIBDEFLATE_SUCCESS) return DeflateError(result, "deflate");
  return written;
}

Result<size_t> UndoGzip(std::span<const std::byte> stored, std::span<std::byte> destination) {
  libdeflate_decompressor* const decompressor = Decompressor();
  if (decompressor == nullptr) return Error::Internal("no memory for the deflate decoder");
  size_t total = 0;
  do {
    size_t taken = 0;
    size_t written = 0;
    const auto to = destination.subspan(total);
    const libdeflate_result result = libdeflate_gzip_decompress_ex(
        decompressor, stored.data(), stored.size(), to.data(), to.size(), &taken, &written);
    if (result != LIBDEFLATE_SUCCESS) return DeflateError(result, "gzip");
    stored = stored.subspan(taken);
    total += written;
  } while (!stored.empty());
  return total;
}

Result<size_t> UndoZstd(std::span<const std::byte> stored, std::span<std::byte> destination) {
  const size_t written =
      ZSTD_decompress(destination.data(), destination.size(), stored.data(), stored.size());
  if (ZSTD_isError(written) != 0) {
    return Damaged(fmt::format("Zstandard: {}", ZSTD_getErrorName(written)));
  }
  return written;
}

Result<size_t> UndoBlosc(std::span<const std::byte> stored, std::span<std::byte> destination) {
  size_t bytes = 0;
  if (blosc_cbuffer_validate(stored.data(), stored.size(), &bytes) != 0) {
    return Damaged("Blosc: the header of the chunk is not valid");
  }
  if (bytes > destination.size()) {
    return Damaged(fmt::format("Blosc: the chunk has {} bytes, the dataset says at most {}", bytes,
                               destination.size()));
  }
  const int written =
      blosc_decompress_ctx(stored.data(), destination.data(), destination.size(), 1);
  if (written < 0 || static_cast<size_t>(written) != bytes) {
    return Damaged("Blosc: the compressed data is damaged, or its codec is not known here");
  }
  return bytes;
}

Result<size_t> UndoLz4Block(std::span<const std::byte> stored, std::span<std::byte> destination) {
  if (stored.size() > LZ4_MAX_INPUT_SIZE || destination.size() > LZ4_MAX_INPUT_SIZE) {
    return Damaged("LZ4: a block is too long");
  }
  const int written = LZ4_decompress_safe(
      reinterpret_cast<const char*>(stored.data()), reinterpret_cast<char*>(destination.data()),
      static_cast<int>(stored.size()), static_cast<int>(destination.size()));
  if (written < 0) return Damaged("LZ4: the compressed data is damaged");
  return static_cast<size_t>(written);
}

}  // namespace penstock::ingest::chunked
