#include "cachefs/cache/worker_pool.h"

#include <utility>

namespace penstock::cachefs {

WorkerPool::WorkerPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

WorkerPool::~WorkerPool() {
  Stop(std::chrono::milliseconds(0));
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Submit(Priority priority, Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    (priority == Priority::kDemand ? demand_ : background_).push_back(std::move(task));
  }
  work_.notify_one();
}

bool WorkerPool::Stop(std::chrono::milliseconds patience) {
  std::deque<Task> dropped_demand;  // destroyed outside the lock
  std::deque<Task> dropped_background;
  std::unique_lock lock(mutex_);
  stopping_ = true;
  dropped_demand.swap(demand_);
  dropped_background.swap(background_);
  work_.notify_all();
  const bool drained = idle_.wait_for(lock, patience, [this] { return busy_ == 0; });
  lock.unlock();
  return drained;
}

void WorkerPool::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return stopping_ || !demand_.empty() || !background_.empty(); });
    if (stopping_) return;
    std::deque<Task>& queue = demand_.empty() ? background_ : demand_;
    Task task = std::move(queue.front());
    queue.pop_front();
    ++busy_;
    lock.unlock();
    task();
    task = nullptr;  // what the task holds is released outside the lock
    lock.lock();
    if (--busy_ == 0) idle_.notify_all();
  }
}

}  // namespace penstock::cachefs
