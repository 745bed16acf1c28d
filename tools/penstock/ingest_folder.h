// `penstock ingest FOLDER... --to STORE/`: every acquisition below the folders becomes a dataset at
// the same place below the store; what is there already is passed over.

#ifndef PENSTOCK_TOOLS_INGEST_FOLDER_H_
#define PENSTOCK_TOOLS_INGEST_FOLDER_H_

#include <filesystem>
#include <optional>
#include <set>
#include <stop_token>
#include <vector>

#include "penstock/ingest/ingest.h"

namespace penstock::tools {

struct FolderIngestOptions {
  ingest::IngestOptions
      each;  // for every acquisition; workers and memory_bytes are for all of them
  std::filesystem::path store;
  bool dry_run = false;
  bool json = false;
};

// A set of dataset directories of which none may lie inside another.
class ClaimedNames {
 public:
  // The one that is in the way, or nothing; then `directory` is taken.
  std::optional<std::filesystem::path> Claim(const std::filesystem::path& directory);

 private:
  std::set<std::filesystem::path> taken_;
};

// Prints what it does and returns the exit status.
int IngestFolders(const std::vector<std::filesystem::path>& folders,
                  const FolderIngestOptions& options, const std::stop_token& stop);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_INGEST_FOLDER_H_
