// One run of an ingest, from the lock on its journal to publication.
//
// A run over a finished acquisition is RunIngest; FollowRun (follow.cc) adds blocks as an
// acquisition grows and ends in the same steps, so that both leave the same dataset.

#ifndef PENSTOCK_INGEST_PIPELINE_INGEST_RUN_H_
#define PENSTOCK_INGEST_PIPELINE_INGEST_RUN_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "ingest/pipeline/anomaly_list.h"
#include "ingest/pipeline/block_ingest.h"
#include "ingest/pipeline/choose_compression.h"
#include "ingest/pipeline/disk_probe.h"
#include "ingest/pipeline/journal.h"
#include "ingest/pipeline/preview.h"
#include "ingest/pipeline/publication.h"
#include "ingest/pipeline/source_digest.h"
#include "penstock/dataset/dataset_writer.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

inline constexpr int32_t kInvalidFrame = 3;  // in image_key

class IngestRun {
 public:
  IngestRun(IngestPlan plan, ProgressSink& progress, std::stop_token stop);
  virtual ~IngestRun() = default;
  IngestRun(const IngestRun&) = delete;
  IngestRun& operator=(const IngestRun&) = delete;

  Result<IngestResult> Run();

 protected:
  // The first line of the journal: what an earlier run must agree with to be continued.
  virtual Json Identity() const;
  // Whatever is at the destination may stay or be replaced when all is done.
  virtual Status CheckDestination();
  // In an empty or adopted staging directory, before frames are looked at to choose a compression.
  // `measures`: that they will be.
  virtual Status BeforeCompression(bool /*measures*/) { return Status::Ok(); }
  // From there to publication.
  virtual Status Work();
  // A block is in the staging directory, with its statistics. Called by the workers.
  virtual Status AfterBlock(int64_t /*block*/) { return Status::Ok(); }
  // After an error that no later run can do anything with.
  virtual void Discard();

  // Before any block; looks at frames that are there.
  Status PreparePreview();
  bool preview_prepared() const { return preview_.has_value(); }
  // Workers take the next block until there is none, one has failed, or all are to stop.
  Status IngestBlocks(std::span<const int64_t> blocks);
  // Digests of a source that has not changed since it was opened.
  Result<std::vector<SourceDigest>> TakeDigests();
  // Everything that describes the blocks, and publication.
  Status DescribeAndPublish(const std::vector<SourceDigest>& digests);
  Status RefuseExisting();
  Compression compression() const { return compression_.compression; }
  // In which publication takes the place of whatever is there.
  virtual bool ReplacesDestination() const { return plan_.options.replace; }

  IngestPlan plan_;
  ProgressSink& progress_;
  const std::stop_token stop_;
  const StagingPaths paths_;
  std::unique_ptr<Journal> journal_;
  SourceDigests digests_;
  std::vector<BlockOutcome> outcomes_;        // by block; each written by one worker
  std::map<int64_t, BlockOutcome> finished_;  // by an earlier run, as the journal says
  bool journals_blocks_ = true;               // so that a later run may keep them
  bool source_may_grow_ = false;              // what has been added since is left out

 private:
  Result<bool> FinishEarlierPublication();
  Status PrepareStaging();
  void AdoptJournal();
  Status DecideCompression();
  bool RememberCompression();
  Status MeasureCompression();
  Status IngestBlock(BlockIngester& ingester, int64_t block);
  Result<BlockOutcome> WriteOrVerify(BlockIngester& ingester, int64_t block);
  void KeepError(Error error);
  Status CheckSourceUnchanged() const;
  void MergeAnomalies();
  DatasetContents Contents();
  void MarkInvalid(DatasetContents& contents, int64_t position);
  Status Publish();
  Error GiveUp(Error error);
  IngestResult Summarise() const;

  CompressionDecision compression_;
  std::optional<DiskProbe> probe_;  // of a scan
  std::optional<DiskSums> disk_sums_;
  std::optional<Preview> preview_;
  std::atomic<int64_t> resumed_{0};
  AnomalyList anomalies_{kAnomaliesPerDataset};
  int64_t invalid_frames_ = 0;

  std::mutex mutex_;
  std::optional<Error> error_;  // of a worker
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_INGEST_RUN_H_
