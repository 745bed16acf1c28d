// RetryPause: how long to wait before something that failed is tried again. The pauses double up to
// a limit, and each is drawn between half of it and all of it, so that nodes which failed together
// do not come back together. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_RETRY_PAUSE_H_
#define PENSTOCK_CACHEFS_UPSTREAM_RETRY_PAUSE_H_

#include <algorithm>
#include <chrono>
#include <random>

namespace penstock::cachefs {

class RetryPause {
 public:
  RetryPause(std::chrono::milliseconds first, std::chrono::milliseconds longest)
      : next_(first), longest_(longest) {}

  std::chrono::milliseconds Next() {
    thread_local std::minstd_rand random(std::random_device{}());
    const int64_t whole = next_.count();
    next_ = std::min(next_ * 2, longest_);
    return std::chrono::milliseconds(
        std::uniform_int_distribution<int64_t>(whole / 2, whole)(random));
  }

 private:
  std::chrono::milliseconds next_;
  const std::chrono::milliseconds longest_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_RETRY_PAUSE_H_
