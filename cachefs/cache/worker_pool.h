// WorkerPool: a fixed number of threads with two queues, demand before background.
//
// The number of threads never grows: when the store stalls, the threads are stuck in it and tasks
// wait in the queue, while the people behind them are answered by their DeadlineWatch. Thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_WORKER_POOL_H_
#define PENSTOCK_CACHEFS_CACHE_WORKER_POOL_H_

#include <array>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace penstock::cachefs {

class WorkerPool {
 public:
  using Task = std::function<void()>;
  // Tasks of a higher one go first.
  enum class Priority { kDemand, kBackground, kReadAhead };

  // `for_demand`: so many of the threads take nothing but kDemand, so that it never waits for tasks
  // of the others to end.
  explicit WorkerPool(int threads, int for_demand = 0);
  // Drops the tasks that have not begun and waits for those that have, however long they take.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // One thread more, for one that will be stuck for long; not beyond `most`.
  void AddThread(int most);

  // At most so many tasks that are not kDemand are under way at once.
  void LimitOthers(int most);
  // Whether tasks that are not kDemand wait for their turn.
  bool OthersWait() const;

  // After Stop, tasks are dropped.
  void Submit(Priority priority, Task task);

  // Waits until no task is under way; more may come. False after `patience`.
  bool WaitIdle(std::chrono::milliseconds patience);

  bool IsIdle() const;
  // Waits until there has been nothing to do for `quiet`. False at `latest`, or after Stop.
  bool WaitQuiet(std::chrono::milliseconds quiet, std::chrono::steady_clock::time_point latest);

  // Takes no more tasks, drops those that have not begun and waits up to `patience` for the others.
  // False where some thread is still stuck.
  bool Stop(std::chrono::milliseconds patience);

 private:
  void Work(bool demand_only);
  bool IsIdleLocked() const;
  std::deque<Task>* NextQueue(bool demand_only);

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  std::array<std::deque<Task>, 3> queues_;  // by priority
  int busy_ = 0;
  uint64_t begun_ = 0;   // tasks, ever
  int others_busy_ = 0;  // with what is not kDemand
  int most_others_ = INT_MAX;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_WORKER_POOL_H_
