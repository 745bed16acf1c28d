// An experiment of HyperSpy's tree, in HDF5 (.hspy) as in Zarr (.zspy): a group with data, axis-0,
// axis-1, ... and metadata, whose values are attributes. docs/formats/hspy.md.

#ifndef PENSTOCK_INGEST_FORMATS_HSPY_EXPERIMENT_H_
#define PENSTOCK_INGEST_FORMATS_HSPY_EXPERIMENT_H_

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "ingest/formats/chunked/frame_selection.h"
#include "ingest/formats/chunked/json_values.h"
#include "penstock/base/result.h"

namespace penstock::ingest::hspy {

// `Node` is a group of either kind of file, with AddAnomaly and SetLinear beside it. Fills the
// axes, their statements and the facts of a selection. `advice`: what to do about an experiment
// whose signal is no image.
template <typename Node>
class ExperimentReader {
 public:
  ExperimentReader(const Node& experiment, std::vector<uint64_t> shape, std::string file,
                   std::string advice, chunked::FrameSelection& selection)
      : experiment_(experiment),
        shape_(std::move(shape)),
        file_(std::move(file)),
        advice_(std::move(advice)),
        selection_(selection) {}

  Status Read() {
    PENSTOCK_RETURN_IF_ERROR(ReadAxes());
    ReadFacts();
    return Status::Ok();
  }

 private:
  std::string Evidence(const Node& group, const std::string& name) const {
    return fmt::format("{}: {}", group.Place(), name);
  }

  // "_None_" is how the writer spells None.
  static std::string Stated(const std::optional<std::string>& text) {
    return !text || *text == "_None_" || *text == "<undefined>" || *text == "None" ? "" : *text;
  }

  Status ReadAxes() {
    const size_t rank = shape_.size();
    chunked::FrameAxes& axes = selection_.axes;
    axes.fixed.assign(rank, 0);
    selection_.statements.resize(rank);
    std::vector<std::optional<bool>> navigate(rank);
    size_t groups = 0;
    for (const std::string& name : experiment_.Children()) groups += name.starts_with("axis-");
    for (size_t i = 0; i < rank; ++i) {
      const auto axis = experiment_.Find(fmt::format("axis-{}", i));
      if (!axis || !axis->is_group()) continue;
      ReadAxis(*axis, i, navigate[i]);
    }
    if (groups != rank) {
      AddAnomaly(selection_, experiment_, AnomalyKind::kOther,
                 fmt::format("{} axes are described, the data has {}", groups, rank));
    }
    PENSTOCK_ASSIGN_OR_RETURN(const size_t signals, SignalAxes(navigate));
    if (signals != 2) {
      return Error::Unsupported("the signal of this experiment is no image")
          .In(file_)
          .At(experiment_.path())
          .Expected("two signal axes")
          .Found(fmt::format("{} of {}", signals, chunked::ShapeText(shape_)))
          .Advice(advice_);
    }
    return Status::Ok();
  }

  void ReadAxis(const Node& axis, size_t i, std::optional<bool>& navigate) {
    chunked::AxisStatement& statement = selection_.statements[i];
    if (const auto value = axis.Attribute("navigate"); value && value->is_boolean()) {
      navigate = *value == true;
    }
    if (const auto size = axis.NumberAttribute("size");
        size && *size != static_cast<double>(shape_[i])) {
      AddAnomaly(selection_, axis, AnomalyKind::kOther,
                 fmt::format("the axis says {} points, the data has {}", *size, shape_[i]));
    }
    statement.name = Stated(axis.TextAttribute("name"));
    statement.units = Stated(axis.TextAttribute("units"));
    statement.evidence = Evidence(axis, "scale, offset, units");
    const std::string type = axis.TextAttribute("_type").value_or("UniformDataAxis");
    if (type == "DataAxis") {
      std::vector<double> values;
      if (const auto list = axis.Attribute("axis", 1 << 16)) values = chunked::AsNumbers(*list);
      if (const auto list = axis.Find("axis"); values.empty() && list) values = list->Numbers();
      SetLinear(statement, values, shape_[i], axis, selection_);
      return;
    }
    if (type != "UniformDataAxis") {
      AddAnomaly(selection_, axis, AnomalyKind::kOther,
                 fmt::format("an axis of type {} is left out", type));
      return;
    }
    const auto scale = axis.NumberAttribute("scale");
    if (!scale || *scale == 0) {
      AddAnomaly(selection_, axis, AnomalyKind::kOther, "the axis has no usable scale");
      return;
    }
    // What HyperSpy writes for an axis that nobody calibrated.
    const double offset = axis.NumberAttribute("offset").value_or(0);
    if (statement.units.empty() && *scale == 1 && offset == 0) return;
    statement.step = scale;
    statement.offset = offset;
  }

  // Fills the roles; gives the number of signal axes.
  Result<size_t> SignalAxes(const std::vector<std::optional<bool>>& navigate) {
    const size_t rank = shape_.size();
    std::vector<bool> is_signal(rank, false);
    if (std::ranges::all_of(navigate, [](const auto& flag) { return flag.has_value(); })) {
      for (size_t i = 0; i < rank; ++i) is_signal[i] = !*navigate[i];
    } else {
      std::string record_by;
      for (const char* group : {"metadata/Signal", "mapped_parameters", "metadata"}) {
        const auto found = experiment_.Find(group);
        if (record_by.empty() && found) {
          record_by = Stated(found->TextAttribute("record_by"));
        }
      }
      if (record_by.empty() && rank > 2) {
        return Error::Contradiction("nothing says which axes are the signal")
            .In(file_)
            .At(experiment_.path())
            .Expected("navigate of each axis, or record_by")
            .Found("neither")
            .Advice(advice_);
      }
      const size_t signals = record_by == "spectrum" ? 1 : std::min<size_t>(2, rank);
      for (size_t i = rank - signals; i < rank; ++i) is_signal[i] = true;
    }
    std::vector<size_t> signal;
    for (size_t i = 0; i < rank; ++i) {
      if (is_signal[i]) {
        signal.push_back(i);
      } else {
        selection_.axes.navigation.push_back(i);
      }
    }
    if (signal.size() == 2) {
      selection_.axes.rows = signal[0];
      selection_.axes.columns = signal[1];
    }
    return signal.size();
  }

  // A number of the metadata with its usual unit, unless a sibling NAME_units says another.
  void AddNumber(const Node& group, const std::string& name, const std::string& path,
                 std::string units) {
    const auto value = group.NumberAttribute(name);
    if (!value) return;
    if (const auto stated = group.TextAttribute(name + "_units")) units = *stated;
    chunked::AddFact(selection_, path, *value, std::move(units), Evidence(group, name));
  }

  void ReadFacts() {
    const auto metadata = experiment_.Find("metadata");
    if (!metadata) return;
    if (const auto general = metadata->Find("General")) {
      const std::string title = Stated(general->TextAttribute("title"));
      if (!title.empty())
        chunked::AddFact(selection_, "title", title, "", Evidence(*general, "title"));
    }
    const auto tem = metadata->Find("Acquisition_instrument/TEM");
    if (!tem) return;
    const std::string event = "measurement/event1/instrument/";
    AddNumber(*tem, "beam_energy", event + "ebeam_column/electron_source/voltage", "kV");
    AddNumber(*tem, "camera_length", event + "optics/camera_length", "mm");
    AddNumber(*tem, "magnification", event + "optics/magnification", "");
    AddNumber(*tem, "convergence_angle", event + "optics/semi_convergence_angle", "mrad");
    AddNumber(*tem, "beam_current", event + "ebeam_column/electron_source/emission_current", "nA");
    const std::string microscope = Stated(tem->TextAttribute("microscope"));
    if (!microscope.empty()) {
      chunked::AddFact(selection_, "measurement/instrument/name", microscope, "",
                       Evidence(*tem, "microscope"));
    }
    const auto detectors = tem->Find("Detector");
    if (!detectors) return;
    const std::vector<std::string> names = detectors->Children(64);
    for (const std::string& name : names) {
      const auto detector = detectors->Find(name);
      if (!detector || names.size() > 1) continue;
      AddNumber(*detector, "exposure", event + "detector1/count_time", "s");
      AddNumber(*detector, "dwell_time", event + "ebeam_column/scan_controller/dwell_time", "s");
    }
  }

  const Node& experiment_;
  const std::vector<uint64_t> shape_;
  const std::string file_;
  const std::string advice_;
  chunked::FrameSelection& selection_;
};

}  // namespace penstock::ingest::hspy

#endif  // PENSTOCK_INGEST_FORMATS_HSPY_EXPERIMENT_H_
