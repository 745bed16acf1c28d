#include "cachefs/cache/worker_pool.h"

#include <algorithm>
#include <span>
#include <utility>

namespace penstock::cachefs {

WorkerPool::WorkerPool(int threads, int for_demand) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, demand_only = i < for_demand] { Work(demand_only); });
  }
}

WorkerPool::~WorkerPool() {
  Stop(std::chrono::milliseconds(0));
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::AddThread(int most) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || static_cast<int>(threads_.size()) >= most) return;
  threads_.emplace_back([this] { Work(/*demand_only=*/false); });
}

void WorkerPool::LimitOthers(int most) {
  const std::lock_guard lock(mutex_);
  most_others_ = most;
  work_.notify_all();
}

bool WorkerPool::OthersWait() const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(std::span(queues_).subspan(1),
                             [](const auto& queue) { return !queue.empty(); });
}

void WorkerPool::Submit(Priority priority, Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    queues_[static_cast<size_t>(priority)].push_back(std::move(task));
  }
  // Whoever is woken might be one who takes nothing but demand.
  if (priority == Priority::kDemand) {
    work_.notify_one();
  } else {
    work_.notify_all();
  }
}

bool WorkerPool::WaitIdle(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, patience, [this] { return busy_ == 0; });
}

bool WorkerPool::IsIdle() const {
  const std::lock_guard lock(mutex_);
  return IsIdleLocked();
}

bool WorkerPool::IsIdleLocked() const {
  return busy_ == 0 &&
         std::ranges::all_of(queues_, [](const auto& queue) { return queue.empty(); });
}

bool WorkerPool::WaitQuiet(std::chrono::milliseconds quiet,
                           std::chrono::steady_clock::time_point latest) {
  std::unique_lock lock(mutex_);
  while (idle_.wait_until(lock, latest, [&] { return stopping_ || IsIdleLocked(); })) {
    const uint64_t begun = begun_;
    const auto end = std::chrono::steady_clock::now() + quiet;
    idle_.wait_until(lock, std::min(end, latest), [&] { return stopping_ || begun_ != begun; });
    if (stopping_ || std::chrono::steady_clock::now() >= latest) return false;
    if (begun_ == begun) return true;
  }
  return false;
}

bool WorkerPool::Stop(std::chrono::milliseconds patience) {
  std::array<std::deque<Task>, 3> dropped;  // destroyed outside the lock
  std::unique_lock lock(mutex_);
  stopping_ = true;
  dropped.swap(queues_);
  work_.notify_all();
  idle_.notify_all();
  const bool drained = idle_.wait_for(lock, patience, [this] { return busy_ == 0; });
  lock.unlock();
  return drained;
}

std::deque<WorkerPool::Task>* WorkerPool::NextQueue(bool demand_only) {
  const bool demand = demand_only || others_busy_ >= most_others_;
  for (std::deque<Task>& queue : std::span(queues_).first(demand ? 1 : queues_.size())) {
    if (!queue.empty()) return &queue;
  }
  return nullptr;
}

void WorkerPool::Work(bool demand_only) {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || NextQueue(demand_only) != nullptr; });
    if (stopping_) return;
    std::deque<Task>& queue = *NextQueue(demand_only);
    Task task = std::move(queue.front());
    queue.pop_front();
    const bool other = &queue != queues_.data();
    ++busy_;
    ++begun_;
    if (other) ++others_busy_;
    lock.unlock();
    task();
    task = nullptr;  // what the task holds is released outside the lock
    lock.lock();
    // A thread that the limit held back may go on; this one takes the next task itself.
    if (other && others_busy_-- >= most_others_) work_.notify_all();
    if (--busy_ == 0) idle_.notify_all();
  }
}

}  // namespace penstock::cachefs
