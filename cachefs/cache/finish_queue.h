// FinishQueue: replicas whose extents are all there, and which still have to be synced, sealed and
// written down as complete. Whoever reads them is served meanwhile, so this waits until the store
// and the disk have nothing better to do, or for kPatience, or until too much has come together.

#ifndef PENSTOCK_CACHEFS_CACHE_FINISH_QUEUE_H_
#define PENSTOCK_CACHEFS_CACHE_FINISH_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "cachefs/cache/replica.h"
#include "cachefs/cache/worker_pool.h"

namespace penstock::cachefs {

// Thread-safe.
class FinishQueue {
 public:
  static constexpr std::chrono::seconds kPatience{5};
  // `finish` is called from the thread of the queue or of Add; it must not wait for the queue.
  // `fetchers` must outlive it. `most_bytes`: of replicas that wait.
  FinishQueue(WorkerPool& fetchers, uint64_t most_bytes,
              std::function<void(const ReplicaPin&)> finish);
  // Precondition: Stop.
  ~FinishQueue();
  FinishQueue(const FinishQueue&) = delete;
  FinishQueue& operator=(const FinishQueue&) = delete;

  // May finish others, or this one, in the caller's thread.
  void Add(const ReplicaPin& replica);
  // Somebody waits for it to be complete. True: it has left the queue, and the caller finishes it.
  bool Take(const ReplicaPin& replica);
  // Finishes nothing any more, and gives back what has not been begun. Waits up to `patience` for
  // what has; nothing where that still hangs.
  std::optional<std::vector<ReplicaPin>> Stop(std::chrono::milliseconds patience);

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    ReplicaPin replica;
    Clock::time_point since;
  };
  static uint64_t BytesOf(const Waiting& waiting);
  // mutex_ is held, and something waits.
  ReplicaPin TakeOldestLocked();
  void Work();

  WorkerPool& fetchers_;
  const uint64_t most_bytes_;
  const std::function<void(const ReplicaPin&)> finish_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;
  uint64_t bytes_ = 0;
  bool stopping_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_FINISH_QUEUE_H_
