// A Gatan K2 IS acquisition as a FrameSource.

#ifndef PENSTOCK_INGEST_FORMATS_K2IS_K2IS_SOURCE_H_
#define PENSTOCK_INGEST_FORMATS_K2IS_K2IS_SOURCE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "ingest/formats/k2is/acquisition.h"
#include "ingest/formats/k2is/sector_frame.h"
#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::k2is {

class K2isSource final : public FrameSource {
 public:
  // `path` is the .gtg or one of the sectors.
  static Result<std::unique_ptr<K2isSource>> Open(const std::filesystem::path& path, bool rescue);

  const SourceDescription& description() const override { return description_; }
  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override;
  // The frame's first block in the first sector that has one of it.
  std::optional<FrameLocation> Locate(int64_t frame) const override;
  std::unique_ptr<StripDecoder> MakeStripDecoder() const override;

  const Acquisition& acquisition() const { return acquisition_; }
  // Looks at the blocks of a sector of a frame, whose pieces' bytes are given, and reports what is
  // wrong with them.
  SectorFrame FindBlocks(size_t file, int64_t frame, const FramePlace& place,
                         std::span<const FramePiece> pieces,
                         std::span<const std::span<const std::byte>> bytes,
                         DecodeReport& report) const;

 private:
  K2isSource(Acquisition acquisition, std::optional<int64_t> flagged_frame,
             SourceDescription description)
      : acquisition_(std::move(acquisition)),
        flagged_frame_(flagged_frame),
        description_(std::move(description)) {}

  Status DecodeSector(size_t file, int64_t frame, const FramePlace& place, std::byte* image,
                      DecodeContext& context) const;

  const Acquisition acquisition_;
  const std::optional<int64_t> flagged_frame_;
  const SourceDescription description_;
};

}  // namespace penstock::ingest::k2is

#endif  // PENSTOCK_INGEST_FORMATS_K2IS_K2IS_SOURCE_H_
