#include "ingest/formats/records/numbers.h"

namespace penstock::ingest::records {

namespace {

template <typename Word>
void SwapAll(std::span<std::byte> bytes) {
  for (size_t at = 0; at + sizeof(Word) <= bytes.size(); at += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + at, sizeof(Word));
    if constexpr (sizeof(Word) == 2) word = __builtin_bswap16(word);
    if constexpr (sizeof(Word) == 4) word = __builtin_bswap32(word);
    if constexpr (sizeof(Word) == 8) word = __builtin_bswap64(word);
    std::memcpy(bytes.data() + at, &word, sizeof(Word));
  }
}

}  // namespace

void SwapBytes(std::span<std::byte> bytes, uint64_t word_bytes) {
  switch (word_bytes) {
    case 2:
      return SwapAll<uint16_t>(bytes);
    case 4:
      return SwapAll<uint32_t>(bytes);
    case 8:
      return SwapAll<uint64_t>(bytes);
    default:
      return;
  }
}

}  // namespace penstock::ingest::records
