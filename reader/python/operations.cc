// Masks and reductions.

#include "penstock/reader/operations.h"

#include <complex>
#include <memory>

#include "penstock/reader/radial.h"
#include "penstock/reader/sparse_mask.h"
#include "reader/python/conversion.h"

namespace py = pybind11;

namespace penstock::python {

namespace {

template <typename T>
std::shared_ptr<T> Share(Result<std::unique_ptr<T>> made) {
  return std::shared_ptr<T>(Unwrap(std::move(made)));
}

// A stack of masks: lists of AnyMask, made from text, arrays and sparse matrices.
struct MaskList {
  std::vector<AnyMask> masks;
};

MaskList FromText(const std::string& text, std::pair<int64_t, int64_t> shape) {
  return {Unwrap(ParseAnyMasks(text, ToSignal(shape)))};
}

// `real` and, of complex masks, `imaginary`: float64, (masks, rows, columns).
MaskList FromArrays(const py::object& real, const py::object& imaginary,
                    std::pair<int64_t, int64_t> shape, const std::string& name) {
  const SignalShape signal = ToSignal(shape);
  const std::vector<double> weights = ToVector<double>(real);
  const std::vector<double> others = ToVector<double>(imaginary);
  const auto pixels = static_cast<size_t>(signal.pixel_count());
  MaskList list;
  for (size_t at = 0; at + pixels <= weights.size() && pixels > 0; at += pixels) {
    const auto part = [&](const std::vector<double>& all) {
      const auto first = all.begin() + static_cast<ptrdiff_t>(at);
      return all.empty() ? all : std::vector<double>(first, first + static_cast<ptrdiff_t>(pixels));
    };
    list.masks.emplace_back(Mask{name, signal, part(weights), part(others)});
  }
  return list;
}

MaskList FromCsr(const py::object& row_starts, const py::object& columns, const py::object& real,
                 const py::object& imaginary, std::pair<int64_t, int64_t> matrix_shape,
                 std::pair<int64_t, int64_t> shape, const std::string& name) {
  CsrMatrix matrix{
      matrix_shape.first,         matrix_shape.second,    ToVector<int64_t>(row_starts),
      ToVector<int64_t>(columns), ToVector<double>(real), ToVector<double>(imaginary)};
  std::vector<SparseMask> masks = Unwrap(MasksOfRows(matrix, ToSignal(shape), name));
  return {{std::make_move_iterator(masks.begin()), std::make_move_iterator(masks.end())}};
}

std::optional<Mask> OneDense(const std::optional<MaskList>& list) {
  if (!list) return std::nullopt;
  if (list->masks.size() != 1) throw py::value_error("expected one mask");
  const AnyMask& mask = list->masks.front();
  Mask dense = std::holds_alternative<SparseMask>(mask) ? Dense(std::get<SparseMask>(mask))
                                                        : std::get<Mask>(mask);
  if (dense.is_complex()) throw py::value_error("expected real weights");
  return dense;
}

// A property of results: an array of its own.
template <typename Operation, typename Result>
auto Values(Result (Operation::*get)() const) {
  return [get](const Operation& self) {
    CheckReadable(self);
    return ToNumpy((self.*get)());
  };
}

template <typename Operation>
auto Number(int64_t (Operation::*get)() const) {
  return [get](const Operation& self) {
    CheckReadable(self);
    return (self.*get)();
  };
}

}  // namespace

void AddOperations(py::module_& module) {
  py::class_<MaskList>(module, "_Masks")
      .def_static("from_text", &FromText)
      .def_static("from_arrays", &FromArrays)
      .def_static("from_csr", &FromCsr)
      .def("__len__", [](const MaskList& list) { return list.masks.size(); })
      .def("names",
           [](const MaskList& list) {
             std::vector<std::string> names;
             for (const AnyMask& mask : list.masks) names.push_back(NameOf(mask));
             return names;
           })
      .def("extend",
           [](MaskList& list, const MaskList& other) {
             list.masks.insert(list.masks.end(), other.masks.begin(), other.masks.end());
           })
      // (masks, rows, columns), the weights as they are.
      .def("dense", [](const MaskList& list) {
        ResultArray all;
        std::vector<std::complex<double>> values;
        bool complex = false;
        for (const AnyMask& any : list.masks) {
          const Mask mask = std::holds_alternative<SparseMask>(any)
                                ? Dense(std::get<SparseMask>(any))
                                : std::get<Mask>(any);
          complex = complex || mask.is_complex();
          all.shape = {0, mask.shape.rows, mask.shape.columns};
          for (size_t p = 0; p < mask.weights.size(); ++p) {
            values.emplace_back(mask.weights[p], mask.is_complex() ? mask.imaginary[p] : 0.0);
          }
        }
        if (!all.shape.empty()) all.shape[0] = static_cast<int64_t>(list.masks.size());
        if (complex) {
          all.values = std::move(values);
        } else {
          std::vector<double> real;
          for (const auto& value : values) real.push_back(value.real());
          all.values = std::move(real);
        }
        return ToNumpy(std::move(all));
      });

  py::class_<Reduction, std::shared_ptr<Reduction>>(
      module, "Reduction",
      "What a pass computes. One pass at a time; results may be read after it and in its "
      "on_progress.");
  py::class_<MaskReduction, Reduction, std::shared_ptr<MaskReduction>>(module, "_MaskReduction")
      .def(py::init(
          [](const MaskList& list) { return Share(MaskReduction::CreateMixed(list.masks)); }))
      .def_property_readonly("names", &MaskReduction::names)
      .def_property_readonly("result", Values(&MaskReduction::result));
  py::class_<SumReduction, Reduction, std::shared_ptr<SumReduction>>(
      module, "Sum", R"(The sum over all frames, pixel by pixel.

result: (rows, columns), int64 and exact for integer data, otherwise float64; 0, or
NaN in float64, where pixel_mask leaves a pixel out. frames: how many were summed.)")
      .def(py::init<>())
      .def_property_readonly("frames", Number(&SumReduction::frames_summed))
      .def_property_readonly("result", Values(&SumReduction::result));
  py::class_<StatisticsReduction, Reduction, std::shared_ptr<StatisticsReduction>>(
      module, "Statistics", R"(Mean and standard deviation over all frames, pixel by pixel.

mean, variance, std: (rows, columns), float64, NaN without frames; divided by n, as NumPy has it. From
exact sums for 8- and 16-bit data, otherwise float64 moments, merged pairwise.
sum: as Sum has it, for uint8 and uint16; None for other types. frames: how many were seen.)")
      .def(py::init<>())
      .def_property_readonly("frames", Number(&StatisticsReduction::frames_seen))
      .def_property_readonly("mean", Values(&StatisticsReduction::Mean))
      .def_property_readonly("variance", Values(&StatisticsReduction::Variance))
      .def_property_readonly("sum",
                             [](const StatisticsReduction& self) -> py::object {
                               CheckReadable(self);
                               const std::optional<ResultArray> sum = self.ExactSum();
                               if (!sum) return py::none();
                               return ToNumpy(*sum);
                             })
      .def_property_readonly("std", Values(&StatisticsReduction::StandardDeviation));
  py::class_<ExtremesReduction, Reduction, std::shared_ptr<ExtremesReduction>>(
      module, "Extremes", R"(The smallest and the largest value over all frames, pixel by pixel.

minimum, maximum: (rows, columns), float64, NaN without frames. NaN in the data is passed over.
frames: how many were seen.)")
      .def(py::init<>())
      .def_property_readonly("frames", Number(&ExtremesReduction::frames_seen))
      .def_property_readonly("minimum", Values(&ExtremesReduction::Minimum))
      .def_property_readonly("maximum", Values(&ExtremesReduction::Maximum));
  py::class_<HistogramReduction, Reduction, std::shared_ptr<HistogramReduction>>(module,
                                                                                 "_Histogram")
      .def(py::init(
          [](int64_t bins, double low, double high, const std::optional<MaskList>& region) {
            return Share(HistogramReduction::Create({bins, low, high}, OneDense(region)));
          }))
      .def_property_readonly("edges", Values(&HistogramReduction::Edges))
      .def_property_readonly("counts", Values(&HistogramReduction::BinCounts))
      .def_property_readonly("below", Number(&HistogramReduction::below))
      .def_property_readonly("above", Number(&HistogramReduction::above))
      .def_property_readonly("not_numbers", Number(&HistogramReduction::not_numbers));
  py::class_<CentreOfMassReduction, Reduction, std::shared_ptr<CentreOfMassReduction>>(
      module, "_CentreOfMass")
      .def(py::init([](const MaskList& selection) {
        return Share(CentreOfMassReduction::Create(*OneDense(selection)));
      }))
      .def_property_readonly("rows", Values(&CentreOfMassReduction::Rows))
      .def_property_readonly("columns", Values(&CentreOfMassReduction::Columns))
      .def_property_readonly("intensity", Values(&CentreOfMassReduction::Intensity));
  py::class_<RadialReduction, Reduction, std::shared_ptr<RadialReduction>>(module, "_Radial")
      .def(py::init([](std::pair<double, double> centre, double inner, double outer, int64_t rings,
                       int64_t sectors, const std::optional<MaskList>& selection) {
        return Share(RadialReduction::Create(
            {centre.first, centre.second, inner, outer, rings, sectors}, OneDense(selection)));
      }))
      .def_property_readonly("sums", Values(&RadialReduction::sums))
      .def_property_readonly("means", Values(&RadialReduction::Means))
      .def_property_readonly("pixels", Values(&RadialReduction::PixelCounts))
      .def_property_readonly("radii", Values(&RadialReduction::Radii));
}

}  // namespace penstock::python
