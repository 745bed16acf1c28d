#include "reader/partition_order.h"

namespace penstock {

std::optional<size_t> PartitionOrder::Take(const std::function<Locality(size_t partition)>& look) {
  while (true) {
    size_t candidate = 0;
    {
      const std::lock_guard lock(mutex_);
      if (next_ == count_ || on_disk_.size() + far_.size() >= kWindow) return TakePutOff();
      candidate = next_++;
    }
    if (!nearest_first_) return candidate;
    const Locality where = look(candidate);
    if (where == Locality::kMemory) return candidate;
    const std::lock_guard lock(mutex_);
    (where == Locality::kDisk ? on_disk_ : far_).push_back(candidate);
  }
}

std::optional<size_t> PartitionOrder::TakePutOff() {
  std::deque<size_t>& nearest = on_disk_.empty() ? far_ : on_disk_;
  if (nearest.empty()) return std::nullopt;
  const size_t first = nearest.front();
  nearest.pop_front();
  return first;
}

}  // namespace penstock
