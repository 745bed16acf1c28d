#include "ingest/formats/chunked/frame_selection.h"

#include <fmt/format.h>

#include <cmath>

namespace penstock::ingest::chunked {

void AddFact(FrameSelection& selection, std::string path, Json value, std::string units,
             std::string evidence) {
  selection.facts.push_back(
      {std::move(path), std::move(value), std::move(units), std::move(evidence)});
}

std::optional<std::string> FitLinear(AxisStatement& axis, const std::vector<double>& values,
                                     uint64_t size) {
  if (values.size() < 2) return std::nullopt;
  const double step = values[1] - values[0];
  if (!std::isfinite(values[0]) || !std::isfinite(step) || step == 0) return std::nullopt;
  // Also when all are there, the steps are rounded to the precision of the file.
  const double last = values[0] + step * static_cast<double>(values.size() - 1);
  const double mean = (values.back() - values[0]) / static_cast<double>(values.size() - 1);
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = values[0] + mean * static_cast<double>(i);
    if (std::abs(values[i] - expected) <= 1e-3 * std::abs(mean)) continue;
    return fmt::format(
        "the coordinates are not linear (element {} is {:g}, not {:g}) and are left out", i,
        values[i], expected);
  }
  if (values.size() > 2 && std::abs(last - values.back()) > 1e-3 * std::abs(step)) {
    axis.step = mean;  // the first step is more rounded than the whole
  } else {
    axis.step = step;
  }
  axis.offset = values[0];
  // Two values stand for a linear axis, and so do edges of bins, one more than there are pixels.
  if (values.size() != size && values.size() != 2 && values.size() != size + 1) {
    return fmt::format("{} coordinates for an axis of {}", values.size(), size);
  }
  return std::nullopt;
}

void DropSingleAxes(FrameAxes& axes, const std::vector<uint64_t>& shape, bool keep_first) {
  for (size_t i = 0; i < axes.navigation.size() && axes.navigation.size() > 2;) {
    if (shape[axes.navigation[i]] == 1 && !(i == 0 && keep_first)) {
      axes.fixed[axes.navigation[i]] = 0;
      axes.navigation.erase(axes.navigation.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void DescribeShape(const FrameSelection& selection, const std::vector<uint64_t>& shape,
                   int64_t frames, const std::string& place, const std::string& file,
                   SourceDescription& description) {
  const std::vector<size_t>& navigation = selection.axes.navigation;
  const std::string evidence = fmt::format("{}: shape {}", place, ShapeText(shape));
  if (navigation.size() < 2) {
    description.scan_shapes.push_back({{1, frames, true}, evidence, 0});
    return;
  }
  const auto columns = static_cast<int64_t>(shape[navigation.back()]);
  description.scan_shapes.push_back({{frames / columns, columns, false}, evidence, 0});
  if (navigation.size() == 2) return;
  Anomaly anomaly;
  anomaly.file = file;
  anomaly.message = fmt::format(
      "{} has {} navigation axes: all but the last are folded into the rows of the scan", place,
      navigation.size());
  description.anomalies.push_back(std::move(anomaly));
}

void DescribeAxes(const FrameSelection& selection, SourceDescription& description) {
  const FrameAxes& axes = selection.axes;
  if (selection.statements.size() != axes.fixed.size()) return;
  const auto add = [&](size_t axis, const char* name, const char* what) {
    const AxisStatement& statement = selection.statements[axis];
    if (!statement.step) return;
    AxisCalibration calibration;
    calibration.offset = statement.offset;
    calibration.step = *statement.step;
    calibration.units = statement.units;
    calibration.long_name =
        statement.name.empty() ? std::string(what) : fmt::format("{} ({})", what, statement.name);
    if (!statement.units.empty()) calibration.long_name += ", " + statement.units;
    calibration.evidence = statement.evidence;
    description.axes[name] = std::move(calibration);
  };
  add(axes.rows, "axis_j", "detector rows");
  add(axes.columns, "axis_i", "detector columns");
  if (!selection.shape_is_evidence) return;
  const std::vector<size_t>& navigation = axes.navigation;
  if (!navigation.empty()) add(navigation.back(), "axis_k", "scan position, fast axis");
  if (navigation.size() == 2) add(navigation.front(), "axis_m", "scan position, slow axis");
}

}  // namespace penstock::ingest::chunked
