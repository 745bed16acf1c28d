// PartitionOrder: which partition a worker takes next.
//
// In scan order, or, where the order makes no difference to the result, those first that are near:
// in memory before on the local disk before in a store behind a mount. Only a window of partitions
// is looked at, so that the first read of a large cold dataset does not wait for a look at all.
// Thread-safe.

#ifndef PENSTOCK_READER_PARTITION_ORDER_H_
#define PENSTOCK_READER_PARTITION_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

namespace penstock {

enum class Locality : uint8_t { kMemory, kDisk, kFar };

class PartitionOrder {
 public:
  // Partitions 0 to count - 1. `nearest_first` false: in order, and nothing is looked at.
  PartitionOrder(size_t count, bool nearest_first) : count_(count), nearest_first_(nearest_first) {}

  // Nothing when all were taken. `look` is called without locks, from the calling thread.
  std::optional<size_t> Take(const std::function<Locality(size_t partition)>& look);

 private:
  static constexpr size_t kWindow = 64;

  std::optional<size_t> TakePutOff();

  const size_t count_;
  const bool nearest_first_;
  std::mutex mutex_;
  size_t next_ = 0;
  std::deque<size_t> on_disk_;  // looked at and put off
  std::deque<size_t> far_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_PARTITION_ORDER_H_
