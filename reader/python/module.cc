// The extension module behind the Python package: errors and arrays.

#include "reader/python/conversion.h"

namespace py = pybind11;

namespace penstock::python {

namespace {

py::buffer_info BufferOf(ResultArray& array) {
  return std::visit(
      [&](auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        std::vector<py::ssize_t> shape(array.shape.begin(), array.shape.end());
        std::vector<py::ssize_t> strides(shape.size());
        auto stride = static_cast<py::ssize_t>(sizeof(T));
        for (size_t axis = shape.size(); axis-- > 0;) {
          strides[axis] = stride;
          stride *= shape[axis];
        }
        return py::buffer_info(values.data(), sizeof(T), py::format_descriptor<T>::format(),
                               static_cast<py::ssize_t>(shape.size()), shape, strides);
      },
      array.values);
}

// These live as long as the interpreter.
PyObject* error_type = nullptr;
PyObject* cancelled_type = nullptr;

void Translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const ErrorRaised& raised) {
    const bool cancelled = raised.error.kind() == ErrorKind::kCancelled;
    const auto type = py::reinterpret_borrow<py::object>(cancelled ? cancelled_type : error_type);
    const py::object error = type(raised.error.ToString());
    error.attr("kind") = std::string(ErrorKindName(raised.error.kind()));
    PyErr_SetObject(type.ptr(), error.ptr());
  }
}

}  // namespace

}  // namespace penstock::python

PYBIND11_MODULE(_penstock, module) {
  using namespace penstock;
  using namespace penstock::python;
  module.attr("__version__") = PENSTOCK_VERSION;
  error_type = PyErr_NewExceptionWithDoc(
      "penstock.Error",
      "Says what, where, what was expected and what to do; `kind` is one of 'invalid argument',\n"
      "'not found', 'corrupt', 'unsupported', 'i/o error', ...",
      PyExc_RuntimeError, nullptr);
  cancelled_type = PyErr_NewExceptionWithDoc(
      "penstock.Cancelled", "A pass that was stopped; its reductions hold partial results.",
      error_type, nullptr);
  module.attr("Error") = py::reinterpret_borrow<py::object>(error_type);
  module.attr("Cancelled") = py::reinterpret_borrow<py::object>(cancelled_type);
  py::register_exception_translator(&Translate);
  py::class_<ResultArray>(module, "_Array", py::buffer_protocol()).def_buffer(&BufferOf);
  AddOperations(module);
  AddPythonReductions(module);
  AddViews(module);
  AddPasses(module);
  AddReader(module);
  AddComponents(module);
  AddRegionStatistics(module);
}
