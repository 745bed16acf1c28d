// The part of BlockCache that is about files that are no blocks: their states follow one another
// under one path.

#include <string_view>

#include "cachefs/cache/block_cache.h"

namespace penstock::cachefs {

namespace {

bool IsAtOrBelow(std::string_view path, std::string_view directory) {
  if (directory.empty() || path == directory) return true;
  return path.starts_with(directory) && path[directory.size()] == '/';
}

}  // namespace

void BlockCache::Supersede(const BlockSource& current) {
  const std::lock_guard lock(mutex_);
  const auto [known, is_new] = file_ids_.emplace(current.path, current.id);
  if (is_new || known->second == current.id) return;
  const std::string earlier = std::exchange(known->second, current.id);
  // One that is still open goes when it is unpinned.
  if (EvictLocked(earlier)) RemoveDoomedSoon();
}

BlockCache::Evicted BlockCache::EvictFilesBelow(const std::string& path) {
  Evicted result;
  {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> ids;
    for (const auto& [file, id] : file_ids_) {
      if (IsAtOrBelow(file, path)) ids.push_back(id);
    }
    for (const std::string& id : ids) ++(EvictLocked(id) ? result.evicted : result.held);
  }
  RemoveDoomed();
  return result;
}

FileResidency BlockCache::OtherFiles() const {
  const std::lock_guard lock(mutex_);
  return holdings_.files();
}

}  // namespace penstock::cachefs
