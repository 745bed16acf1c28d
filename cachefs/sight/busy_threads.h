// BusyThreads: since when each thread of a group is at what it does, so that it can be told from
// outside whether any of them still gets something done. Thread-safe.

#ifndef PENSTOCK_CACHEFS_SIGHT_BUSY_THREADS_H_
#define PENSTOCK_CACHEFS_SIGHT_BUSY_THREADS_H_

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>

namespace penstock::cachefs {

class BusyThreads {
 public:
  using Clock = std::chrono::steady_clock;

  // What one thread says of itself.
  class Thread {
   public:
    void Begin() { since_.store(Clock::now().time_since_epoch().count()); }
    void End() { since_.store(kIdle); }

   private:
    friend class BusyThreads;
    static constexpr Clock::rep kIdle = 0;
    std::atomic<Clock::rep> since_{kIdle};
  };

  // Stays where it is until Clear, or for as long as this object lives.
  Thread& Add() {
    const std::lock_guard lock(mutex_);
    return threads_.emplace_back();
  }

  // The threads have ended.
  void Clear() {
    const std::lock_guard lock(mutex_);
    threads_.clear();
  }

  // False while every thread has been at one thing since before `earliest`.
  bool AnyFreeSince(Clock::time_point earliest) const {
    const std::lock_guard lock(mutex_);
    if (threads_.empty()) return true;
    for (const Thread& thread : threads_) {
      const Clock::rep since = thread.since_.load();
      if (since == Thread::kIdle || since >= earliest.time_since_epoch().count()) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::deque<Thread> threads_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_BUSY_THREADS_H_
