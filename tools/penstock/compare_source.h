// `penstock verify --source`: the frames of a dataset against the vendor file that it was made
// from, decoded once more.

#ifndef PENSTOCK_TOOLS_COMPARE_SOURCE_H_
#define PENSTOCK_TOOLS_COMPARE_SOURCE_H_

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::tools {

struct FrameDifference {
  int64_t frame = 0;         // position in the scan
  int64_t source_frame = 0;  // in the vendor file
  std::string block;         // file, relative to the dataset
  int64_t row = 0;           // of the first pixel that differs
  int64_t column = 0;
  std::string expected;  // from the source
  std::string found;     // in the block
};

struct SourceComparison {
  int64_t frames_compared = 0;
  int64_t frames_without_source = 0;  // the source has none, and the dataset says so
  int64_t frames_invalid = 0;         // marked in image_key although the source has them
  std::optional<FrameDifference> first_difference;
};

// Compares every frame that image_key calls valid, bit by bit, by the mapping from scan positions
// to source frames that the ingest left in the dataset's history. kContradiction where `source`
// cannot be what the dataset was made from, kUnsupported where the history does not say how.
// Memory: two buffers of some MiB per thread.
Result<SourceComparison> CompareWithSource(const Dataset& dataset,
                                           const ingest::FrameSource& source, int threads,
                                           ProgressSink& progress, const std::stop_token& stop);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_COMPARE_SOURCE_H_
