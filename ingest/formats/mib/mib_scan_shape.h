// What a Merlin acquisition says about the shape of its scan, ranked.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_SCAN_SHAPE_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_SCAN_SHAPE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ingest/formats/mib/mib_series.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

struct MibScanShapes {
  std::vector<ScanShapeEvidence> shapes;  // strongest first
  std::vector<Anomaly> anomalies;
};

// ScanX and ScanY of the .hdr file, then frames per trigger, then the time stamps of the first
// frames (weaker: a fly-back is seen as a longer gap), then a square if the number of frames is
// one. Frames in Acquisition is the request, the files are the truth: where they differ it is
// reported. `part_of_series`: files of the acquisition were left out on purpose, so the counts need
// not agree. `lost_frames`: in the gaps of the numbering; at most the series' own number of frames.
Result<MibScanShapes> FindMibScanShapes(const MibSeries& series, bool part_of_series,
                                        int64_t lost_frames);

// Line length from time stamps in ns: the frames up to the first gap that is longer than the mean
// gap, if every following line ends with such a gap and no other gap comes near it. Absent where
// the gaps do not say so.
std::optional<int64_t> LineLengthFromTimes(std::span<const int64_t> times_ns);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_SCAN_SHAPE_H_
