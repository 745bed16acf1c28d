// Statistics of regions.

#include "penstock/reader/region_statistics.h"

#include "reader/python/conversion.h"
#include "reader/python/passes.h"

namespace py = pybind11;

namespace penstock::python {

namespace {

py::dict Summarize(const Reader& reader, bool use_sidecar, bool histogram, const py::dict& wanted) {
  Passes passes(wanted);
  RegionStatistics region = passes.Run([&](const PassOptions& options) {
    return SummarizeRegion(reader, options, {use_sidecar, histogram});
  });
  py::dict result;
  result["frames"] = region.frames;
  result["pixels"] = region.pixels;
  result["not_numbers"] = region.not_numbers;
  result["minimum"] = region.minimum;
  result["maximum"] = region.maximum;
  if (region.sum.is_integer()) {
    result["sum"] = region.sum.integers()[0];
  } else {
    result["sum"] = region.sum.doubles()[0];
  }
  result["mean"] = region.mean;
  result["standard_deviation"] = region.standard_deviation;
  result["frame_minimum"] = ToNumpy(std::move(region.frame_minimum));
  result["frame_maximum"] = ToNumpy(std::move(region.frame_maximum));
  result["frame_sum"] = ToNumpy(std::move(region.frame_sum));
  if (histogram) {
    result["histogram"] = ToNumpy(std::move(region.histogram));
    result["histogram_edges"] = ToNumpy(std::move(region.histogram_edges));
  }
  result["values_from_sidecar"] = region.values_from_sidecar;
  result["histogram_frames_from_sidecar"] = region.histogram_frames_from_sidecar;
  result["frames_read"] = region.summary.frames;
  return result;
}

}  // namespace

void AddRegionStatistics(py::module_& module) { module.def("_summarize_region", &Summarize); }

}  // namespace penstock::python
