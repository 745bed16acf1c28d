// Values between Python and the reader. Arrays come and go by the buffer protocol, so that the
// module depends on no version of NumPy.

#ifndef PENSTOCK_READER_PYTHON_CONVERSION_H_
#define PENSTOCK_READER_PYTHON_CONVERSION_H_

#include <pybind11/complex.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/reduction.h"
#include "penstock/reader/result_array.h"

namespace penstock::python {

// Becomes penstock.Error, with the kind as its attribute.
struct ErrorRaised {
  Error error;
};

template <typename T>
T Unwrap(Result<T> result) {
  if (!result.ok()) throw ErrorRaised{result.error()};
  return *std::move(result);
}
inline void Check(const Status& status) {
  if (!status.ok()) throw ErrorRaised{status.error()};
}

// A buffer of elements of type T, C order, or None for an empty one.
template <typename T>
std::vector<T> ToVector(const pybind11::object& object) {
  if (object.is_none()) return {};
  const pybind11::buffer_info info = object.cast<pybind11::buffer>().request();
  bool contiguous = info.itemsize == static_cast<pybind11::ssize_t>(sizeof(T));
  pybind11::ssize_t stride = info.itemsize;
  for (pybind11::ssize_t axis = info.ndim; contiguous && axis-- > 0;) {
    const auto at = static_cast<size_t>(axis);
    contiguous = info.shape[at] <= 1 || info.strides[at] == stride;
    stride *= info.shape[at];
  }
  if (!contiguous || !pybind11::detail::compare_buffer_info<T>::compare(info)) {
    throw pybind11::type_error("expected a contiguous array of another type");
  }
  std::vector<T> values(static_cast<size_t>(info.size));
  if (!values.empty()) std::memcpy(values.data(), info.ptr, values.size() * sizeof(T));
  return values;
}

inline SignalShape ToSignal(std::pair<int64_t, int64_t> shape) {
  return {shape.first, shape.second};
}

// A NumPy array that owns the values. ValueError where there are none: before the first pass.
inline pybind11::object ToNumpy(ResultArray array) {
  const auto elements = std::accumulate(array.shape.begin(), array.shape.end(), int64_t{1},
                                        std::multiplies<int64_t>());
  if (array.size() != static_cast<size_t>(elements)) {
    throw pybind11::value_error("there are no results before the first pass");
  }
  return pybind11::module_::import("numpy").attr("asarray")(pybind11::cast(std::move(array)));
}

// Raises ValueError while a pass uses the reduction, but in the callback of that pass. Python's
// lock is held.
void CheckReadable(const Reduction& reduction);

// One per file; in this order.
void AddOperations(pybind11::module_& module);
void AddPythonReductions(pybind11::module_& module);
void AddViews(pybind11::module_& module);
void AddPasses(pybind11::module_& module);
void AddReader(pybind11::module_& module);
void AddComponents(pybind11::module_& module);
void AddRegionStatistics(pybind11::module_& module);

}  // namespace penstock::python

#endif  // PENSTOCK_READER_PYTHON_CONVERSION_H_
