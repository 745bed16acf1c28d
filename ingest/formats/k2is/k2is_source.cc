#include "ingest/formats/k2is/k2is_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "ingest/formats/k2is/k2is_describe.h"
#include "ingest/formats/k2is/k2is_strips.h"
#include "ingest/formats/k2is/shutter.h"
#include "ingest/formats/records/text.h"

namespace penstock::ingest::k2is {

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
  const std::vector<FramePiece> pieces = PiecesOf(sector, place);
  // What is read stays where it is until the next range of the file; several pieces are therefore
  // kept in the scratch: together they have at most 32 blocks.
  const bool in_pieces = pieces.size() > 1;
  if (in_pieces && context.scratch.size() < kSectorFrameBytes) {
    PENSTOCK_ASSIGN_OR_RETURN(context.scratch, AlignedBuffer::Allocate(kSectorFrameBytes));
  }
  uint64_t used = 0;
  std::vector<std::span<const std::byte>> bytes;
  for (const FramePiece& piece : pieces) {
    const uint64_t size = static_cast<uint64_t>(piece.blocks) * kBlockBytes;
    PENSTOCK_ASSIGN_OR_RETURN(
        std::span<const std::byte> blocks,
        context.Read({file, sector.fd.get(), piece.offset, size}, sector.path));
    if (in_pieces) {
      std::memcpy(context.scratch.data() + used, blocks.data(), size);
      blocks = context.scratch.span().subspan(used, size);
      used += size;
    }
    bytes.push_back(blocks);
  }
  const SectorFrame found = FindBlocks(file, frame, place, pieces, bytes, *context.report);
  UnpackRows(found.pixels(), 0, kFrameRows,
             image + static_cast<uint64_t>(sector.sector) * kSectorColumns * 2, kFrameRowBytes);
  return Status::Ok();
}

SectorFrame K2isSource::FindBlocks(size_t file, int64_t frame, const FramePlace& place,
                                   std::span<const FramePiece> pieces,
                                   std::span<const std::span<const std::byte>> bytes,
                                   DecodeReport& report) const {
  const SectorFile& sector = acquisition_.sectors[file];
  SectorFrame found;
  uint64_t first_offset = sector.identity.size;
  for (size_t p = 0; p < pieces.size(); ++p) {
    const FramePiece& piece = pieces[p];
    first_offset = std::min(first_offset, piece.offset);
    for (int64_t i = 0; i < piece.blocks; ++i) {
      const uint64_t at = static_cast<uint64_t>(i) * kBlockBytes;
      found.Add(bytes[p].subspan(at, kBlockBytes), piece.offset + at, place, piece.first_count + i);
    }
  }
  if (const int64_t missing = found.missing(); missing > 0) {
    std::string message = fmt::format("sector {}: {} of {} blocks of frame number {} are missing",
                                      sector.sector + 1, missing, kBlocksPerFrame, place.id);
    if (found.has_notes()) message += ": " + found.note();
    report.AddAnomaly(records::MakeAnomaly(AnomalyKind::kPartialSector, sector.path, message,
                                           found.has_notes() ? found.note_offset() : first_offset,
                                           frame));
    report.MarkInvalid(frame, message);
  } else if (found.has_notes()) {
    report.AddAnomaly(records::MakeAnomaly(
        AnomalyKind::kOther, sector.path,
        fmt::format("sector {}: {}", sector.sector + 1, found.note()), found.note_offset(), frame));
  }
  if (file == 0 && flagged_frame_ && frame > *flagged_frame_ && !found.shutter_active() &&
      found.missing() < kBlocksPerFrame) {
    report.AddAnomaly(records::MakeAnomaly(AnomalyKind::kOther, sector.path,
                                           "the shutter flag is not set, behind a frame with it",
                                           first_offset, frame));
  }
  return found;
}

std::unique_ptr<StripDecoder> K2isSource::MakeStripDecoder() const {
  return std::make_unique<K2isStrips>(*this);
}

}  // namespace penstock::ingest::k2is
