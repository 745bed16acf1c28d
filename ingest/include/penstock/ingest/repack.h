// Repack: a dataset's frames stored another way, compressed or not; pixels and metadata stay.
//
// As with an ingest, everything lies in `.NAME.ingest/` beside the dataset until it is whole, the
// journal beside it is locked, publication is one rename, and a run that was stopped, by whatever
// means, is continued by the same call. The dataset is whole under its name at every moment; who
// has its files open keeps them, and caches see a new generation.

#ifndef PENSTOCK_INGEST_REPACK_H_
#define PENSTOCK_INGEST_REPACK_H_

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

struct RepackOptions {
  CompressionChoice compression = CompressionChoice::kAutomatic;
  int workers = 0;                        // 0: one per CPU
  std::vector<std::string> command_line;  // for the history
};

struct RepackResult {
  std::filesystem::path destination;
  Compression before = Compression::kNone;
  Compression after = Compression::kNone;
  std::string compression_reason;  // of kAutomatic: what was measured
  bool is_unchanged = false;       // the dataset was already so
  // Of all block files; nothing is known of an earlier run that had published already.
  uint64_t bytes_before = 0;
  uint64_t bytes_after = 0;
  uint64_t frame_bytes = 0;
  int64_t frames = 0;
  int64_t blocks = 0;
  int64_t resumed_blocks = 0;
  // XXH3-128 over the XXH3-128 digests of each block's frames (16 bytes each, canonical), before
  // and after: the same, or there is an error.
  std::string pixel_checksum;
  bool was_published_before = false;
  double seconds = 0;
};

// Every source block is held against its checksum before it is converted, every file that is copied
// against checksums.xxh128, and every new block is read back and compared pixel by pixel. Errors
// leave the dataset as it was: kCorrupt where it is damaged, kNoSpace, kBusy where an ingest into
// it or another repack runs, kInvalidArgument for a growing one, kCancelled.
Result<RepackResult> RepackDataset(const std::filesystem::path& dataset,
                                   const RepackOptions& options, ProgressSink& progress,
                                   const std::stop_token& stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_REPACK_H_
