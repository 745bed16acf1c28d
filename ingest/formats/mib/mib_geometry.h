// From the layout that a Merlin frame header states to bytes, image shape and pixels.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_GEOMETRY_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_GEOMETRY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ingest/formats/mib/mib_frame_header.h"
#include "penstock/base/element_type.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/dataset/geometry.h"

namespace penstock::ingest {

// Pixels per chip row and rows per chip of the Medipix3.
inline constexpr uint32_t kMedipixSide = 256;
// A frame beyond this is taken for a damaged header; the largest detectors need a few MiB.
inline constexpr uint64_t kMibMaxFrameBytes = uint64_t{256} << 20;

struct MibGeometry {
  MibFrameLayout layout;
  uint64_t payload_bytes = 0;  // after the header
  uint64_t record_bytes = 0;   // header and payload: the distance from frame to frame
  SignalShape signal;
  ElementType element_type = ElementType::kUint16;
  int raw_depth = 0;  // 1, 6, 12 or 24 for R64, 0 for processed data
  bool quad = false;  // raw data of four chips, to be arranged 2x2

  uint64_t image_bytes() const {
    return static_cast<uint64_t>(signal.pixel_count()) * ElementSize(element_type);
  }
};

// kUnsupported for layouts without a reference, kCorrupt or kContradiction for impossible ones. The
// caller adds file and offset.
Result<MibGeometry> MibGeometryOf(const MibFrameLayout& layout);

// What in the layout is odd but does not touch the pixels (kind and message only).
std::vector<Anomaly> MibLayoutRemarks(const MibFrameLayout& layout);

// Payload of one frame to a C-order little-endian image. Sizes as in the geometry; thread-safe.
void DecodeMibPayload(const MibGeometry& geometry, std::span<const std::byte> payload,
                      std::span<std::byte> image);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_GEOMETRY_H_
