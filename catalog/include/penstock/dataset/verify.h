// Verification of a published dataset against its own checksums.

#ifndef PENSTOCK_DATASET_VERIFY_H_
#define PENSTOCK_DATASET_VERIFY_H_

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"

namespace penstock {

// One thing that is wrong. For a block: the extent and the frames that it covers.
struct Damage {
  std::string file;     // relative to the dataset
  int64_t extent = -1;  // -1 where the damage is not inside one extent of a block
  FrameRange frames;
  std::string message;  // expected and found
};

struct VerifyReport {
  uint64_t bytes_checked = 0;
  int64_t files_checked = 0;
  std::vector<Damage> damage;  // empty: intact
};

// Checks every file of checksums.xxh128 and every extent of every block; reports missing files and
// files that are not listed, but for the faces of a mount (faces.h). Reads with `threads` threads
// and bounded memory. An error is returned only where verification itself was impossible; damage is
// in the report.
Result<VerifyReport> VerifyDataset(const std::filesystem::path& directory, int threads,
                                   ProgressSink& progress, std::stop_token stop);

}  // namespace penstock

#endif  // PENSTOCK_DATASET_VERIFY_H_
