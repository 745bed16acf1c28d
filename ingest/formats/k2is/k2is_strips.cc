#include "ingest/formats/k2is/k2is_strips.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ingest/formats/k2is/k2is_source.h"
#include "ingest/formats/k2is/sector_frame.h"
#include "ingest/unpack/unpack.h"

namespace penstock::ingest::k2is {

namespace {

// Of longer strips the next one would have left the cache before it is wanted.
constexpr size_t kFurthestPrefetch = 1024;

constexpr size_t kPixelsOfBlock = size_t{kBlockColumns} * kBlockRows;

// In the place of blocks that are missing.
constexpr std::array<std::byte, kPixelsOfBlock / 2 * 3> kNoPixels{};

// Among all blocks of the image, by halves and in these from left to right, the one that is number
// `run` of the stored order.
size_t BlockOfRun(size_t run) {
  const size_t sector = run / kBlocksPerFrame;
  const size_t half = run % kBlocksPerFrame / kBlocksAcross;
  const size_t column = kBlocksAcross - 1 - run % kBlocksAcross;
  return (half * kSectors + sector) * kBlocksAcross + column;
}

// Headers lie far apart, and one after the other each would have to be waited for. Every second one
// is in two cache lines.
void PrefetchHeaders(std::span<const std::byte> blocks) {
  if (blocks.empty()) return;
  // No page is mapped for a prefetch.
  static_cast<void>(*static_cast<const volatile std::byte*>(blocks.data()));
  for (size_t at = 0; at + kHeaderBytes <= blocks.size(); at += kBlockBytes) {
    __builtin_prefetch(&blocks[at]);
    __builtin_prefetch(&blocks[at + kHeaderBytes - 1]);
  }
}

}  // namespace

bool K2isStrips::Bytes::Map(const SourceReadMode& mode, uint64_t offset, uint64_t bytes,
                            std::shared_ptr<const MappedWindow>& window) {
  window_.reset();
  if (!mode.IsResident(offset, bytes)) return false;
  if (window == nullptr || !window->Holds(offset, bytes)) {
    window = MappedWindow::Map(mode.buffered_fd(), offset, bytes);
    if (window == nullptr) return false;
  }
  window_ = window;
  span_ = window->At(offset, bytes);
  return true;
}

Result<std::span<std::byte>> K2isStrips::Bytes::Room(uint64_t bytes) {
  if (buffer_.size() < bytes) {
    PENSTOCK_ASSIGN_OR_RETURN(buffer_, AlignedBuffer::Allocate(bytes));
  }
  span_ = buffer_.span().first(bytes);
  return buffer_.span().first(bytes);
}

Status K2isStrips::OpenModes() {
  for (const SectorFile& sector : source_.acquisition().sectors) {
    PENSTOCK_ASSIGN_OR_RETURN(SourceReadMode mode,
                              SourceReadMode::Of(sector.fd.get(), sector.path));
    modes_.push_back(std::move(mode));
  }
  windows_.resize(modes_.size());
  return Status::Ok();
}

Status K2isStrips::Begin(std::span<const int64_t> frames, DecodeContext& context) {
  if (modes_.empty()) PENSTOCK_RETURN_IF_ERROR(OpenModes());
  while (frames_.size() < frames.size()) frames_.emplace_back();
  for (size_t i = 0; i < frames_.size(); ++i) {
    frames_[i].there = i < frames.size() && frames[i] >= 0;
    if (frames_[i].there) PENSTOCK_RETURN_IF_ERROR(BeginFrame(frames_[i], frames[i], context));
  }
  return Status::Ok();
}

Status K2isStrips::BeginFrame(Frame& frame, int64_t number, DecodeContext& context) {
  const Acquisition& acquisition = source_.acquisition();
  const FramePlace place = acquisition.PlaceOf(number);
  frame.blocks.fill(nullptr);
  frame.files.clear();
  size_t used = 0;
  for (size_t file = 0; file < acquisition.sectors.size(); ++file) {
    const SectorFile& sector = acquisition.sectors[file];
    const std::vector<FramePiece> pieces = PiecesOf(sector, place);
    std::vector<std::span<const std::byte>> bytes;
    for (const FramePiece& piece : pieces) {
      if (used == frame.bytes.size()) frame.bytes.emplace_back();
      Bytes& held = frame.bytes[used++];
      const uint64_t size = static_cast<uint64_t>(piece.blocks) * kBlockBytes;
      if (!held.Map(modes_[file], piece.offset, size, windows_[file])) {
        PENSTOCK_ASSIGN_OR_RETURN(const std::span<std::byte> room, held.Room(size));
        PENSTOCK_RETURN_IF_ERROR(
            context.ReadInto({file, sector.fd.get(), piece.offset, size}, room, sector.path));
      }
      bytes.push_back(held.span());
      frame.files.push_back(file);
    }
    for (const std::span<const std::byte> piece : bytes) PrefetchHeaders(piece);
    const SectorFrame found =
        source_.FindBlocks(file, number, place, pieces, bytes, *context.report);
    for (size_t i = 0; i < kBlocksPerFrame; ++i) {
      const size_t half = i / kBlocksAcross;
      frame.blocks[(half * kSectors + static_cast<size_t>(sector.sector)) * kBlocksAcross +
                   i % kBlocksAcross] = found.pixels()[i];
    }
  }
  return CheckRead(frame);
}

Status K2isStrips::CheckRead(const Frame& frame) const {
  for (size_t i = 0; i < frame.files.size(); ++i) {
    const auto lost = frame.bytes[i].lost();
    if (!lost) continue;
    const SectorFile& sector = source_.acquisition().sectors[frame.files[i]];
    return LostPageError(sector.fd.get(), *lost, sector.identity.size, sector.path);
  }
  return Status::Ok();
}

Status K2isStrips::Rows(int64_t first, int64_t last, std::span<std::byte> destination) const {
  const auto rows = static_cast<size_t>(last - first);
  const size_t strip_bytes = rows * kFrameRowBytes;
  for (size_t i = 0; i < frames_.size(); ++i) {
    if (!frames_[i].there) continue;
    // The next strip of the same blocks lies right behind this one, and 256 runs of a few hundred
    // bytes are more than the processor sees coming by itself.
    UnpackRows(frames_[i].blocks, first, last, destination.data() + i * strip_bytes, kFrameRowBytes,
               std::min(rows * Uint12Blocks::kRowBytes, kFurthestPrefetch));
    PENSTOCK_RETURN_IF_ERROR(CheckRead(frames_[i]));
  }
  return Status::Ok();
}

std::shared_ptr<const std::vector<uint32_t>> K2isStrips::stored_order() const {
  static const auto order = [] {
    constexpr auto kBlocksInRow = static_cast<uint32_t>(kSectors * kBlocksAcross);
    constexpr auto kColumns = static_cast<uint32_t>(kBlockColumns);
    constexpr auto kRows = static_cast<uint32_t>(kBlockRows);
    std::vector<uint32_t> pixels;
    pixels.reserve(size_t{2} * kBlocksInRow * kPixelsOfBlock);
    for (uint32_t run = 0; run < 2 * kBlocksInRow; ++run) {
      const auto block = static_cast<uint32_t>(BlockOfRun(run));
      const uint32_t first_row = block / kBlocksInRow * kRows;
      const uint32_t first_column = block % kBlocksInRow * kColumns;
      for (uint32_t row = first_row; row < first_row + kRows; ++row) {
        for (uint32_t column = 0; column < kColumns; ++column) {
          pixels.push_back(row * kBlocksInRow * kColumns + first_column + column);
        }
      }
    }
    return std::make_shared<const std::vector<uint32_t>>(std::move(pixels));
  }();
  return order;
}

Status K2isStrips::StoredPixels(int64_t first, int64_t last,
                                std::span<std::byte> destination) const {
  std::byte* to = destination.data();
  const auto count = static_cast<size_t>(last - first);
  for (const Frame& frame : frames_) {
    if (!frame.there) {
      to += count * sizeof(uint16_t);
      continue;
    }
    for (auto place = static_cast<size_t>(first); place < static_cast<size_t>(last);) {
      const size_t in_block = place % kPixelsOfBlock;
      const size_t pixels = std::min(kPixelsOfBlock - in_block, static_cast<size_t>(last) - place);
      const std::byte* const block = frame.blocks[BlockOfRun(place / kPixelsOfBlock)];
      if (block != nullptr) {
        UnpackUint12(block + in_block / 2 * 3, to, pixels);
      } else {
        std::memset(to, 0, pixels * sizeof(uint16_t));
      }
      to += pixels * sizeof(uint16_t);
      place += pixels;
    }
    PENSTOCK_RETURN_IF_ERROR(CheckRead(frame));
  }
  return Status::Ok();
}

void K2isStrips::LocatePacked(int64_t run, size_t first, std::span<const std::byte*> frames) const {
  const size_t block = BlockOfRun(static_cast<size_t>(run));
  for (size_t i = 0; i < frames.size(); ++i) {
    const Frame& frame = frames_[first + i];
    const std::byte* const pixels = frame.there ? frame.blocks[block] : nullptr;
    frames[i] = pixels != nullptr ? pixels : kNoPixels.data();
  }
}

Status K2isStrips::CheckPacked() const {
  for (const Frame& frame : frames_) {
    if (frame.there) PENSTOCK_RETURN_IF_ERROR(CheckRead(frame));
  }
  return Status::Ok();
}

}  // namespace penstock::ingest::k2is
