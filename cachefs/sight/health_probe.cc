#include "cachefs/sight/health_probe.h"

#include <fmt/format.h>

namespace penstock::cachefs {

Result<std::chrono::nanoseconds> HealthProbe::Ask(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!question_) {
    question_ = std::make_shared<Question>();
    worker_.Submit(WorkerPool::Priority::kDemand, [this, question = question_] {
      const Status status = ask_();
      const std::lock_guard guard(mutex_);
      if (status.ok()) {
        question->answer = Clock::now() - question->begin;
      } else {
        question->answer = status.error();
      }
      question_ = nullptr;
      answered_.notify_all();
    });
  }
  const std::shared_ptr<Question> asked = question_;
  if (!answered_.wait_for(lock, patience, [&asked] { return asked->answer.has_value(); })) {
    const auto waited =
        std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - asked->begin);
    return Error::Timeout(fmt::format("no answer for {} s", waited.count())).In(who_);
  }
  return *asked->answer;
}

}  // namespace penstock::cachefs
