#include "cachefs/cache/read_ahead.h"

#include <algorithm>

namespace penstock::cachefs {

namespace {

// Readers side by side are this far apart.
constexpr int64_t kNear = 4;
constexpr size_t kMostReaders = 1024;

}  // namespace

void ReadAhead::Opened(const BlockSource& block) {
  if (most_blocks_ == 0 || !block.is_block()) return;
  const int64_t ahead = Follow(block);
  if (ahead == 0) return;
  const auto view = registry_.Peek(block.dataset);
  if (!view || view->generation != block.generation) return;
  const auto last = std::min(block.block + ahead, static_cast<int64_t>(view->blocks.size()) - 1);
  for (int64_t next = block.block + 1; next <= last; ++next) {
    const auto& source = view->blocks[static_cast<size_t>(next)];
    if (cache_.ResidencyOf(*source).residency == Residency::kComplete) continue;
    cache_.StartFill(cache_.Pin(source), WorkerPool::Priority::kReadAhead);
  }
}

int64_t ReadAhead::Follow(const BlockSource& block) {
  const std::lock_guard lock(mutex_);
  if (readers_.size() >= kMostReaders && !readers_.contains(block.dataset)) readers_.clear();
  const auto [found, is_new] = readers_.try_emplace(block.dataset);
  Reader& reader = found->second;
  const int64_t step = block.block - reader.newest;
  if (is_new || reader.generation != block.generation || step > kNear || step < -kNear) {
    reader = {.generation = block.generation, .newest = block.block, .in_order = 0};
    return 0;
  }
  if (step <= 0) return 0;  // again, or one who comes after
  reader.newest = block.block;
  reader.in_order = static_cast<int>(std::min<int64_t>(reader.in_order + 1, most_blocks_));
  return reader.in_order;
}

}  // namespace penstock::cachefs
