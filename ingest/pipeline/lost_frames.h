// Gaps in the source's numbering of its frames, against the scan: refused, or told.

#ifndef PENSTOCK_INGEST_PIPELINE_LOST_FRAMES_H_
#define PENSTOCK_INGEST_PIPELINE_LOST_FRAMES_H_

#include <string>
#include <string_view>

#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

// What to do about a gap that cannot be one.
inline constexpr std::string_view kGapAdvice =
    "frames are numbered wrongly, or files of several acquisitions lie together: --this-file-only "
    "takes one file; --sync-offset begins the scan behind the gap; --missing=skip takes the frames "
    "of a series as they come";

// "series of 9", "3,3".
std::string ShapeText(const ScanShape& shape);

// Needs shape candidates and mapping. kContradiction where the gaps that touch the scan lose more
// frames than it has positions (or than the source has frames, where nothing else states the size),
// and, where the policy is to refuse, for any lost frame inside the scan.
Status CheckLostFrames(const IngestPlan& plan);

// Says in the remarks which scan positions are lost. The gaps themselves are anomalies of the
// source.
void NoteLostFrames(IngestPlan& plan);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_LOST_FRAMES_H_
