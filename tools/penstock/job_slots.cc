#include "tools/penstock/job_slots.h"

#include <algorithm>
#include <utility>

namespace penstock::tools {

namespace {

int CountWorkers(int wanted) {
  if (wanted > 0) return wanted;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

JobSlots::JobSlots(int workers, uint64_t memory_bytes, int most_jobs)
    : workers_(CountWorkers(workers)),
      memory_bytes_(memory_bytes),
      most_jobs_(most_jobs > 0 ? most_jobs : workers_) {}

bool JobSlots::Fits(int workers, uint64_t memory_bytes) const {
  if (jobs_ == 0) return true;
  return jobs_ < most_jobs_ && used_workers_ + workers <= workers_ &&
         used_memory_ + memory_bytes <= memory_bytes_;
}

void JobSlots::Reap(std::unique_lock<std::mutex>& lock) {
  std::vector<std::unique_ptr<Running>> ended;
  std::erase_if(running_, [&ended](std::unique_ptr<Running>& running) {
    if (!running->done) return false;
    ended.push_back(std::move(running));
    return true;
  });
  lock.unlock();
  for (const std::unique_ptr<Running>& running : ended) running->thread.join();
  lock.lock();
}

bool JobSlots::Run(int workers, uint64_t memory_bytes, const std::stop_token& stop,
                   std::function<void()> job) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return Fits(workers, memory_bytes); })) return false;
  if (stop.stop_requested()) return false;
  ++jobs_;
  used_workers_ += workers;
  used_memory_ += memory_bytes;
  Running& running = *running_.emplace_back(std::make_unique<Running>());
  running.thread = std::thread([this, workers, memory_bytes, &running, job = std::move(job)] {
    job();
    {
      const std::lock_guard done_lock(mutex_);
      --jobs_;
      used_workers_ -= workers;
      used_memory_ -= memory_bytes;
      running.done = true;
    }
    changed_.notify_all();
  });
  Reap(lock);
  return true;
}

bool JobSlots::HasRoom(int workers, uint64_t memory_bytes) {
  const std::lock_guard lock(mutex_);
  return Fits(workers, memory_bytes);
}

bool JobSlots::IsIdle() {
  const std::lock_guard lock(mutex_);
  return jobs_ == 0;
}

void JobSlots::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_ == 0; });
  Reap(lock);
}

}  // namespace penstock::tools
