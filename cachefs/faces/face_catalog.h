// FaceCatalog: which faces the datasets of the store have, and how they look in a directory.
//
// A sealed dataset has data.nxs, data.npy and data.raw, and its checksums.xxh128 is shown without
// data.nxs. A file data.npy or data.raw that the store itself has is shown as it is. Only
// nexus.json is read (and checksums.xxh128, when it is looked at itself).
//
// Blocking: every call but IsFaceName may wait for the store, so they are made on worker threads.
// Thread-safe.

#ifndef PENSTOCK_CACHEFS_FACES_FACE_CATALOG_H_
#define PENSTOCK_CACHEFS_FACES_FACE_CATALOG_H_

#include <array>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cachefs/faces/face.h"
#include "penstock/base/file.h"
#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/dataset.h"

namespace penstock::cachefs {

class FaceCatalog {
 public:
  explicit FaceCatalog(std::shared_ptr<Upstream> upstream) : upstream_(std::move(upstream)) {}

  static bool IsFaceName(std::string_view name);

  // nullopt where `name` in the directory (a path relative to the store) is no face. Errors are
  // those of a store that cannot be read; a directory that is no dataset, or a damaged one, has no
  // faces.
  Result<std::optional<ShownFace>> At(const std::string& directory, std::string_view name);

  // Makes the listing of a directory that of the mount; where nexus.json cannot be read, it stays
  // as it is.
  void AddTo(const std::string& directory, std::vector<DirectoryEntry>& entries);

 private:
  // Of one dataset, as long as its sidecar is the same file.
  struct DatasetFaces {
    std::string directory;
    FileIdentity sidecar;
    std::string first_block;
    std::vector<std::shared_ptr<const Face>> faces;  // empty: no dataset, growing, damaged
  };
  struct Found {
    std::shared_ptr<const DatasetFaces> dataset;  // null: no nexus.json
    struct stat sidecar {};
  };

  Result<Found> Find(const std::string& directory);
  Result<std::shared_ptr<const DatasetFaces>> Load(const std::string& directory,
                                                   const FileIdentity& sidecar);
  Result<std::optional<ShownFace>> ChecksumList(const std::string& directory);

  const std::shared_ptr<Upstream> upstream_;
  std::mutex mutex_;
  std::list<std::shared_ptr<const DatasetFaces>> known_;  // the latest first
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_FACE_CATALOG_H_
