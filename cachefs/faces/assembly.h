// Assembly: one read of a face that several reads answer together.

#ifndef PENSTOCK_CACHEFS_FACES_ASSEMBLY_H_
#define PENSTOCK_CACHEFS_FACES_ASSEMBLY_H_

#include <cstddef>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "cachefs/cache/block_cache.h"

namespace penstock::cachefs {

// Shared by the parts, from whatever threads they come. Each fills its own bytes, which nobody else
// touches, and says so; the last one answers.
class Assembly {
 public:
  Assembly(size_t bytes, size_t parts, BlockCache::ReadCallback callback)
      : bytes_(bytes), parts_left_(parts), callback_(std::move(callback)) {}

  std::byte* data() { return bytes_.data(); }

  void Done(Status part) {
    {
      const std::lock_guard lock(mutex_);
      if (!part.ok()) failure_ = std::move(part);
      if (--parts_left_ > 0) return;
    }
    if (failure_.ok()) {
      callback_(std::span<const std::byte>(bytes_));
    } else {
      callback_(failure_.error());
    }
  }

 private:
  std::vector<std::byte> bytes_;
  std::mutex mutex_;
  size_t parts_left_;
  Status failure_;
  const BlockCache::ReadCallback callback_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_FACES_ASSEMBLY_H_
