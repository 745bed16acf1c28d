// DeadlineWatch: calls a function when its time has come, on one thread of its own.
//
// It is what bounds every wait for the store: the waiting request registers itself here and is
// answered with a time-out when nothing else has answered it before. Time in which the process did
// not run (a machine that was suspended, a frozen container, SIGSTOP) does not count: nobody could
// have answered then. Functions must be short and must not call back into the watch's destructor.
// Thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_DEADLINE_WATCH_H_
#define PENSTOCK_CACHEFS_CACHE_DEADLINE_WATCH_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace penstock::cachefs {

class DeadlineWatch {
 public:
  using Clock = std::chrono::steady_clock;

  DeadlineWatch();
  // Functions that are not due yet are dropped.
  ~DeadlineWatch();
  DeadlineWatch(const DeadlineWatch&) = delete;
  DeadlineWatch& operator=(const DeadlineWatch&) = delete;

  void At(Clock::time_point when, std::function<void()> function);

 private:
  void Work();
  void CountTime();
  void Postpone(Clock::duration by);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, std::function<void()>> pending_;
  Clock::time_point seen_ = Clock::now();  // by the thread, last
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_DEADLINE_WATCH_H_
