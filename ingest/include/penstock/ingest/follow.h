// Following an acquisition that is still being written.
//
// The dataset appears at its destination at once, marked as growing, and each block as soon as all
// of its frames are there; see docs/ingest.md, "Following", and docs/layout.md, "Growing datasets".

#ifndef PENSTOCK_INGEST_FOLLOW_H_
#define PENSTOCK_INGEST_FOLLOW_H_

#include <chrono>
#include <filesystem>
#include <stop_token>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

struct FollowOptions {
  // Nothing was written for so long: the acquisition has ended, complete or not. Also how long to
  // wait for its first frame.
  std::chrono::milliseconds quiet = std::chrono::seconds(30);
};

// Waits for the first frame and decides everything. Missing frames are marked, never refused: the
// policy is kZero, or kNan where that is asked for. kInvalidArgument where nothing states the size
// of the scan, and for a source whose format cannot be followed; else the errors of PlanIngest.
// kCancelled when stopped.
Result<IngestPlan> PlanFollow(const std::filesystem::path& source_path,
                              const IngestOptions& options, const FollowOptions& follow,
                              const std::stop_token& stop);

// Until every scan position has its frame and the files are still, until nothing was written for
// `quiet`, or until `stop`: then what is there becomes a dataset whose missing frames are marked,
// with an anomaly. A run that was killed is continued by the same call.
Result<IngestResult> FollowIngest(const IngestPlan& plan, const FollowOptions& follow,
                                  ProgressSink& progress, std::stop_token stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_FOLLOW_H_
