// HealthProbe: whether something that may hang answers now. One question at a time, on a thread of
// its own, so that any number of those who ask of what hangs hold one thread. Thread-safe.

#ifndef PENSTOCK_CACHEFS_SIGHT_HEALTH_PROBE_H_
#define PENSTOCK_CACHEFS_SIGHT_HEALTH_PROBE_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "cachefs/cache/worker_pool.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class HealthProbe {
 public:
  // `who`, of which `question` is asked, as people call it.
  HealthProbe(std::string who, std::function<Status()> question)
      : who_(std::move(who)), ask_(std::move(question)) {}

  // Asks, or waits for the question that is under way; how long the answer took, kTimeout after
  // `patience`, or the error that is the answer.
  Result<std::chrono::nanoseconds> Ask(std::chrono::milliseconds patience);

  // As WorkerPool::Stop.
  bool Stop(std::chrono::milliseconds patience) { return worker_.Stop(patience); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Question {
    Clock::time_point begin = Clock::now();
    std::optional<Result<std::chrono::nanoseconds>> answer;
  };

  const std::string who_;
  const std::function<Status()> ask_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::shared_ptr<Question> question_;  // the one that is under way
  WorkerPool worker_{1};                // last: its thread uses everything above
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_HEALTH_PROBE_H_
