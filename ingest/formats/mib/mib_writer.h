// Writes what Merlin writes around the pixels: frame headers and the .hdr file. For simulated
// acquisitions; the fields are those that mib_frame_header.h and mib_sidecar.h read.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_WRITER_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "penstock/dataset/geometry.h"

namespace penstock::ingest {

struct MibWriteSettings {
  SignalShape signal;
  ScanShape scan;
  int counter_depth = 12;  // 1, 6, 12 or 24
  int64_t start_unix_ns = 0;
  int64_t exposure_ns = 1'000'000;
  int64_t frame_period_ns = 1'000'000;
  int64_t flyback_ns = 0;  // additional time at the end of each scan row

  bool IsQuad() const { return signal.rows == 512 && signal.columns == 512; }
  size_t HeaderBytes() const { return IsQuad() ? 768 : 384; }
  size_t PixelBytes() const { return counter_depth <= 6 ? 1 : counter_depth <= 12 ? 2 : 4; }
  size_t RecordBytes() const {
    return HeaderBytes() + static_cast<size_t>(signal.pixel_count()) * PixelBytes();
  }
};

// Fills `header`, of settings.HeaderBytes(), for the frame with this number (0-based).
void WriteMibHeader(const MibWriteSettings& settings, int64_t frame, std::span<std::byte> header);

// The contents of NAME.hdr.
std::string MibSidecarText(const MibWriteSettings& settings);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_WRITER_H_
