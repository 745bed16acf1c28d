#include <cstdint>

#include "penstock/dataset/shuffle.h"

namespace penstock::scalar {

void UnshuffleRest(const std::byte* source, std::byte* destination, size_t first, size_t elements,
                   size_t element_size) {
  for (size_t b = 0; b < element_size; ++b) {
    const std::byte* const plane = source + b * elements;
    std::byte* const to = destination + b;
    for (size_t j = first; j < elements; ++j) to[j * element_size] = plane[j];
  }
}

void UnshuffleBytes(const std::byte* source, std::byte* destination, size_t elements,
                    size_t element_size) {
  UnshuffleRest(source, destination, 0, elements, element_size);
}

void UntransposeColumns(const std::byte* planes, std::byte* destination, size_t first,
                        size_t columns) {
  for (size_t i = first; i < columns; ++i) {
    // The 8x8 bit matrix of one column: row k is the byte of plane k.
    uint64_t matrix = 0;
    for (size_t k = 0; k < 8; ++k) {
      matrix |= std::to_integer<uint64_t>(planes[k * columns + i]) << (8 * k);
    }
    uint64_t swap = (matrix ^ (matrix >> 7)) & 0x00AA00AA00AA00AAULL;
    matrix ^= swap ^ (swap << 7);
    swap = (matrix ^ (matrix >> 14)) & 0x0000CCCC0000CCCCULL;
    matrix ^= swap ^ (swap << 14);
    swap = (matrix ^ (matrix >> 28)) & 0x00000000F0F0F0F0ULL;
    matrix ^= swap ^ (swap << 28);
    for (size_t j = 0; j < 8; ++j) {
      destination[8 * i + j] = static_cast<std::byte>(matrix >> (8 * j));
    }
  }
}

void UntransposeBits(const std::byte* source, std::byte* destination, std::byte* scratch,
                     size_t elements, size_t element_size) {
  const size_t columns = elements / 8;
  std::byte* const planes = element_size == 1 ? destination : scratch;
  for (size_t b = 0; b < element_size; ++b) {
    UntransposeColumns(source + b * elements, planes + b * elements, 0, columns);
  }
  if (element_size != 1) UnshuffleBytes(planes, destination, elements, element_size);
}

}  // namespace penstock::scalar
