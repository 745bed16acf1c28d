// Where the bright-field disk is, from a few frames spread over the scan: so that the pass over all
// frames, in which it has to be known, stays the only one.

#ifndef PENSTOCK_INGEST_PIPELINE_DISK_PROBE_H_
#define PENSTOCK_INGEST_PIPELINE_DISK_PROBE_H_

#include <stop_token>

#include "ingest/pipeline/bright_disk.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

struct DiskProbe {
  DiskSearch search;
  int64_t frames = 0;  // that the pattern is the mean of
};

// Follows from the plan and the source alone, so that a resumed ingest finds the same disk. Frames
// that cannot be decoded are left out: the ingest itself will say what is wrong with them.
// kIo where reading fails. Precondition: a scan of real pixels.
Result<DiskProbe> ProbeBrightDisk(const IngestPlan& plan, const std::stop_token& stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_DISK_PROBE_H_
