#include "cachefs/cache/deadline_watch.h"

#include <algorithm>
#include <utility>

namespace penstock::cachefs {

namespace {

// While something is pending the thread looks at the clock so often.
constexpr std::chrono::seconds kBetweenLooks{1};
// What is late by more than this was not running.
constexpr std::chrono::seconds kLate{1};

}  // namespace

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

// mutex_ is held.
void DeadlineWatch::CountTime() {
  const Clock::time_point now = Clock::now();
  const Clock::duration late = now - seen_ - kBetweenLooks;
  seen_ = now;
  if (late > kLate) Postpone(late);
}

void DeadlineWatch::Postpone(Clock::duration by) {
  std::multimap<Clock::time_point, std::function<void()>> later;
  for (auto& [when, function] : pending_) {
    later.emplace_hint(later.end(), when + by, std::move(function));
  }
  pending_ = std::move(later);
}

void DeadlineWatch::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (pending_.empty()) {
      changed_.wait(lock);
      seen_ = Clock::now();
      continue;
    }
    CountTime();
    const Clock::time_point next = pending_.begin()->first;
    if (seen_ < next) {
      changed_.wait_until(lock, std::min(next, seen_ + kBetweenLooks));
      continue;
    }
    std::function<void()> function = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    lock.unlock();
    function();
    function = nullptr;
    lock.lock();
    seen_ = Clock::now();
  }
}

}  // namespace penstock::cachefs
