#include "ingest/formats/k2is/k2is_strips.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ingest/formats/k2is/k2is_source.h"
#include "ingest/formats/k2is/sector_frame.h"
#include "ingest/unpack/unpack.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older headers lack it
#endif

namespace penstock::ingest::k2is {

namespace {

constexpr uint64_t kPage = 4096;
// Of longer strips the next one would have left the cache before it is wanted.
constexpr size_t kFurthestPrefetch = 1024;

}  // namespace

K2isStrips::Bytes::~Bytes() { Unmap(); }

void K2isStrips::Bytes::Unmap() {
  guard_ = MappingGuard();
  if (mapped_ != nullptr) munmap(mapped_, mapped_bytes_);
  mapped_ = nullptr;
}

bool K2isStrips::Bytes::Map(const SourceReadMode& mode, uint64_t offset, uint64_t bytes) {
  Unmap();
  if (!mode.IsResident(offset, bytes)) return false;
  const uint64_t begin = offset / kPage * kPage;
  mapped_bytes_ = offset + bytes - begin;
  void* const address = mmap(nullptr, mapped_bytes_, PROT_READ, MAP_SHARED, mode.buffered_fd(),
                             static_cast<off_t>(begin));
  if (address == MAP_FAILED) return false;
  mapped_ = address;
  mapped_offset_ = begin;
  guard_ = MappingGuard(address, mapped_bytes_);
  // What cannot be read is read once more, which says why.
  if (madvise(address, mapped_bytes_, MADV_POPULATE_READ) != 0 && errno != EINVAL) {
    Unmap();
    return false;
  }
  span_ = {static_cast<const std::byte*>(address) + (offset - begin), bytes};
  return true;
}

std::optional<uint64_t> K2isStrips::Bytes::lost() const {
  const auto lost = guard_.lost();
  return lost ? std::optional(mapped_offset_ + *lost) : std::nullopt;
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
      if (!held.Map(modes_[file], piece.offset, size)) {
        PENSTOCK_ASSIGN_OR_RETURN(const std::span<std::byte> room, held.Room(size));
        PENSTOCK_RETURN_IF_ERROR(
            context.ReadInto({file, sector.fd.get(), piece.offset, size}, room, sector.path));
      }
      bytes.push_back(held.span());
      frame.files.push_back(file);
    }
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

}  // namespace penstock::ingest::k2is
