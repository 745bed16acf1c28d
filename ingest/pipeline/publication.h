// Names beside a destination, and how a finished directory takes the destination's name.

#ifndef PENSTOCK_INGEST_PIPELINE_PUBLICATION_H_
#define PENSTOCK_INGEST_PIPELINE_PUBLICATION_H_

#include <filesystem>

#include "penstock/base/result.h"

namespace penstock::ingest {

struct StagingPaths {
  std::filesystem::path destination;
  std::filesystem::path parent;
  std::filesystem::path staging;  // .NAME.ingest
  std::filesystem::path journal;  // .NAME.ingest.journal
  std::filesystem::path
      replaced;  // .NAME.replaced: only where the file system cannot exchange names

  static StagingPaths Of(const std::filesystem::path& destination);
};

// Whether anything has that name, a dangling link included.
bool NameExists(const std::filesystem::path& path);

// Syncs every directory under `staging`, so that the names in it survive a power loss.
Status SyncTree(const std::filesystem::path& staging);

// Gives the staging directory the destination's name, which must be free: kAlreadyExists else.
Status PublishNew(const StagingPaths& paths);

// The same where the destination may exist: afterwards the old dataset has the name of the staging
// directory (or `replaced`) and has yet to be removed.
Status PublishInPlaceOf(const StagingPaths& paths);

// After a crash between the two renames of a file system that cannot exchange names: gives the old
// dataset its name back.
Status UndoHalfReplacement(const StagingPaths& paths);

// Removes from a staging directory what a killed run may have left behind besides whole blocks:
// unfinished files and everything that is written after the blocks.
Status KeepBlocksOnly(const std::filesystem::path& staging);

// rm -r; nothing there is no error.
Status RemoveTree(const std::filesystem::path& path);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_PUBLICATION_H_
