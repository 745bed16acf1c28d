#include "ingest/formats/k2is/block_header.h"

namespace penstock::ingest::k2is {

namespace {

constexpr uint32_t kSyncWord = 0xFFFF0055;

uint32_t LoadBig(std::span<const std::byte> bytes, size_t offset, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value = value << 8 | std::to_integer<uint32_t>(bytes[offset + i]);
  }
  return value;
}

uint16_t LoadBig16(std::span<const std::byte> bytes, size_t offset) {
  return static_cast<uint16_t>(LoadBig(bytes, offset, 2));
}

}  // namespace

std::optional<int> BlockHeader::Index() const {
  if (x_start % kBlockColumns != 0 || x_start >= kSectorColumns ||
      x_end != x_start + kBlockColumns - 1) {
    return std::nullopt;
  }
  if ((y_start != 0 && y_start != kBlockRows) || y_end != y_start + kBlockRows - 1) {
    return std::nullopt;
  }
  const int across = static_cast<int>(x_start / kBlockColumns);
  return kBlocksAcross - 1 - across + (y_start == 0 ? 0 : kBlocksAcross);
}

std::optional<BlockHeader> ParseBlockHeader(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes || LoadBig(bytes, 0, 4) != kSyncWord ||
      LoadBig16(bytes, 20) != kSectorColumns || LoadBig16(bytes, 22) != kFrameRows ||
      LoadBig(bytes, 36, 4) != kBlockBytes) {
    return std::nullopt;
  }
  BlockHeader header;
  header.shutter_active = (LoadBig(bytes, 9, 1) & 1U) != 0;
  header.block_count = LoadBig(bytes, 16, 4);
  header.frame_id = LoadBig(bytes, 24, 4);
  header.x_start = LoadBig16(bytes, 28);
  header.y_start = LoadBig16(bytes, 30);
  header.x_end = LoadBig16(bytes, 32);
  header.y_end = LoadBig16(bytes, 34);
  return header;
}

}  // namespace penstock::ingest::k2is
