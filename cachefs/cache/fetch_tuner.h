// FetchTuner: finds how many reads of the store at once it takes to get all that it gives.
//
// It climbs: every window it compares the rate with that of the step before. More reads are kept
// where they brought a tenth more, fewer where they cost next to nothing; in between it stays for a
// while before it tries again, longer each time that trying was in vain. Windows in which there was
// not enough to do say nothing. Knows no clock but the times that it is given. Not thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_FETCH_TUNER_H_
#define PENSTOCK_CACHEFS_CACHE_FETCH_TUNER_H_

#include <chrono>
#include <cstdint>

namespace penstock::cachefs {

class FetchTuner {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Limits {
    int least = 2;
    int most = 32;
  };

  FetchTuner(int start, Limits limits);

  // Reads at once.
  int limit() const { return limit_; }

  // A read of the store has brought `bytes`. `waiting`: whether more are wanted than may be under
  // way. True where limit() has changed.
  bool Fetched(uint64_t bytes, bool waiting, Time now);

 private:
  enum class Step { kHold, kUp, kDown };

  void BeginWindow(Time now);
  void Judge(double rate);
  void Try(Step step, double rate);
  void GoBack();

  const Limits limits_;
  int limit_;

  Time window_begin_;
  uint64_t window_bytes_ = 0;
  int64_t window_reads_ = 0;
  bool saturated_ = true;
  int settling_ = 0;  // reads that began under the earlier limit

  Step step_ = Step::kHold;  // what is being tried
  int limit_before_ = 0;
  double rate_before_ = 0;
  int hold_ = 0;      // windows until the next try
  int patience_ = 0;  // how long to hold after the next try in vain
  bool next_is_up_ = true;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_FETCH_TUNER_H_
