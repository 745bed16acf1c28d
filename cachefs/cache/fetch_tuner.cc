#include "cachefs/cache/fetch_tuner.h"

#include <algorithm>

namespace penstock::cachefs {

namespace {

constexpr std::chrono::seconds kWindow{1};
constexpr int64_t kReadsPerThread = 2;  // in a window, at least
constexpr double kWorthMore = 1.10;     // what more reads have to bring
constexpr double kCostsLittle = 0.96;   // what fewer reads may leave
constexpr int kFirstHold = 4;
constexpr int kLongestHold = 64;

int Up(int limit) { return std::max(limit + 1, limit * 3 / 2); }
int Down(int limit) { return std::min(limit - 1, limit * 2 / 3); }

}  // namespace

FetchTuner::FetchTuner(int start, Limits limits)
    : limits_(limits),
      limit_(std::clamp(start, limits.least, limits.most)),
      patience_(kFirstHold) {}

bool FetchTuner::Fetched(uint64_t bytes, bool waiting, Time now) {
  if (settling_ > 0) {
    if (--settling_ == 0) BeginWindow(now);
    return false;
  }
  if (window_begin_ == Time()) {
    BeginWindow(now);
    return false;
  }
  window_bytes_ += bytes;
  ++window_reads_;
  saturated_ = saturated_ && waiting;
  const auto elapsed = now - window_begin_;
  if (elapsed < kWindow || window_reads_ < kReadsPerThread * limit_) return false;
  const double rate =
      static_cast<double>(window_bytes_) / std::chrono::duration<double>(elapsed).count();
  const bool tells = saturated_;
  BeginWindow(now);
  if (!tells) return false;
  const int before = limit_;
  Judge(rate);
  if (limit_ == before) return false;
  settling_ = before;
  return true;
}

void FetchTuner::BeginWindow(Time now) {
  window_begin_ = now;
  window_bytes_ = 0;
  window_reads_ = 0;
  saturated_ = true;
}

void FetchTuner::Judge(double rate) {
  switch (step_) {
    case Step::kUp:
      if (rate < rate_before_ * kWorthMore) {
        GoBack();
        next_is_up_ = false;
      } else {
        patience_ = kFirstHold;
        Try(Step::kUp, rate);
      }
      return;
    case Step::kDown:
      if (rate < rate_before_ * kCostsLittle) {
        GoBack();
        next_is_up_ = true;
      } else {
        patience_ = kFirstHold;
        Try(Step::kDown, rate);
      }
      return;
    case Step::kHold:
      if (hold_ > 0) {
        --hold_;
        return;
      }
      Try(next_is_up_ ? Step::kUp : Step::kDown, rate);
      return;
  }
}

void FetchTuner::Try(Step step, double rate) {
  const int next =
      std::clamp(step == Step::kUp ? Up(limit_) : Down(limit_), limits_.least, limits_.most);
  if (next == limit_) {  // at an end
    step_ = Step::kHold;
    hold_ = patience_;
    next_is_up_ = step == Step::kDown;
    return;
  }
  step_ = step;
  limit_before_ = limit_;
  rate_before_ = rate;
  limit_ = next;
}

void FetchTuner::GoBack() {
  limit_ = limit_before_;
  step_ = Step::kHold;
  hold_ = patience_;
  patience_ = std::min(2 * patience_, kLongestHold);
}

}  // namespace penstock::cachefs
