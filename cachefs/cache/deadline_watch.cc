#include "cachefs/cache/deadline_watch.h"

#include <utility>

namespace penstock::cachefs {

DeadlineWatch::DeadlineWatch() : thread_([this] { Work(); }) {}

DeadlineWatch::~DeadlineWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void DeadlineWatch::At(Clock::time_point when, std::function<void()> function) {
  bool is_first;
  {
    const std::lock_guard lock(mutex_);
    const auto inserted = pending_.emplace(when, std::move(function));
    is_first = inserted == pending_.begin();
  }
  if (is_first) changed_.notify_all();
}

void DeadlineWatch::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (pending_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Clock::time_point next = pending_.begin()->first;
    if (Clock::now() < next) {
      changed_.wait_until(lock, next);
      continue;
    }
    std::function<void()> function = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    lock.unlock();
    function();
    function = nullptr;
    lock.lock();
  }
}

}  // namespace penstock::cachefs
