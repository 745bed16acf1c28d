#include "reader/python/passes.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

namespace py = pybind11;

namespace penstock::python {

namespace {

// What a callback sees; it may keep it.
struct Progress {
  int64_t partitions_done = 0;
  int64_t partition_count = 0;
  int64_t frames_done = 0;
  int64_t frame_count = 0;
  uint64_t bytes_done = 0;
  std::vector<uint8_t> done;
};

// By whom. Changed and read with Python's lock held.
std::map<const Reduction*, const ReductionsInUse*>& InUse() {
  static std::map<const Reduction*, const ReductionsInUse*> reductions;
  return reductions;
}

// Those of the pass whose callback runs on this thread.
thread_local const ReductionsInUse* called_back_for = nullptr;

}  // namespace

void CheckReadable(const Reduction& reduction) {
  const auto used = InUse().find(&reduction);
  if (used != InUse().end() && used->second != called_back_for) {
    throw py::value_error(
        "a pass is changing these results: read them after it, or in its on_progress");
  }
}

Passes::Passes(const py::dict& wanted, const ReductionsInUse* reductions)
    : reductions_(reductions), on_progress_(wanted["on_progress"]) {
  options_.threads = wanted["threads"].cast<int>();
  options_.selection = ToVector<uint8_t>(wanted["selection"]);
  if (!wanted["view"].is_none()) options_.view = wanted["view"].cast<const FrameViewOptions&>();
  options_.fast_order = wanted["fast_order"].cast<bool>();
  const auto seconds = wanted["deadline"].cast<double>();
  if (seconds > 0) {
    constexpr double kLongest = 1e9;  // decades, and far from the end of the clock
    options_.deadline = std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                            std::chrono::duration<double>(std::min(seconds, kLongest)));
  }
  if (!wanted["stop"].is_none()) {
    forwarded_.emplace(wanted["stop"].cast<const Stop&>().source.get_token(),
                       [this] { stop_.request_stop(); });
  }
  options_.stop = stop_.get_token();
  if (!on_progress_.is_none()) {
    options_.on_partition = [this](const PassProgress& now) { CallBack(now); };
  }
}

Passes::~Passes() = default;

void Passes::TakeSignals() {
  const py::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() == 0) return;
  py::error_already_set error;
  Keep(error);
}

void Passes::CallBack(const PassProgress& now) {
  const py::gil_scoped_acquire locked;
  if (raised_) return;
  const auto* const outer = std::exchange(called_back_for, reductions_);
  try {
    const Progress progress{now.partitions_done, now.partition_count,
                            now.frames_done,     now.frame_count,
                            now.bytes_done,      {now.done.begin(), now.done.end()}};
    const py::object goes_on = on_progress_(progress);
    if (goes_on.is(py::bool_(false))) stop_.request_stop();
  } catch (py::error_already_set& error) {
    Keep(error);
  }
  called_back_for = outer;
}

// Python's lock is held, which orders the callbacks and signals.
void Passes::Keep(py::error_already_set& error) {
  if (!raised_) raised_ = error;
  stop_.request_stop();
}

void Passes::Rethrow() {
  if (raised_) throw *raised_;
}

ReductionsInUse::ReductionsInUse(const std::vector<std::shared_ptr<Reduction>>& reductions)
    : kept_(reductions) {
  for (const auto& reduction : kept_) {
    if (!InUse().emplace(reduction.get(), this).second) {
      for (const Reduction* const mine : all_) InUse().erase(mine);
      throw py::value_error("a reduction takes part in one pass at a time, and once");
    }
    all_.push_back(reduction.get());
  }
}

ReductionsInUse::~ReductionsInUse() {
  for (const Reduction* const mine : all_) InUse().erase(mine);
}

py::dict ToDict(const PassSummary& summary) {
  py::dict result;
  result["frames"] = summary.frames;
  result["frames_invalid"] = summary.frames_invalid;
  result["bytes"] = summary.bytes;
  result["seconds"] = summary.seconds;
  result["threads"] = summary.threads;
  result["complete"] = summary.complete;
  result["partitions"] = summary.partitions;
  result["partitions_leased"] = summary.partitions_leased;
  result["extents_verified"] = summary.extents_verified;
  return result;
}

void AddPasses(py::module_& module) {
  py::class_<Stop>(module, "Stop",
                   R"(Ends passes from another thread: `dataset.run(..., stop=stop)`.

Thread-safe. It stays requested: a pass that is given it afterwards ends at once.)")
      .def(py::init<>())
      .def(
          "request", [](Stop& self) { self.source.request_stop(); },
          "The passes that were given this end soon, with penstock.Cancelled.")
      .def_property_readonly("requested",
                             [](const Stop& self) { return self.source.stop_requested(); });
  py::class_<Progress>(module, "_Progress")
      .def_readonly("partitions_done", &Progress::partitions_done)
      .def_readonly("partitions", &Progress::partition_count)
      .def_readonly("frames_done", &Progress::frames_done)
      .def_readonly("frames", &Progress::frame_count)
      .def_readonly("bytes_done", &Progress::bytes_done)
      .def_property_readonly("done", [](const Progress& self) {
        return py::bytes(reinterpret_cast<const char*>(self.done.data()), self.done.size());
      });
}

}  // namespace penstock::python
