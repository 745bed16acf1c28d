// The filters with a framing of their own around LZ4 or Zstandard, LZF, and the Fletcher checksum.

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "ingest/formats/hdf5/filters.h"
#include "penstock/dataset/shuffle.h"

namespace penstock::ingest::hdf5 {

namespace {

constexpr size_t kHeaderBytes = 12;

uint32_t BigEndian32(const std::byte* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap32(value);
}

uint64_t BigEndian64(const std::byte* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap64(value);
}

bool Inflate(uint32_t codec, std::span<const std::byte> from, std::span<std::byte> to) {
  if (codec == 2) {
    if (to.size() > LZ4_MAX_INPUT_SIZE || from.size() > LZ4_MAX_INPUT_SIZE) return false;
    const int written = LZ4_decompress_safe(
        reinterpret_cast<const char*>(from.data()), reinterpret_cast<char*>(to.data()),
        static_cast<int>(from.size()), static_cast<int>(to.size()));
    return written >= 0 && static_cast<size_t>(written) == to.size();
  }
  return ZSTD_decompress(to.data(), to.size(), from.data(), from.size()) == to.size();
}

// A cursor over the stored bytes that never passes their end.
class Stored {
 public:
  explicit Stored(std::span<const std::byte> bytes) : bytes_(bytes) {}
  bool Take(size_t count, std::span<const std::byte>& taken) {
    if (count > bytes_.size()) return false;
    taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return true;
  }
  size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

Error BadBlock(const char* filter, size_t block, size_t blocks) {
  return Error::Corrupt(
      fmt::format("{}: block {} of {} of the chunk is damaged", filter, block, blocks));
}

}  // namespace

Result<size_t> UndoBitshuffle(const Filter& filter, std::span<const std::byte> stored,
                              size_t element_size, std::span<std::byte> scratch,
                              std::span<std::byte> destination) {
  const auto parameter = [&](size_t i) {
    return i < filter.parameters.size() ? filter.parameters[i] : 0U;
  };
  const size_t size = parameter(2) != 0 ? parameter(2) : element_size;
  const uint32_t codec = parameter(4);
  if (codec != 0 && codec != 2 && codec != 3) {
    return Error::Unsupported(fmt::format("bitshuffle: compression {} is not known", codec));
  }
  if (size > 1024) return Error::Corrupt("bitshuffle: the element size makes no sense");
  uint64_t total = stored.size();
  uint64_t block_bytes = uint64_t{parameter(3)} * size;
  Stored input(stored);
  std::span<const std::byte> piece;
  if (codec != 0) {
    if (!input.Take(kHeaderBytes, piece)) {
      return Error::Corrupt("bitshuffle: the chunk is shorter than its header");
    }
    total = BigEndian64(piece.data());
    block_bytes = BigEndian32(piece.data() + 8);
  } else if (block_bytes == 0) {
    block_bytes = std::max<uint64_t>(8192 / size / 8 * 8, 128) * size;
  }
  if (total > destination.size()) {
    return Error::Corrupt("bitshuffle: the chunk is larger than the dataset says")
        .Expected(fmt::format("{} bytes", destination.size()))
        .Found(fmt::format("{}", total));
  }
  if (block_bytes == 0 || block_bytes % (8 * size) != 0 || block_bytes > (uint64_t{1} << 31)) {
    return Error::Corrupt("bitshuffle: the block size of the chunk makes no sense")
        .Expected(fmt::format("a multiple of {} bytes", 8 * size))
        .Found(fmt::format("{}", block_bytes));
  }
  const uint64_t elements = total / size;
  block_bytes = std::min(block_bytes, std::max<uint64_t>(8, elements / 8 * 8) * size);
  if (total % size != 0 || 2 * block_bytes > scratch.size()) {
    return Error::Corrupt("bitshuffle: the chunk does not fit its element size")
        .Found(fmt::format("{} bytes in blocks of {}, elements of {}", total, block_bytes, size));
  }
  const auto transposed = scratch.first(block_bytes);
  std::byte* const temporary = scratch.data() + block_bytes;
  const uint64_t whole = elements / 8 * 8 * size;  // what is cut into blocks
  const size_t blocks = (whole + block_bytes - 1) / block_bytes;
  size_t block = 0;
  for (uint64_t at = 0; at < whole; at += block_bytes, ++block) {
    const size_t bytes = std::min<uint64_t>(block_bytes, whole - at);
    const std::byte* source = nullptr;
    if (codec == 0) {
      if (!input.Take(bytes, piece)) return BadBlock("bitshuffle", block, blocks);
      source = piece.data();
    } else {
      if (!input.Take(4, piece) || !input.Take(BigEndian32(piece.data()), piece) ||
          !Inflate(codec, piece, transposed.first(bytes))) {
        return BadBlock("bitshuffle", block, blocks);
      }
      source = transposed.data();
    }
    UntransposeBits(source, destination.data() + at, temporary, bytes / size, size);
  }
  if (!input.Take(total - whole, piece)) {
    return Error::Corrupt("bitshuffle: the chunk ends before its last elements");
  }
  if (!piece.empty()) std::memcpy(destination.data() + whole, piece.data(), piece.size());
  if (input.left() != 0) {
    return Error::Corrupt(fmt::format("bitshuffle: {} bytes are left over", input.left()));
  }
  return total;
}

Result<size_t> UndoLz4(std::span<const std::byte> stored, std::span<std::byte> destination) {
  Stored input(stored);
  std::span<const std::byte> piece;
  if (!input.Take(kHeaderBytes, piece)) {
    return Error::Corrupt("LZ4: the chunk is shorter than its header");
  }
  const uint64_t total = BigEndian64(piece.data());
  const uint64_t block_bytes = BigEndian32(piece.data() + 8);
  if (total > destination.size() || (block_bytes == 0 && total > 0)) {
    return Error::Corrupt("LZ4: the header of the chunk does not fit the dataset")
        .Expected(fmt::format("at most {} bytes", destination.size()))
        .Found(fmt::format("{} in blocks of {}", total, block_bytes));
  }
  size_t block = 0;
  for (uint64_t at = 0; at < total; at += block_bytes, ++block) {
    const size_t bytes = std::min(block_bytes, total - at);
    const auto to = destination.subspan(at, bytes);
    if (!input.Take(4, piece) || !input.Take(BigEndian32(piece.data()), piece)) {
      return BadBlock("LZ4", block, (total + block_bytes - 1) / block_bytes);
    }
    if (piece.size() == bytes) {  // stored as it is
      std::memcpy(to.data(), piece.data(), bytes);
    } else if (!Inflate(2, piece, to)) {
      return BadBlock("LZ4", block, (total + block_bytes - 1) / block_bytes);
    }
  }
  if (input.left() != 0) {
    return Error::Corrupt(fmt::format("LZ4: {} bytes are left over", input.left()));
  }
  return total;
}

// LZF: a control byte below 32 copies that many bytes and one more; others repeat earlier output:
// three bits of length (7: another byte is added) and 13 bits of distance.
Result<size_t> UndoLzf(std::span<const std::byte> stored, std::span<std::byte> destination) {
  const auto damaged = [] { return Error::Corrupt("LZF: the compressed data is damaged"); };
  const std::byte* in = stored.data();
  const std::byte* const in_end = in + stored.size();
  std::byte* const begin = destination.data();
  std::byte* out = begin;
  std::byte* const out_end = begin + destination.size();
  while (in < in_end) {
    const auto control = std::to_integer<size_t>(*in++);
    if (control < 32) {
      const size_t count = control + 1;
      if (count > static_cast<size_t>(in_end - in) || count > static_cast<size_t>(out_end - out)) {
        return damaged();
      }
      std::memcpy(out, in, count);
      in += count;
      out += count;
      continue;
    }
    size_t length = control >> 5;
    if (length == 7) {
      if (in == in_end) return damaged();
      length += std::to_integer<size_t>(*in++);
    }
    length += 2;
    if (in == in_end) return damaged();
    const size_t distance = ((control & 31) << 8 | std::to_integer<size_t>(*in++)) + 1;
    if (distance > static_cast<size_t>(out - begin) ||
        length > static_cast<size_t>(out_end - out)) {
      return damaged();
    }
    // The ranges may overlap: that is how runs are written.
    for (const std::byte* from = out - distance; length > 0; --length) *out++ = *from++;
  }
  return static_cast<size_t>(out - begin);
}

uint32_t Fletcher32(std::span<const std::byte> bytes) {
  uint32_t sum1 = 0;
  uint32_t sum2 = 0;
  const auto fold = [](uint32_t sum) { return (sum & 0xFFFF) + (sum >> 16); };
  size_t at = 0;
  size_t words = bytes.size() / 2;
  while (words > 0) {
    // 360 sums of 16 bits fit into 32 bits.
    const size_t some = std::min<size_t>(words, 360);
    for (size_t i = 0; i < some; ++i, at += 2) {
      sum1 += std::to_integer<uint32_t>(bytes[at]) << 8 | std::to_integer<uint32_t>(bytes[at + 1]);
      sum2 += sum1;
    }
    words -= some;
    sum1 = fold(sum1);
    sum2 = fold(sum2);
  }
  if (bytes.size() % 2 != 0) {
    sum1 += std::to_integer<uint32_t>(bytes.back()) << 8;
    sum2 += sum1;
    sum1 = fold(sum1);
    sum2 = fold(sum2);
  }
  sum1 = fold(sum1);
  sum2 = fold(sum2);
  return sum2 << 16 | sum1;
}

}  // namespace penstock::ingest::hdf5
