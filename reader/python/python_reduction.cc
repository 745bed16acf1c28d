#include "reader/python/python_reduction.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>
#include <vector>

#include "reader/python/conversion.h"

namespace py = pybind11;

namespace penstock::python {

// What one worker collects, and where it puts pixels for Python: bytes, which nobody can write to,
// and which arrays that are kept keep alive. They are used again where nobody has kept them.
struct PythonReduction::Collected final : State {
  ~Collected() override {
    const py::gil_scoped_acquire locked;
    partial = py::object();
    pixels = py::object();
    numbers = py::object();
  }

  py::object partial;
  py::object pixels;
  py::object numbers;  // of the frames, in scan order, int64
};

namespace {

py::object NewBytes(size_t size) {
  PyObject* const bytes = PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size));
  if (bytes == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(bytes);
}

// Ours alone, so that writing to it is seen by nobody.
bool IsKept(const py::object& bytes) { return Py_REFCNT(bytes.ptr()) > 1; }

std::byte* DataOf(const py::object& bytes) {
  return reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.ptr()));
}

}  // namespace

PythonReduction::PythonReduction(py::object worker, bool order_free, std::string name,
                                 std::string dataset)
    : worker_(std::move(worker)),
      order_free_(order_free),
      name_(std::move(name)),
      dataset_(std::move(dataset)) {}

// Calls with Python's lock; what is raised gets a note of where and ends the pass.
template <typename Call>
void PythonReduction::CallPython(std::string_view what, std::optional<FrameRange> frames,
                                 Call&& call) const {
  if (failed_) return;
  const py::gil_scoped_acquire locked;
  if (failed_) return;
  try {
    call();
  } catch (py::error_already_set& error) {
    failed_ = true;
    if (py::hasattr(error.value(), "add_note")) {  // Python 3.11
      const std::string where =
          frames ? fmt::format("frames {}-{} of ", frames->first, frames->last - 1) : "";
      error.value().attr("add_note")(
          fmt::format("in {} of {}, {}{}", what, name_, where, dataset_));
    }
    if (on_error_) on_error_(error);
  }
}

Status PythonReduction::Begin(const PassPlan& plan) {
  shape_ = plan.shape;
  tile_frames_ = plan.tile_frames;
  CallPython("begin", std::nullopt, [&] {
    const SignalShape& signal = shape_.signal;
    py::object good = py::none();
    if (plan.good_pixels != nullptr) {
      good = py::bytes(reinterpret_cast<const char*>(plan.good_pixels->data()),
                       plan.good_pixels->size());
    }
    worker_.attr("begin")(py::make_tuple(signal.rows, signal.columns),
                          std::string(NumpyTypeString(shape_.element_type)), good);
  });
  if (failed_) return Error::Cancelled("the reduction in Python failed").In(dataset_);
  return Status::Ok();
}

std::unique_ptr<Reduction::State> PythonReduction::MakeState() const {
  auto state = std::make_unique<Collected>();
  CallPython("memory", std::nullopt, [&] {
    state->pixels = NewBytes(static_cast<size_t>(tile_frames_) * shape_.frame_bytes());
    state->numbers = NewBytes(static_cast<size_t>(tile_frames_) * sizeof(int64_t));
  });
  return state;
}

void PythonReduction::BeginPartition(State& state, const Partition& partition) const {
  CallPython("make_partial", partition.frames,
             [&] { static_cast<Collected&>(state).partial = worker_.attr("make_partial")(); });
}

void PythonReduction::Process(State& state, const Tile& tile) const {
  auto& mine = static_cast<Collected&>(state);
  if (failed_) return;
  const size_t frame_bytes = shape_.frame_bytes();
  std::byte* const pixels = DataOf(mine.pixels);
  std::byte* const numbers = DataOf(mine.numbers);
  size_t count = 0;
  for (int64_t f = 0; f < tile.frame_count; ++f) {
    if (tile.valid[f] == 0) continue;
    const int64_t number = tile.first_frame + f;
    std::memcpy(pixels + count * frame_bytes, tile.Frame<std::byte>(f), frame_bytes);
    std::memcpy(numbers + count * sizeof number, &number, sizeof number);
    ++count;
  }
  if (count == 0) return;
  const FrameRange frames{tile.first_frame, tile.first_frame + tile.frame_count};
  CallPython("process", frames, [&] {
    py::object changed = worker_.attr("process")(mine.partial, mine.pixels, mine.numbers, count);
    if (!changed.is_none()) mine.partial = std::move(changed);
    if (IsKept(mine.pixels)) {
      mine.pixels = NewBytes(static_cast<size_t>(tile_frames_) * frame_bytes);
    }
    if (IsKept(mine.numbers)) {
      mine.numbers = NewBytes(static_cast<size_t>(tile_frames_) * sizeof(int64_t));
    }
  });
}

void PythonReduction::Merge(State& state, const Partition& partition) {
  CallPython("merge", partition.frames, [&] {
    worker_.attr("merge")(std::exchange(static_cast<Collected&>(state).partial, py::object()));
  });
}

void AddPythonReductions(py::module_& module) {
  py::class_<PythonReduction, Reduction, std::shared_ptr<PythonReduction>>(module,
                                                                           "_PythonReduction")
      .def(py::init<py::object, bool, std::string, std::string>());
}

}  // namespace penstock::python
