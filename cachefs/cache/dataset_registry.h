// DatasetRegistry: the datasets of the store as the cache needs them, revalidated by the identity
// of their nexus.json.
//
// Blocking: every call but Known may wait for the store, so they are made on worker threads.
// Thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_DATASET_REGISTRY_H_
#define PENSTOCK_CACHEFS_CACHE_DATASET_REGISTRY_H_

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "cachefs/cache/block_source.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/compression.h"
#include "penstock/dataset/dataset.h"
#include "penstock/dataset/geometry.h"

namespace penstock::cachefs {

// One generation of one dataset. Immutable.
struct DatasetView {
  std::string path;  // relative to the store; "" where the store itself is a dataset
  std::string generation;
  FileIdentity sidecar;                          // of nexus.json when it was read
  Compression compression = Compression::kNone;  // of the blocks
  std::vector<std::shared_ptr<const BlockSource>> blocks;
  std::vector<BlockRegion> regions;                        // of the scan, by block
  std::unordered_map<std::string, int64_t> block_of_path;  // by path relative to the store
};

class DatasetRegistry {
 public:
  // `sidecars`: a private directory for copies of the checksum arrays.
  DatasetRegistry(std::shared_ptr<Upstream> upstream, std::filesystem::path sidecars)
      : upstream_(std::move(upstream)), sidecars_(std::move(sidecars)) {}

  // Called with the previous view when a dataset was found to have been written anew.
  void OnReplaced(std::function<void(const DatasetView&)> listener) {
    on_replaced_ = std::move(listener);
  }

  // kNotFound where there is no nexus.json. A view is believed for a second before the store is
  // asked again, unless `ask_again`.
  Result<std::shared_ptr<const DatasetView>> Get(const std::string& path, bool ask_again = false);

  // The dataset as it was seen last; null where it was not, or is being looked at right now. Does
  // not wait.
  std::shared_ptr<const DatasetView> Peek(const std::string& path) const;

  // The block that lies at `path`; null where the path is not a block of a dataset.
  Result<std::shared_ptr<const BlockSource>> BlockAt(const std::string& path);

  // The directory that holds the dataset of a path that looks like a block's.
  static std::optional<std::string> DatasetOfBlockPath(const std::string& path);

  std::vector<std::shared_ptr<const DatasetView>> Known() const;

 private:
  struct Slot {
    std::mutex mutex;  // one thread asks the store about one dataset at a time
    std::shared_ptr<const DatasetView> view;
    std::chrono::steady_clock::time_point checked;
    bool removed = false;  // it is not, or no longer, the one of its path
  };

  std::shared_ptr<Slot> SlotOf(const std::string& path);
  // `known`, where that is what the store has; may be null. kNotFound where there is no nexus.json,
  // kBusy where it is replaced again and again.
  Result<std::shared_ptr<const DatasetView>> LoadWhereChanged(
      const std::string& path, const std::shared_ptr<const DatasetView>& known);
  Result<std::shared_ptr<const DatasetView>> Load(const std::string& path,
                                                  const FileIdentity& sidecar);
  // Of every block the hashes of its extents; never kNotFound.
  Result<std::vector<std::vector<uint64_t>>> ReadChecksums(const std::string& path,
                                                           const Dataset& dataset,
                                                           const std::filesystem::path& copy);
  Status CopyChecksumArray(const std::string& dataset, const std::filesystem::path& to);
  Status CopyFile(const std::string& from, const std::filesystem::path& to, uint64_t& budget);
  Status CopyTree(const std::string& from, const std::filesystem::path& to, uint64_t& budget);

  const std::shared_ptr<Upstream> upstream_;
  const std::filesystem::path sidecars_;
  std::function<void(const DatasetView&)> on_replaced_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Slot>> slots_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_DATASET_REGISTRY_H_
