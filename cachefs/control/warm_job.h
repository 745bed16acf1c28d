// WarmJob: brings everything below a path of the store into the cache: blocks of datasets and the
// other files.
//
// Progress is what is there, extent by extent, not what has been asked for. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_CONTROL_WARM_JOB_H_
#define PENSTOCK_CACHEFS_CONTROL_WARM_JOB_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

class WarmJob {
 public:
  struct Services {
    std::shared_ptr<Upstream> upstream;
    DatasetRegistry* registry = nullptr;
    BlockCache* cache = nullptr;
    const std::atomic<bool>* stopping = nullptr;
    size_t at_once = 4;  // replicas that are filled at the same time
    std::chrono::milliseconds settle_time{0};
  };
  // False: the one who asked has gone; the job ends.
  using Report = std::function<bool(const Json&)>;

  WarmJob(Services services, Report report)
      : services_(std::move(services)), report_(std::move(report)) {}

  // Only blocks first to last of each dataset, and no other files.
  void OnlyBlocks(int64_t first, int64_t last) { blocks_ = {first, last}; }

  // Looks for what lies at and below `path`: kNotFound where there is nothing.
  Status Collect(const std::string& path);
  // Fetches what is missing. What cannot be fetched is skipped and counted; the last line of the
  // report has the totals.
  Status Fetch();
  // Reads everything again from the disk and compares the hashes; what is damaged is replaced.
  Status Verify();

  const std::vector<std::shared_ptr<const BlockSource>>& sources() const { return sources_; }
  // The result: totals and failures.
  Json Result() const;

 private:
  void CollectBlocks(const DatasetView& view);
  Status CollectBelow(const std::string& path, bool in_dataset, int depth);
  Status CollectFile(const std::string& path, const struct stat& status);
  bool Tell(const char* phase, uint64_t bytes);

  const Services services_;
  const Report report_;
  std::optional<std::pair<int64_t, int64_t>> blocks_;
  std::vector<std::shared_ptr<const BlockSource>> sources_;
  size_t block_count_ = 0;
  size_t file_count_ = 0;
  size_t skipped_files_ = 0;  // changed too lately
  uint64_t total_bytes_ = 0;
  uint64_t bytes_ = 0;           // there, by the last look
  uint64_t resident_bytes_ = 0;  // there before
  std::vector<std::string> failures_;
  uint64_t verified_bytes_ = 0;
  int64_t damaged_extents_ = 0;
  int64_t healed_extents_ = 0;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_WARM_JOB_H_
