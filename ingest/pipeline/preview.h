// Preview: pictures of a dataset from what was measured while it was ingested.

#ifndef PENSTOCK_INGEST_PIPELINE_PREVIEW_H_
#define PENSTOCK_INGEST_PIPELINE_PREVIEW_H_

#include <filesystem>
#include <mutex>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/statistics.h"

namespace penstock::ingest {

// Thread-safe but for Write.
class Preview {
 public:
  explicit Preview(const DatasetShape& shape);

  void AddBlock(const BlockRegion& region, const BlockStatistics& statistics);

  // preview/mean_pattern.png (logarithmic) and, for scans, preview/total_intensity.png. Missing
  // frames are black. Nothing is written for complex data, which have no statistics.
  Status Write(const std::filesystem::path& dataset_directory) const;

 private:
  const DatasetShape shape_;
  std::mutex mutex_;
  std::vector<float> pattern_;     // sum over all valid frames; enough for a picture
  std::vector<double> intensity_;  // per frame; NaN where there is none
  int64_t frames_ = 0;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_PREVIEW_H_
