// Datasets: what they are, their frames, and passes over them.

#include "penstock/reader/reader.h"

#include <memory>

#include "penstock/reader/frame_copy.h"
#include "penstock/reader/frame_view.h"
#include "reader/python/conversion.h"
#include "reader/python/passes.h"
#include "reader/python/python_reduction.h"

namespace py = pybind11;

namespace penstock::python {

namespace {

py::tuple ScanAxes(const ScanShape& scan) {
  if (scan.is_series) return py::make_tuple(scan.columns);
  return py::make_tuple(scan.rows, scan.columns);
}

Reader Open(const std::string& path, const std::string& backend, bool verify, bool use_pixel_mask,
            bool use_leases) {
  ReadOptions options;
  options.backend = Unwrap(ParseBackend(backend));
  options.verify = verify;
  options.use_pixel_mask = use_pixel_mask;
  options.use_leases = use_leases;
  const py::gil_scoped_release unlocked;
  return Unwrap(Reader::Open(path, options));
}

// One per frame, in scan order.
py::object ImageKey(const Reader& reader) {
  const std::vector<int32_t>& key = reader.image_key();
  return ToNumpy(
      {{static_cast<int64_t>(key.size())}, std::vector<int64_t>(key.begin(), key.end())});
}

py::object PixelMask(const Reader& reader) {
  const std::vector<uint32_t> mask = Unwrap(reader.dataset().ReadPixelMask());
  if (mask.empty()) return py::none();
  const SignalShape& signal = reader.shape().signal;
  return ToNumpy({{signal.rows, signal.columns}, std::vector<int64_t>(mask.begin(), mask.end())});
}

// (first frame, one past the last) of every block, in scan order.
py::list Blocks(const Reader& reader) {
  py::list blocks;
  for (const BlockInfo& block : reader.dataset().blocks()) {
    const int64_t first = block.region.first_frame;
    blocks.append(py::make_tuple(first, first + block.region.frame_count()));
  }
  return blocks;
}

// (rows, columns, type) of the frames that a view shows.
py::tuple Seen(const Reader& reader, const FrameViewOptions& view) {
  DatasetShape seen = reader.shape();
  if (!view.is_plain()) seen = Unwrap(FrameView::Create(reader.shape(), view))->seen();
  return py::make_tuple(seen.signal.rows, seen.signal.columns,
                        std::string(NumpyTypeString(seen.element_type)));
}

py::bytes Frame(const Reader& reader, int64_t frame) {
  std::vector<std::byte> bytes;
  {
    const py::gil_scoped_release unlocked;
    bytes = Unwrap(reader.ReadFrame(frame));
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The selected frames into `out`, a writable contiguous buffer of bytes.
py::dict ReadInto(const Reader& reader, const py::buffer& out, const py::dict& wanted) {
  const py::buffer_info memory = out.request(/*writable=*/true);
  if (memory.itemsize != 1 || memory.ndim != 1 || (memory.size > 1 && memory.strides[0] != 1)) {
    throw py::type_error("expected contiguous bytes");
  }
  FrameCopyReduction copy({static_cast<std::byte*>(memory.ptr), static_cast<size_t>(memory.size)},
                          ToVector<uint8_t>(wanted["selection"]));
  Reduction* const one = &copy;
  Passes passes(wanted);
  return ToDict(passes.Run([&](const PassOptions& options) {
    return reader.Run({&one, 1}, options);
  }));
}

py::dict Run(const Reader& reader, const std::vector<std::shared_ptr<Reduction>>& reductions,
             const py::dict& wanted) {
  const ReductionsInUse used(reductions);
  Passes passes(wanted, &used);
  for (Reduction* const reduction : used.all()) {
    auto* const in_python = dynamic_cast<PythonReduction*>(reduction);
    if (in_python == nullptr) continue;
    in_python->SetOnError([&passes](py::error_already_set& error) { passes.Keep(error); });
  }
  return ToDict(
      passes.Run([&](const PassOptions& options) { return reader.Run(used.all(), options); }));
}

}  // namespace

void AddReader(py::module_& module) {
  py::class_<Reader>(module, "_Reader")
      .def(py::init(&Open), py::arg("path"), py::arg("backend"), py::arg("verify"),
           py::arg("use_pixel_mask"), py::arg("use_leases"))
      .def_property_readonly("scan_shape",
                             [](const Reader& self) { return ScanAxes(self.shape().scan); })
      .def_property_readonly("signal_shape",
                             [](const Reader& self) {
                               return py::make_tuple(self.shape().signal.rows,
                                                     self.shape().signal.columns);
                             })
      .def_property_readonly("dtype",
                             [](const Reader& self) {
                               return std::string(NumpyTypeString(self.shape().element_type));
                             })
      .def_property_readonly("generation",
                             [](const Reader& self) { return self.dataset().generation(); })
      .def_property_readonly("state", [](const Reader& self) { return self.dataset().state(); })
      .def("image_key", &ImageKey)
      .def("pixel_mask", &PixelMask)
      .def("blocks", &Blocks)
      .def("seen", &Seen)
      .def("frame", &Frame)
      .def("read_into", &ReadInto)
      .def("run", &Run);
}

}  // namespace penstock::python
