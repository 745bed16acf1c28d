// SerSource: the frames of one TIA series.

#ifndef PENSTOCK_INGEST_FORMATS_SER_SER_SOURCE_H_
#define PENSTOCK_INGEST_FORMATS_SER_SER_SOURCE_H_

#include <cstdint>
#include <optional>

#include "ingest/formats/ser/ser_describe.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::ser {

class SerSource final : public FrameSource {
 public:
  SerSource(OpenedSeries series, SourceDescription description)
      : series_(std::move(series)), description_(std::move(description)) {}

  const SourceDescription& description() const override { return description_; }
  Status Decode(int64_t first, int64_t last, std::span<std::byte> destination,
                DecodeContext& context) const override;
  std::optional<FrameLocation> Locate(int64_t frame) const override {
    return FrameLocation{0, series_.index.offsets[static_cast<size_t>(frame)]};
  }

 private:
  // One read covers element `element` up to here: its tag and a small gap included.
  uint64_t ReadEnd(size_t element) const;
  Status DecodeRun(size_t first, size_t last, std::span<std::byte> destination,
                   DecodeContext& context) const;
  Status DecodeLargeFrame(size_t element, std::span<std::byte> destination,
                          DecodeContext& context) const;
  Status ReportTag(size_t element, std::span<const std::byte> bytes_behind,
                   DecodeContext& context) const;

  OpenedSeries series_;
  SourceDescription description_;
};

}  // namespace penstock::ingest::ser

#endif  // PENSTOCK_INGEST_FORMATS_SER_SER_SOURCE_H_
