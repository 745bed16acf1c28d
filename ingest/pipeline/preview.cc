#include "ingest/pipeline/preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "penstock/base/display.h"
#include "penstock/base/file.h"
#include "penstock/base/png.h"

namespace penstock::ingest {

namespace {

double SumOf(const FrameStatistics& frame, ElementType type) {
  if (!IsInteger(type)) return frame.sum.as_float;
  return IsSigned(type) ? static_cast<double>(frame.sum.as_int)
                        : static_cast<double>(frame.sum.as_uint);
}

Status WritePicture(const std::filesystem::path& path, ImageShape shape,
                    const std::vector<double>& values, DisplayScale scale, std::string title) {
  const DisplayRange range = RobustRange(values);
  const std::string legend =
      fmt::format("{}; black {:g}, white {:g}, {}", title, range.low, range.high,
                  scale == DisplayScale::kLinear ? "linear" : "logarithmic");
  return WriteGreyPng(path, shape, std::span<const uint8_t>(ToGrey8(values, range, scale)),
                      {{"Title", std::move(title)}, {"Description", legend}});
}

}  // namespace

Preview::Preview(const DatasetShape& shape) : shape_(shape) {
  if (IsComplex(shape.element_type)) return;
  pattern_.resize(static_cast<size_t>(shape.signal.pixel_count()));
  if (shape.scan.is_series) return;
  intensity_.resize(static_cast<size_t>(shape.frame_count()),
                    std::numeric_limits<double>::quiet_NaN());
}

void Preview::AddBlock(const BlockRegion& region, const BlockStatistics& statistics) {
  if (pattern_.empty()) return;
  const std::lock_guard lock(mutex_);
  const std::vector<double>& pattern = statistics.sum_pattern();
  for (size_t i = 0; i < pattern.size(); ++i) pattern_[i] += static_cast<float>(pattern[i]);
  for (size_t i = 0; i < statistics.frames().size(); ++i) {
    if (!statistics.frame_present()[i]) continue;
    ++frames_;
    if (!intensity_.empty()) {
      intensity_[static_cast<size_t>(region.first_frame) + i] =
          SumOf(statistics.frames()[i], shape_.element_type);
    }
  }
}

Status Preview::Write(const std::filesystem::path& dataset_directory) const {
  if (pattern_.empty() || frames_ == 0) return Status::Ok();
  const std::filesystem::path folder = dataset_directory / "preview";
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(folder));
  std::vector<double> mean(pattern_.begin(), pattern_.end());
  for (double& value : mean) value /= static_cast<double>(frames_);
  PENSTOCK_RETURN_IF_ERROR(WritePicture(folder / "mean_pattern.png",
                                        {shape_.signal.rows, shape_.signal.columns}, mean,
                                        DisplayScale::kLogarithmic, "mean pattern"));
  if (intensity_.empty()) return Status::Ok();
  return WritePicture(folder / "total_intensity.png", {shape_.scan.rows, shape_.scan.columns},
                      intensity_, DisplayScale::kLinear, "total intensity");
}

}  // namespace penstock::ingest
