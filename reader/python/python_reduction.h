// PythonReduction: a reduction whose work is done by an object in Python, beside the built-in ones.

#ifndef PENSTOCK_READER_PYTHON_PYTHON_REDUCTION_H_
#define PENSTOCK_READER_PYTHON_PYTHON_REDUCTION_H_

#include <pybind11/pybind11.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "penstock/reader/reduction.h"

namespace penstock::python {

// Pixels of valid frames are copied for Python without its lock, so that what is read from the disk
// on the way is waited for without it, and so that arrays may be kept. What Python raises ends the
// pass. Created and destroyed with Python's lock held.
class __attribute__((visibility("hidden"))) PythonReduction final : public Reduction {
 public:
  // `worker`: a frame_reductions._Worker. `name` and `dataset` are for the notes of exceptions.
  PythonReduction(pybind11::object worker, bool order_free, std::string name, std::string dataset);

  // Called with Python's lock held and what was raised, once; must stop the pass. Set before it.
  using OnError = std::function<void(pybind11::error_already_set&)>;
  void SetOnError(OnError on_error) { on_error_ = std::move(on_error); }

  bool IsOrderFree() const override { return order_free_; }
  bool WantsWholeFrames(const PassPlan& /*plan*/) const override { return true; }
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;

 private:
  struct Collected;

  template <typename Call>
  void CallPython(std::string_view what, std::optional<FrameRange> frames, Call&& call) const;

  const pybind11::object worker_;
  const bool order_free_;
  const std::string name_;
  const std::string dataset_;
  OnError on_error_;
  DatasetShape shape_;
  int64_t tile_frames_ = 0;
  mutable std::atomic<bool> failed_ = false;
};

}  // namespace penstock::python

#endif  // PENSTOCK_READER_PYTHON_PYTHON_REDUCTION_H_
