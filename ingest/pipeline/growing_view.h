// The dataset directory that readers see while an acquisition is followed.
//
// Its blocks and statistics are links to the files of the staging directory (copies where the file
// system has no links); the rest is replaced file by file as blocks are added. At the end the
// staging directory takes its name.

#ifndef PENSTOCK_INGEST_PIPELINE_GROWING_VIEW_H_
#define PENSTOCK_INGEST_PIPELINE_GROWING_VIEW_H_

#include <cstdint>
#include <filesystem>
#include <span>

#include "ingest/pipeline/publication.h"
#include "penstock/dataset/dataset_writer.h"

namespace penstock::ingest {

// Not thread-safe.
class GrowingView {
 public:
  explicit GrowingView(const StagingPaths& paths);

  // At the destination, in place of an earlier one. Precondition: the statistics are there in the
  // staging directory.
  Status Publish(const DatasetDescription& description, const DatasetContents& contents);
  // `block` is new in the contents.
  Status Add(int64_t block, const DatasetDescription& description, const DatasetContents& contents);

 private:
  Status Link(const DatasetDescription& description, int64_t block,
              const std::filesystem::path& into) const;

  StagingPaths paths_;  // .NAME.growing as staging
  std::filesystem::path blocks_from_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_GROWING_VIEW_H_
