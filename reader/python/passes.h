// What Python says about a pass, and Python's lock while one runs.

#ifndef PENSTOCK_READER_PYTHON_PASSES_H_
#define PENSTOCK_READER_PYTHON_PASSES_H_

#include <pybind11/pybind11.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "penstock/reader/reader.h"
#include "reader/python/conversion.h"

namespace penstock::python {

// Shared by Python's threads: ends the passes that it was given to.
struct Stop {
  std::stop_source source;
};

// Reductions that no other pass is using meanwhile.
class __attribute__((visibility("hidden"))) ReductionsInUse {
 public:
  // Raises ValueError for one that is in use, or there twice. Python's lock is held.
  explicit ReductionsInUse(const std::vector<std::shared_ptr<Reduction>>& reductions);
  ~ReductionsInUse();
  ReductionsInUse(const ReductionsInUse&) = delete;
  ReductionsInUse& operator=(const ReductionsInUse&) = delete;

  std::span<Reduction* const> all() const { return all_; }

 private:
  std::vector<std::shared_ptr<Reduction>> kept_;
  std::vector<Reduction*> all_;
};

// One pass, or some with the same options, run without Python's lock. Not to be moved: it is
// called back.
class __attribute__((visibility("hidden"))) Passes {
 public:
  // A dict: threads, selection (a buffer of uint8, or None), view (FrameViewOptions or None),
  // fast_order, deadline in seconds (0: none), stop (Stop or None), on_progress (None, or a
  // function of the native progress that returns False to end the pass).
  // `reductions`: those that the callback may read; null: none.
  explicit Passes(const pybind11::dict& wanted, const ReductionsInUse* reductions = nullptr);
  ~Passes();
  Passes(const Passes&) = delete;
  Passes& operator=(const Passes&) = delete;

  // work(const PassOptions&), a Result, on a thread of its own, while this one waits for it and for
  // signals: Ctrl-C ends the pass and raises KeyboardInterrupt. What the callback raises is raised
  // after the pass.
  template <typename Work>
  auto Run(Work&& work) {
    auto result = [&] {
      const pybind11::gil_scoped_release unlocked;
      auto running = std::async(std::launch::async, [&] { return work(options_); });
      while (running.wait_for(kSignalPeriod) != std::future_status::ready) TakeSignals();
      return running.get();
    }();
    Rethrow();
    return Unwrap(std::move(result));
  }

  // What Python raises meanwhile elsewhere: ends the passes, and is raised after them. Python's
  // lock is held.
  void Keep(pybind11::error_already_set& error);

 private:
  static constexpr std::chrono::milliseconds kSignalPeriod{100};

  void TakeSignals();
  void CallBack(const PassProgress& now);
  void Rethrow();

  const ReductionsInUse* const reductions_;
  std::stop_source stop_;
  std::optional<std::stop_callback<std::function<void()>>> forwarded_;
  pybind11::object on_progress_;
  std::optional<pybind11::error_already_set> raised_;
  PassOptions options_;
};

pybind11::dict ToDict(const PassSummary& summary);

}  // namespace penstock::python

#endif  // PENSTOCK_READER_PYTHON_PASSES_H_
