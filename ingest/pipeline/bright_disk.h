// The bright-field disk of a diffraction pattern: where it is, if there is one.

#ifndef PENSTOCK_INGEST_PIPELINE_BRIGHT_DISK_H_
#define PENSTOCK_INGEST_PIPELINE_BRIGHT_DISK_H_

#include <optional>
#include <span>
#include <string>

#include "penstock/base/png.h"

namespace penstock::ingest {

// In pixels of the detector, as stored; (0, 0) is the centre of the first pixel. Rounded to
// hundredths, so that what is printed is what was used.
struct BrightDisk {
  double row = 0;
  double column = 0;
  double radius = 0;

  bool operator==(const BrightDisk&) const = default;
};

struct DiskSearch {
  std::optional<BrightDisk> disk;
  std::string reason;  // why there is none
};

// Looks for one compact region that stands out of a mean pattern, whose pixels are `bin` pixels of
// the detector wide: half-way between background and top, connected, without holes, round, inside
// of the frame. For a picture: no calibration is derived from it.
DiskSearch FindBrightDisk(ImageShape shape, std::span<const double> pattern, int64_t bin);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_BRIGHT_DISK_H_
