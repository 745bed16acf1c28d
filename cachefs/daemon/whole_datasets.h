// WholeDatasets: notices when all blocks of a dataset have come into the cache, and has then read
// once what its contiguous files are made of beside the blocks, so that they can be opened while
// the store is away. Thread-safe.

#ifndef PENSTOCK_CACHEFS_DAEMON_WHOLE_DATASETS_H_
#define PENSTOCK_CACHEFS_DAEMON_WHOLE_DATASETS_H_

#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/faces/face_catalog.h"
#include "cachefs/faces/face_header.h"
#include "cachefs/upstream/remembering_upstream.h"

namespace penstock::cachefs {

class WholeDatasets {
 public:
  // `faces`: null where the mount shows none. The references must outlive it.
  WholeDatasets(RememberingUpstream& upstream, const DatasetRegistry& registry,
                const BlockCache& cache, FaceCatalog* faces, FaceHeaders& headers)
      : upstream_(upstream), registry_(registry), cache_(cache), faces_(faces), headers_(headers) {}

  // A replica (of a block or of another file) is complete. Asks the store; for a worker.
  void Completed(const BlockSource& source);

 private:
  struct Progress {
    std::string generation;
    size_t complete = 0;  // so many of the first blocks
    bool read = false;
  };

  bool IsWhole(const BlockSource& block);
  void ReadWhatFacesNeed(const std::string& dataset);

  RememberingUpstream& upstream_;
  const DatasetRegistry& registry_;
  const BlockCache& cache_;
  FaceCatalog* const faces_;
  FaceHeaders& headers_;
  std::mutex mutex_;
  std::unordered_map<std::string, Progress> datasets_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_DAEMON_WHOLE_DATASETS_H_
