#include "ingest/formats/k2is/k2is_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "ingest/formats/k2is/k2is_describe.h"
#include "ingest/formats/k2is/shutter.h"
#include "ingest/formats/records/text.h"
#include "ingest/unpack/unpack.h"

namespace penstock::ingest::k2is {

namespace {

// The blocks of one sector and frame as they were found in the scratch buffer, by place: 0 to 15
// are the upper half from left to right, 16 to 31 the lower.
class SectorFrame {
 public:
  static size_t PlaceOfIndex(int index) {
    const int across = kBlocksAcross - 1 - index % kBlocksAcross;
    return static_cast<size_t>(index / kBlocksAcross * kBlocksAcross + across);
  }

  void Add(std::span<const std::byte> block, uint64_t offset, const FramePlace& place,
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
           fmt::format("block {} has the coordinates x {} to {}, y {} to {}", count,
                       header->x_start, header->x_end, header->y_start, header->y_end),
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

  // Writes 1860 rows of 256 pixels; what is missing becomes zero.
  void Unpack(std::byte* image) const {
    for (size_t half = 0; half < 2; ++half) {
      std::byte* const rows = image + half * kBlockRows * kFrameRowBytes;
      const std::byte* const* blocks = pixels_.data() + half * kBlocksAcross;
      for (size_t from = 0; from < kBlocksAcross;) {
        const bool there = blocks[from] != nullptr;
        size_t to = from + 1;
        while (to < kBlocksAcross && (blocks[to] != nullptr) == there) ++to;
        std::byte* const corner = rows + from * Uint12Blocks::kImageBytes;
        if (there) {
          UnpackUint12Blocks({.blocks = blocks + from,
                              .block_count = to - from,
                              .row_count = kBlockRows,
                              .destination = corner,
                              .destination_stride = kFrameRowBytes});
        } else {
          for (size_t row = 0; row < kBlockRows; ++row) {
            std::memset(corner + row * kFrameRowBytes, 0, (to - from) * Uint12Blocks::kImageBytes);
          }
        }
        from = to;
      }
    }
  }

  int64_t missing() const { return std::ranges::count(pixels_, nullptr); }
  bool shutter_active() const { return shutter_active_; }
  bool has_notes() const { return notes_ > 0; }
  // Of the first thing that was noted, the worse kind first.
  const std::string& note() const { return note_; }
  uint64_t note_offset() const { return note_offset_; }

 private:
  void Note(uint64_t offset, std::string text, bool loses_pixels) {
    if (notes_ == 0 || (loses_pixels && !note_loses_pixels_)) {
      note_ = std::move(text);
      note_offset_ = offset;
      note_loses_pixels_ = loses_pixels;
    }
    ++notes_;
  }

  std::array<const std::byte*, kBlocksPerFrame> pixels_{};
  bool shutter_active_ = false;
  int notes_ = 0;
  bool note_loses_pixels_ = false;
  uint64_t note_offset_ = 0;
  std::string note_;
};

}  // namespace

Result<std::unique_ptr<K2isSource>> K2isSource::Open(const std::filesystem::path& path,
                                                     bool rescue) {
  const AcquisitionFiles files = FindAcquisitionFiles(path);
  PENSTOCK_ASSIGN_OR_RETURN(Acquisition acquisition, OpenAcquisition(files, rescue));
  PENSTOCK_ASSIGN_OR_RETURN(const auto flagged, FirstFlaggedFrame(acquisition));
  PENSTOCK_ASSIGN_OR_RETURN(SourceDescription description,
                            DescribeAcquisition(files, acquisition, flagged));
  return std::unique_ptr<K2isSource>(
      new K2isSource(std::move(acquisition), flagged, std::move(description)));
}

Status K2isSource::Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                          DecodeContext& context) const {
  assert(0 <= first && first <= last && last <= acquisition_.frame_count);
  assert(destination.size() == static_cast<uint64_t>(last - first) * kFrameBytes);
  for (int64_t frame = first; frame < last; ++frame) {
    std::byte* const image =
        destination.data() + static_cast<uint64_t>(frame - first) * kFrameBytes;
    const FramePlace place = acquisition_.PlaceOf(frame);
    for (const int sector : acquisition_.lost_sectors) {
      for (int64_t row = 0; row < kFrameRows; ++row) {
        std::memset(image + static_cast<uint64_t>(row) * kFrameRowBytes +
                        static_cast<uint64_t>(sector) * kSectorColumns * 2,
                    0, kSectorColumns * 2);
      }
    }
    for (size_t file = 0; file < acquisition_.sectors.size(); ++file) {
      PENSTOCK_RETURN_IF_ERROR(DecodeSector(file, frame, place, image, context));
    }
    FrameHeaderFacts facts;
    facts.sequence_number = place.id;
    context.report->AddFrameFacts(frame, facts);
  }
  return Status::Ok();
}

std::optional<FrameLocation> K2isSource::Locate(int64_t frame) const {
  const FramePlace place = acquisition_.PlaceOf(frame);
  for (size_t file = 0; file < acquisition_.sectors.size(); ++file) {
    const std::vector<FramePiece> pieces = PiecesOf(acquisition_.sectors[file], place);
    if (!pieces.empty()) return FrameLocation{file, pieces.front().offset};
  }
  return std::nullopt;
}

Status K2isSource::DecodeSector(size_t file, int64_t frame, const FramePlace& place,
                                std::byte* image, DecodeContext& context) const {
  const SectorFile& sector = acquisition_.sectors[file];
  SectorFrame found;
  uint64_t first_offset = sector.identity.size;
  const std::vector<FramePiece> pieces = PiecesOf(sector, place);
  // What is read stays where it is until the next range of the file; several pieces are therefore
  // kept in the scratch: together they have at most 32 blocks.
  const bool in_pieces = pieces.size() > 1;
  if (in_pieces && context.scratch.size() < kSectorFrameBytes) {
    PENSTOCK_ASSIGN_OR_RETURN(context.scratch, AlignedBuffer::Allocate(kSectorFrameBytes));
  }
  uint64_t used = 0;
  for (const FramePiece& piece : pieces) {
    const uint64_t bytes = static_cast<uint64_t>(piece.blocks) * kBlockBytes;
    PENSTOCK_ASSIGN_OR_RETURN(
        std::span<const std::byte> blocks,
        context.Read({file, sector.fd.get(), piece.offset, bytes}, sector.path));
    if (in_pieces) {
      std::memcpy(context.scratch.data() + used, blocks.data(), bytes);
      blocks = context.scratch.span().subspan(used, bytes);
      used += bytes;
    }
    first_offset = std::min(first_offset, piece.offset);
    for (int64_t i = 0; i < piece.blocks; ++i) {
      const uint64_t at = static_cast<uint64_t>(i) * kBlockBytes;
      found.Add(blocks.subspan(at, kBlockBytes), piece.offset + at, place, piece.first_count + i);
    }
  }
  found.Unpack(image + static_cast<uint64_t>(sector.sector) * kSectorColumns * 2);

  if (const int64_t missing = found.missing(); missing > 0) {
    std::string message = fmt::format("sector {}: {} of {} blocks of frame number {} are missing",
                                      sector.sector + 1, missing, kBlocksPerFrame, place.id);
    if (found.has_notes()) message += ": " + found.note();
    context.report->AddAnomaly(
        records::MakeAnomaly(AnomalyKind::kPartialSector, sector.path, message,
                             found.has_notes() ? found.note_offset() : first_offset, frame));
    context.report->MarkInvalid(frame, message);
  } else if (found.has_notes()) {
    context.report->AddAnomaly(records::MakeAnomaly(
        AnomalyKind::kOther, sector.path,
        fmt::format("sector {}: {}", sector.sector + 1, found.note()), found.note_offset(), frame));
  }
  if (file == 0 && flagged_frame_ && frame > *flagged_frame_ && !found.shutter_active() &&
      found.missing() < kBlocksPerFrame) {
    context.report->AddAnomaly(records::MakeAnomaly(
        AnomalyKind::kOther, sector.path, "the shutter flag is not set, behind a frame with it",
        first_offset, frame));
  }
  return Status::Ok();
}

}  // namespace penstock::ingest::k2is
