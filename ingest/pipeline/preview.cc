#include "ingest/pipeline/preview.h"

#include <fmt/format.h>

#include <limits>

#include "penstock/base/display.h"
#include "penstock/base/file.h"
#include "penstock/base/png.h"

namespace penstock::ingest {

namespace {

// Of the mean pattern's picture; larger detectors are binned.
constexpr int64_t kLongestSide = 1280;

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

Preview::Preview(const DatasetShape& shape, std::optional<BrightDisk> disk)
    : shape_(shape), disk_(disk) {
  if (IsComplex(shape.element_type)) return;
  pattern_.emplace(shape.signal, kLongestSide);
  if (shape.scan.is_series) return;
  const auto frames = static_cast<size_t>(shape.frame_count());
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  intensity_.assign(frames, kNone);
  if (!disk) return;
  bright_.assign(frames, kNone);
  dark_.assign(frames, kNone);
}

uint64_t Preview::MemoryBytes(const DatasetShape& shape) {
  const int64_t bin = BinnedPattern::BinFor(shape.signal, kLongestSide);
  const auto pixels = static_cast<uint64_t>((shape.signal.rows + bin - 1) / bin *
                                            ((shape.signal.columns + bin - 1) / bin));
  return pixels * sizeof(double) + static_cast<uint64_t>(shape.frame_count()) * 3 * sizeof(float);
}

void Preview::AddBlock(const BlockRegion& region, const BlockStatistics& statistics,
                       std::span<const DiskSum> disk_sums) {
  if (!pattern_) return;
  const std::lock_guard lock(mutex_);
  statistics.VisitSumPattern([this](int64_t first_pixel, std::span<const double> sums) {
    pattern_->Add(first_pixel, sums);
  });
  for (size_t i = 0; i < statistics.frames().size(); ++i) {
    if (!statistics.frame_present()[i]) continue;
    ++frames_;
    if (intensity_.empty()) continue;
    const size_t position = static_cast<size_t>(region.first_frame) + i;
    const double sum = SumOf(statistics.frames()[i], shape_.element_type);
    intensity_[position] = static_cast<float>(sum);
    if (!disk_) continue;
    bright_[position] = static_cast<float>(disk_sums[i].bright);
    dark_[position] = static_cast<float>(sum - disk_sums[i].near);
  }
}

Status Preview::Write(const std::filesystem::path& dataset_directory) const {
  if (!pattern_ || frames_ == 0) return Status::Ok();
  const std::filesystem::path folder = dataset_directory / "preview";
  PENSTOCK_RETURN_IF_ERROR(CreateDirectories(folder));
  std::string title = "mean pattern";
  if (pattern_->bin() > 1) {
    title += fmt::format(", mean of {0} x {0} pixels of the detector", pattern_->bin());
  }
  PENSTOCK_RETURN_IF_ERROR(WritePicture(folder / "mean_pattern.png", pattern_->shape(),
                                        pattern_->Mean(frames_), DisplayScale::kLogarithmic,
                                        std::move(title)));
  const auto write_scan = [&](const char* name, const std::vector<float>& values,
                              std::string title_of_scan) {
    return WritePicture(folder / name, {shape_.scan.rows, shape_.scan.columns},
                        {values.begin(), values.end()}, DisplayScale::kLinear,
                        std::move(title_of_scan));
  };
  if (intensity_.empty()) return Status::Ok();
  PENSTOCK_RETURN_IF_ERROR(write_scan("total_intensity.png", intensity_, "total intensity"));
  if (!disk_) return Status::Ok();
  PENSTOCK_RETURN_IF_ERROR(write_scan(
      "bright_field.png", bright_,
      fmt::format("bright field, disk:{:g},{:g},{:g}", disk_->row, disk_->column, disk_->radius)));
  return write_scan("dark_field.png", dark_,
                    fmt::format("dark field, beyond {:g} of disk:{:g},{:g},{:g}", kDarkFieldFrom,
                                disk_->row, disk_->column, disk_->radius));
}

}  // namespace penstock::ingest
