// Principal components.

#include "penstock/reader/components.h"

#include "reader/python/conversion.h"
#include "reader/python/passes.h"

namespace py = pybind11;

namespace penstock::python {

namespace {

py::dict Find(const Reader& reader, int64_t count, int64_t oversampling, int64_t power_iterations,
              bool centre, uint64_t seed, const py::dict& wanted) {
  Passes passes(wanted);
  const ComponentOptions options{count, oversampling, power_iterations, centre, seed};
  Components found =
      passes.Run([&](const PassOptions& pass) { return FindComponents(reader, options, pass); });
  py::dict result;
  result["components"] = ToNumpy(std::move(found.components));
  result["loadings"] = ToNumpy(std::move(found.loadings));
  result["mean"] = ToNumpy(std::move(found.mean));
  result["singular_values"] = ToNumpy(std::move(found.singular_values));
  result["explained_variance"] = ToNumpy(std::move(found.explained_variance));
  result["explained_ratio"] = ToNumpy(std::move(found.explained_ratio));
  result["frames"] = found.frames;
  return result;
}

}  // namespace

void AddComponents(py::module_& module) { module.def("_find_components", &Find); }

}  // namespace penstock::python
