// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78, eight bytes per step by table.

#include <array>
#include <bit>
#include <cstring>

#include "penstock/dataset/block_layout.h"

namespace penstock {

static_assert(std::endian::native == std::endian::little, "blocks are written in native order");

namespace {

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    tables[0][byte] = crc;
  }
  for (size_t distance = 1; distance < 8; ++distance) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[distance - 1][byte];
      tables[distance][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

}  // namespace

uint32_t Crc32c(const void* bytes, size_t size) {
  const auto* next = static_cast<const unsigned char*>(bytes);
  uint32_t crc = 0xffffffffU;
  for (; size >= 8; size -= 8, next += 8) {
    uint64_t word;
    std::memcpy(&word, next, sizeof word);
    word ^= crc;
    crc = 0;
    for (size_t byte = 0; byte < 8; ++byte) crc ^= kTables[7 - byte][(word >> (8 * byte)) & 0xff];
  }
  for (; size > 0; --size, ++next) crc = (crc >> 8) ^ kTables[0][(crc ^ *next) & 0xff];
  return ~crc;
}

}  // namespace penstock
