// Views of frames.

#include "penstock/reader/frame_view.h"
#include "reader/python/conversion.h"

namespace py = pybind11;

namespace penstock::python {

namespace {

FrameViewOptions MakeView(const py::object& dark, const py::object& gain, const py::object& dead,
                          const py::object& shift_rows, const py::object& shift_columns,
                          const std::vector<int64_t>& crop, int64_t bin) {
  FrameViewOptions view;
  view.correction = {ToVector<double>(dark), ToVector<double>(gain), ToVector<uint8_t>(dead)};
  view.shifts = {ToVector<double>(shift_rows), ToVector<double>(shift_columns)};
  if (crop.size() == 4) view.crop = {crop[0], crop[1], crop[2], crop[3]};
  view.bin = bin;
  return view;
}

}  // namespace

void AddViews(py::module_& module) {
  py::class_<FrameViewOptions>(module, "_View")
      .def(py::init(&MakeView))
      .def("seen_shape", [](const FrameViewOptions& view, std::pair<int64_t, int64_t> stored) {
        const SignalShape seen = Unwrap(SeenSignal(ToSignal(stored), view));
        return py::make_tuple(seen.rows, seen.columns);
      });
}

}  // namespace penstock::python
