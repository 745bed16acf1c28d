// One block: decoded, hashed, measured and written in one pass over cache-sized tiles; or, when an
// earlier run has already written it, read back and held against the journal.

#ifndef PENSTOCK_INGEST_PIPELINE_BLOCK_INGEST_H_
#define PENSTOCK_INGEST_PIPELINE_BLOCK_INGEST_H_

#include <filesystem>
#include <stop_token>
#include <vector>

#include "ingest/pipeline/anomaly_list.h"
#include "ingest/pipeline/disk_sums.h"
#include "ingest/pipeline/source_digest.h"
#include "penstock/base/progress.h"
#include "penstock/dataset/dataset_writer.h"
#include "penstock/dataset/frame_header.h"
#include "penstock/dataset/statistics.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

struct BlockOutcome {
  BlockRecord record;
  std::vector<int64_t> invalid_frames;  // of the scan; decoded but not to be used
  std::string frame_header_digest;
  AnomalyList anomalies{kAnomaliesPerBlock};
};

// The journal's line of a finished block, with the source leaves whose digests are new. Extent
// checksums are not in it: they are taken again when the block is verified.
Json BlockToJson(const BlockOutcome& outcome, const std::vector<LeafDigest>& leaves);
// False where `line` is not the line of a block.
bool BlockFromJson(const Json& line, BlockOutcome& outcome, std::vector<LeafDigest>& leaves);

// What a worker needs; the references outlive it. One per thread.
class BlockIngester {
 public:
  // `disk`: what else is to be measured; null where there is nothing. The plan's grid is the one
  // for `compression`.
  BlockIngester(const IngestPlan& plan, Compression compression, const DiskSums* disk,
                std::filesystem::path staging, SourceDigests& digests, ProgressSink& progress,
                std::stop_token stop);

  // Writes the block. kCancelled when stopped in between; then nothing of it is left.
  Result<BlockOutcome> Write(int64_t block);

  // Reads a block that `known` (from the journal) describes: kCorrupt where the file is not that.
  // Fills the extent checksums in.
  Result<BlockOutcome> Verify(BlockOutcome known);

  // Of the block that was last written or verified.
  const BlockStatistics& statistics() const { return *statistics_; }
  const std::vector<FrameHeader>& frame_headers() const { return frame_headers_; }
  // The same, one per frame; empty without a disk.
  const std::vector<DiskSum>& disk_sums() const { return disk_sums_; }

 private:
  Status WriteRun(BlockWriter& writer, const BlockRegion& region, int64_t position,
                  const ScanMapping::Run& run, BlockReport& report, BlockOutcome& outcome);

  Status HashBlockFile(const std::filesystem::path& path, BlockOutcome& known);
  void BeginMeasuring(const BlockRegion& region);
  void Measure(int64_t index, std::span<const std::byte> pixels);  // frame `index` of the block

  const IngestPlan& plan_;
  const Compression compression_;
  const DiskSums* const disk_;
  const std::filesystem::path staging_;
  ProgressSink& progress_;
  const std::stop_token stop_;
  DecodeContext context_;
  std::vector<FrameHeader> frame_headers_;  // by position in the block
  AlignedBuffer tile_;                      // for Verify
  std::unique_ptr<BlockStatistics> statistics_;
  std::vector<DiskSum> disk_sums_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_BLOCK_INGEST_H_
