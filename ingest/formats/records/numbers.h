// Numbers out of bytes, in either order.

#ifndef PENSTOCK_INGEST_FORMATS_RECORDS_NUMBERS_H_
#define PENSTOCK_INGEST_FORMATS_RECORDS_NUMBERS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace penstock::ingest::records {

static_assert(std::endian::native == std::endian::little,
              "little-endian files are read without conversion");

// Precondition: bytes.size() >= offset + sizeof(T).
template <typename T>
T LoadLittle(std::span<const std::byte> bytes, size_t offset) {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
T LoadBig(std::span<const std::byte> bytes, size_t offset) {
  static_assert(std::is_arithmetic_v<T>);
  std::byte reversed[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) reversed[i] = bytes[offset + sizeof(T) - 1 - i];
  T value;
  std::memcpy(&value, reversed, sizeof(T));
  return value;
}

// Reverses the order of the bytes of each word of 2, 4 or 8 bytes, in place. Words of other sizes,
// and bytes behind the last whole word, stay as they are.
void SwapBytes(std::span<std::byte> bytes, uint64_t word_bytes);

}  // namespace penstock::ingest::records

#endif  // PENSTOCK_INGEST_FORMATS_RECORDS_NUMBERS_H_
