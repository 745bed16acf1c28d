// The sequence numbers of an acquisition's frames: where they do not run on by one.

#ifndef PENSTOCK_INGEST_FORMATS_MIB_MIB_NUMBERING_H_
#define PENSTOCK_INGEST_FORMATS_MIB_MIB_NUMBERING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "ingest/formats/mib/mib_series.h"
#include "penstock/base/result.h"
#include "penstock/dataset/description.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

// Frames from first_frame on, to the next run, are numbered first_sequence, first_sequence + 1, ...
struct MibRun {
  int64_t first_frame = 0;
  int64_t first_sequence = 0;
};

struct MibNumbering {
  std::vector<MibRun> runs;  // not empty; by first_frame
  std::vector<MissingFrames> missing;
  std::vector<Anomaly> anomalies;

  int64_t ExpectedSequence(int64_t frame) const;
};

// Reads the first and the last header of every file, and where their numbers do not fit the number
// of frames between them, finds the places by bisection. Numbering that goes wrong and right again
// between two frames that were read is found while decoding. Errors as in ReadMibFrameHeader.
Result<MibNumbering> SurveyMibNumbering(const MibSeries& series);

// What is wrong with frame `frame` of number `found` where `expected` was due; absent when equal.
std::optional<Anomaly> MibNumberAnomaly(const std::filesystem::path& file, uint64_t offset,
                                        int64_t frame, int64_t expected, int64_t found);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FORMATS_MIB_MIB_NUMBERING_H_
