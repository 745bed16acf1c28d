// OpenFace: a face that somebody has open, and how its bytes are put together. Thread-safe.

#ifndef PENSTOCK_CACHEFS_FACES_OPEN_FACE_H_
#define PENSTOCK_CACHEFS_FACES_OPEN_FACE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/faces/compressed_blocks.h"
#include "cachefs/faces/face.h"
#include "cachefs/faces/face_header.h"

namespace penstock::cachefs {

class OpenFace {
 public:
  // `dataset`: of the generation of the face; null for a list of checksums. The cache must outlive
  // this, but for reads under way.
  OpenFace(std::shared_ptr<const Face> face, std::shared_ptr<const FaceHeader> header,
           std::shared_ptr<const DatasetView> dataset, BlockCache& cache);

  ~OpenFace();
  OpenFace(const OpenFace&) = delete;
  OpenFace& operator=(const OpenFace&) = delete;

  const Face& face() const { return *face_; }
  const FaceHeader& header() const { return *header_; }
  const std::shared_ptr<const DatasetView>& dataset() const { return dataset_; }

  // As BlockCache::Read: the callback runs exactly once, in this thread where the bytes are local.
  void Read(uint64_t offset, size_t size, BlockCache::ReadCallback callback);

  // The dataset has been replaced: what the cache holds of it is kept until the face is closed.
  // What it does not hold cannot be read any more.
  void KeepReplicas();

 private:
  void ReadPart(const FacePart& part, bool reading_on, BlockCache::ReadCallback callback);
  // Whether a read goes on where the latest one ended.
  bool IsReadingOn(uint64_t offset, size_t size);
  // A reader is in this block: once for each that it comes to, and the next one is fetched for
  // those who read on.
  void Follow(const ReplicaPin& pin, const FacePart& part, bool reading_on);

  const std::shared_ptr<const Face> face_;
  const std::shared_ptr<const FaceHeader> header_;
  const std::shared_ptr<const DatasetView> dataset_;
  BlockCache& cache_;
  const std::shared_ptr<CompressedBlocks> compressed_;  // null where the blocks are raw

  std::mutex mutex_;
  uint64_t latest_end_ = 0;
  int64_t current_block_ = -1;
  int64_t fetched_ahead_ = -1;
  std::vector<ReplicaPin> kept_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_OPEN_FACE_H_
