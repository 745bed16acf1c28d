#include "ingest/formats/k2is/sector_frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingest/formats/k2is/block_header.h"
#include "ingest/unpack/unpack.h"

namespace penstock::ingest::k2is {

namespace {

size_t PlaceOfIndex(int index) {
  const int across = kBlocksAcross - 1 - index % kBlocksAcross;
  return static_cast<size_t>(index / kBlocksAcross * kBlocksAcross + across);
}

}  // namespace

void SectorFrame::Add(std::span<const std::byte> block, uint64_t offset, const FramePlace& place,
                      int64_t count) {
  const auto header = ParseBlockHeader(block);
  if (!header) {
    Note(offset, fmt::format("block {} has no valid header", count), true);
    return;
  }
  if (int64_t{header->frame_id} != place.id || int64_t{header->block_count} != count) {
    Note(offset,
         fmt::format("expected block {} of frame {}, found block {} of frame {}", count, place.id,
                     header->block_count, header->frame_id),
         true);
    return;
  }
  const auto index = header->Index();
  if (!index) {
    Note(offset,
         fmt::format("block {} has the coordinates x {} to {}, y {} to {}", count, header->x_start,
                     header->x_end, header->y_start, header->y_end),
         true);
    return;
  }
  const size_t target = PlaceOfIndex(*index);
  if (pixels_[target] != nullptr) {
    Note(offset, fmt::format("block {} is a second one at the same place", count), true);
    return;
  }
  if (*index != count - place.first_count) {
    Note(offset,
         fmt::format("block {} lies where number {} of a frame belongs and is number {}: placed "
                     "by its coordinates",
                     count, count - place.first_count, *index),
         false);
  }
  pixels_[target] = block.data() + kHeaderBytes;
  shutter_active_ = shutter_active_ || header->shutter_active;
}

int64_t SectorFrame::missing() const { return std::ranges::count(pixels_, nullptr); }

void SectorFrame::Note(uint64_t offset, std::string text, bool loses_pixels) {
  if (notes_ == 0 || (loses_pixels && !note_loses_pixels_)) {
    note_ = std::move(text);
    note_offset_ = offset;
    note_loses_pixels_ = loses_pixels;
  }
  ++notes_;
}

void UnpackRows(std::span<const std::byte* const> blocks, int64_t first_row, int64_t last_row,
                std::byte* image, size_t image_stride, size_t prefetch_bytes) {
  const size_t across = blocks.size() / 2;
  for (int64_t half = 0; half < 2; ++half) {
    const int64_t begin = std::max(first_row, half * kBlockRows);
    const int64_t end = std::min(last_row, (half + 1) * kBlockRows);
    if (begin >= end) continue;
    const auto of_half = blocks.subspan(static_cast<size_t>(half) * across, across);
    std::byte* const rows = image + static_cast<size_t>(begin - first_row) * image_stride;
    const auto row_count = static_cast<size_t>(end - begin);
    for (size_t from = 0; from < across;) {
      const bool there = of_half[from] != nullptr;
      size_t to = from + 1;
      while (to < across && (of_half[to] != nullptr) == there) ++to;
      std::byte* const corner = rows + from * Uint12Blocks::kImageBytes;
      if (there) {
        UnpackUint12Blocks({.blocks = of_half.data() + from,
                            .block_count = to - from,
                            .first_row = static_cast<size_t>(begin - half * kBlockRows),
                            .row_count = row_count,
                            .destination = corner,
                            .destination_stride = image_stride,
                            .prefetch_bytes = prefetch_bytes});
      } else {
        for (size_t row = 0; row < row_count; ++row) {
          std::memset(corner + row * image_stride, 0, (to - from) * Uint12Blocks::kImageBytes);
        }
      }
      from = to;
    }
  }
}

}  // namespace penstock::ingest::k2is
