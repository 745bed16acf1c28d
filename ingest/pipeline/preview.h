// Preview: pictures of a dataset from what was measured while it was ingested.

#ifndef PENSTOCK_INGEST_PIPELINE_PREVIEW_H_
#define PENSTOCK_INGEST_PIPELINE_PREVIEW_H_

#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "ingest/pipeline/binned_pattern.h"
#include "ingest/pipeline/bright_disk.h"
#include "ingest/pipeline/disk_sums.h"
#include "penstock/base/result.h"
#include "penstock/dataset/statistics.h"

namespace penstock::ingest {

// Thread-safe but for Write.
class Preview {
 public:
  // Bright and dark field are drawn where there is a disk.
  Preview(const DatasetShape& shape, std::optional<BrightDisk> disk);

  // What a Preview holds; without the pictures that Write makes one after the other.
  static uint64_t MemoryBytes(const DatasetShape& shape);

  // `disk_sums`: one per frame of the block, or empty where there is no disk.
  void AddBlock(const BlockRegion& region, const BlockStatistics& statistics,
                std::span<const DiskSum> disk_sums);

  // preview/mean_pattern.png (logarithmic) and, for scans, preview/total_intensity.png,
  // bright_field.png and dark_field.png. Missing frames are black. Nothing is written for complex
  // data, which have no statistics.
  Status Write(const std::filesystem::path& dataset_directory) const;

 private:
  const DatasetShape shape_;
  const std::optional<BrightDisk> disk_;
  std::mutex mutex_;
  std::optional<BinnedPattern> pattern_;  // sum over all valid frames; absent for complex data
  // Per frame; NaN where there is none; enough for a picture. Empty for a series.
  std::vector<float> intensity_;
  std::vector<float> bright_;
  std::vector<float> dark_;
  int64_t frames_ = 0;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_PREVIEW_H_
