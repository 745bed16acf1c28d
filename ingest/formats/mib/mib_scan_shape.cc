#include "ingest/formats/mib/mib_scan_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace penstock::ingest {

namespace {

// Frames whose headers are read for the time-stamp analysis: two lines of 2048.
constexpr int64_t kMaxTimedFrames = 4097;
// Far beyond any detector's memory; keeps products of header numbers inside int64.
constexpr int64_t kMaxAxis = int64_t{1} << 24;
constexpr int64_t kMaxFrames = int64_t{1} << 48;

class Finder {
 public:
  Finder(const MibSeries& series, bool part_of_series, int64_t lost_frames)
      : series_(series),
        part_of_series_(part_of_series),
        acquired_(series.frame_count() + lost_frames) {}

  Result<MibScanShapes> Find();

 private:
  void Report(AnomalyKind kind, std::string message);
  void Add(ScanShape shape, std::string evidence, int64_t extra_frames_per_row = 0);
  void AddFromFrames(ScanShape shape, std::string evidence);
  void FromScanSize();
  void FromTrigger();
  Status FromTimes();
  void FromSquare();
  void CheckCount();
  void NameContradictions(size_t ranked);
  Result<std::vector<int64_t>> Times() const;
  std::string SidecarName() const { return series_.sidecar->path.filename().string(); }

  const MibSeries& series_;
  const bool part_of_series_;
  const int64_t acquired_;              // frames, with those that are lost
  std::optional<int64_t> requested_;    // Frames in Acquisition
  std::optional<int64_t> per_trigger_;  // Frames per Trigger
  std::optional<int64_t> scan_frames_;  // ScanX * ScanY
  MibScanShapes result_;
};

void Finder::Report(AnomalyKind kind, std::string message) {
  Anomaly anomaly;
  anomaly.kind = kind;
  anomaly.file = series_.sidecar ? series_.sidecar->path.string() : series_.first().path.string();
  anomaly.message = std::move(message);
  result_.anomalies.push_back(std::move(anomaly));
}

void Finder::Add(ScanShape shape, std::string evidence, int64_t extra_frames_per_row) {
  result_.shapes.push_back({shape, std::move(evidence), extra_frames_per_row});
}

void Finder::AddFromFrames(ScanShape shape, std::string evidence) {
  Add(shape, std::move(evidence));
  result_.shapes.back().from_frames = true;
}

void Finder::FromScanSize() {
  const MibSidecar& sidecar = *series_.sidecar;
  if (!sidecar.Get(mib_key::kScanX) && !sidecar.Get(mib_key::kScanY)) return;
  const auto columns = sidecar.GetCount(mib_key::kScanX);
  const auto rows = sidecar.GetCount(mib_key::kScanY);
  if (!columns || !rows || *columns < 1 || *rows < 1 || *columns > kMaxAxis || *rows > kMaxAxis) {
    Report(AnomalyKind::kOther,
           fmt::format("ScanX = '{}' and ScanY = '{}' are not a scan size: ignored",
                       sidecar.Get(mib_key::kScanX).value_or(""),
                       sidecar.Get(mib_key::kScanY).value_or("")));
    return;
  }
  scan_frames_ = *rows * *columns;
  int64_t extra_per_row = 0;
  if (requested_.value_or(0) > 0) {
    const int64_t surplus = *requested_ - *scan_frames_;
    if (surplus < 0) {
      Report(AnomalyKind::kHeaderContradiction,
             fmt::format("ScanX = {} times ScanY = {} is {}, but Frames in Acquisition is {}",
                         *columns, *rows, *scan_frames_, *requested_));
    } else if (surplus > 0) {
      // Line skip asks for frames at the end of each line; scan generators add single triggers.
      if (surplus % *rows == 0 && *rows > 2) extra_per_row = surplus / *rows;
      Report(AnomalyKind::kExtraFrames,
             fmt::format("Frames in Acquisition = {} is {} more than ScanX = {} times ScanY = {}; "
                         "{}",
                         *requested_, surplus, *columns, *rows,
                         extra_per_row != 0
                             ? fmt::format("taken as {} at the end of each line", extra_per_row)
                             : std::string("the last ones are taken to lie outside the scan")));
    }
  }
  Add({.rows = *rows, .columns = *columns},
      fmt::format("{}: ScanX = {}, ScanY = {}", SidecarName(), *columns, *rows), extra_per_row);
}

void Finder::FromTrigger() {
  if (!requested_) return;
  if (*requested_ == 0) {
    AddFromFrames(
        {.rows = 1, .columns = acquired_, .is_series = true},
        fmt::format("{}: Frames in Acquisition = 0 (continuous acquisition)", SidecarName()));
    return;
  }
  if (!per_trigger_ || *per_trigger_ < 1) return;
  if (*per_trigger_ > *requested_) {
    Report(AnomalyKind::kHeaderContradiction,
           fmt::format("Frames per Trigger = {} is more than Frames in Acquisition = {}",
                       *per_trigger_, *requested_));
    return;
  }
  if (*per_trigger_ == 1 || *requested_ % *per_trigger_ != 0) return;
  const int64_t rows = *requested_ / *per_trigger_;
  Add({.rows = rows, .columns = *per_trigger_, .is_series = rows == 1},
      fmt::format("{}: Frames per Trigger = {}, Frames in Acquisition = {}", SidecarName(),
                  *per_trigger_, *requested_));
}

Result<std::vector<int64_t>> Finder::Times() const {
  std::vector<int64_t> utc;
  std::vector<int64_t> local;
  const int64_t frames = std::min(series_.frame_count(), kMaxTimedFrames);
  for (size_t i = 0; i < series_.files.size() && series_.first_frames[i] < frames; ++i) {
    const MibFile& file = series_.files[i];
    const auto add = [&utc, &local](const MibFrameHeader& header) {
      if (header.utc_unix_ns) utc.push_back(*header.utc_unix_ns);
      if (header.local_time_ns) local.push_back(*header.local_time_ns);
    };
    add(file.first_header);
    const int64_t count = std::min(file.frame_count, frames - series_.first_frames[i]);
    if (count == 1) continue;
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenMibFile(file.path));
    for (int64_t k = 1; k < count; ++k) {
      PENSTOCK_ASSIGN_OR_RETURN(const MibFrameHeader header,
                                ReadMibFrameHeader(fd.get(), file, k, series_.first_frames[i] + k));
      add(header);
    }
  }
  const auto complete = static_cast<size_t>(frames);
  if (utc.size() == complete) return utc;
  if (local.size() == complete) return local;
  return std::vector<int64_t>();
}

Status Finder::FromTimes() {
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<int64_t> times, Times());
  const auto line = LineLengthFromTimes(times);
  if (!line) return {};
  const int64_t frames = requested_.value_or(0) > 0 ? *requested_ : acquired_;
  if (frames % *line != 0) return {};
  AddFromFrames(
      {.rows = frames / *line, .columns = *line},
      fmt::format("weaker: time stamps of the first {} frames: the gap after every {} frames is "
                  "longer than the others, as at the end of a scan line",
                  times.size(), *line));
  return {};
}

void Finder::FromSquare() {
  const int64_t frames = requested_.value_or(0) > 0 ? *requested_ : acquired_;
  if (frames < 4 || frames > kMaxFrames) return;
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(frames))));
  if (side * side != frames) return;
  AddFromFrames(
      {.rows = side, .columns = side},
      fmt::format("weakest: {} frames are {} squared; nothing in the files says that it is a scan",
                  frames, side));
}

void Finder::CheckCount() {
  const int64_t frames = series_.frame_count();
  if (part_of_series_) return;
  const bool by_request = requested_.value_or(0) > 0;
  const std::optional<int64_t> due = by_request ? requested_ : scan_frames_;
  if (!due || *due == frames) return;
  const std::string_view source = by_request ? "Frames in Acquisition" : "ScanX times ScanY";
  if (frames < *due) {
    Report(AnomalyKind::kMissingFrame,
           fmt::format("{} is {}, the files hold {} complete frames: {} are missing, as after an "
                       "interrupted scan",
                       source, *due, frames, *due - frames));
  } else {
    Report(AnomalyKind::kExtraFrames,
           fmt::format("{} is {}, the files hold {} complete frames: {} more", source, *due, frames,
                       frames - *due));
  }
}

// Among the first `ranked` shapes, which come from the files; a square is only a guess.
void Finder::NameContradictions(size_t ranked) {
  for (size_t i = 1; i < ranked; ++i) {
    const ScanShapeEvidence& best = result_.shapes.front();
    const ScanShapeEvidence& other = result_.shapes[i];
    if (best.shape.rows == other.shape.rows && best.shape.columns == other.shape.columns) continue;
    // Frames per trigger include those that line skip adds.
    if (best.shape.rows == other.shape.rows &&
        best.shape.columns + best.extra_frames_per_row == other.shape.columns) {
      continue;
    }
    Report(AnomalyKind::kOther,
           fmt::format("two statements about the scan shape: {} x {} ({}) and {} x {} ({}); the "
                       "first is stronger",
                       best.shape.rows, best.shape.columns, best.evidence, other.shape.rows,
                       other.shape.columns, other.evidence));
  }
}

Result<MibScanShapes> Finder::Find() {
  bool continuous = false;
  if (series_.sidecar) {
    requested_ = series_.sidecar->GetCount(mib_key::kFrames);
    if (requested_ && *requested_ > kMaxFrames) {
      Report(AnomalyKind::kOther,
             fmt::format("Frames in Acquisition = {} is not credible: ignored", *requested_));
      requested_.reset();
    }
    per_trigger_ = series_.sidecar->GetCount(mib_key::kFramesPerTrigger);
    continuous = requested_ == 0;
    FromScanSize();
    FromTrigger();
  }
  // The last resorts are for what the .hdr file leaves open.
  if (result_.shapes.empty()) PENSTOCK_RETURN_IF_ERROR(FromTimes());
  NameContradictions(result_.shapes.size());
  if (!continuous) FromSquare();
  CheckCount();
  return std::move(result_);
}

}  // namespace

std::optional<int64_t> LineLengthFromTimes(std::span<const int64_t> times_ns) {
  // Both clocks are coarser than they look: differences below this are no evidence.
  constexpr int64_t kLeastDifference = 1000;
  if (times_ns.size() < 4) return std::nullopt;
  std::vector<int64_t> gaps(times_ns.size() - 1);
  for (size_t i = 0; i < gaps.size(); ++i) {
    if (times_ns[i + 1] < times_ns[i]) return std::nullopt;  // a clock that was set back
    gaps[i] = times_ns[i + 1] - times_ns[i];
  }
  const int64_t mean = (times_ns.back() - times_ns.front()) / static_cast<int64_t>(gaps.size());
  const auto first_long = std::ranges::find_if(gaps, [mean](int64_t gap) { return gap > mean; });
  if (first_long == gaps.end()) return std::nullopt;
  const int64_t line = first_long - gaps.begin() + 1;
  if (line < 2) return std::nullopt;
  int64_t shortest_end = std::numeric_limits<int64_t>::max();
  int64_t longest_inside = 0;
  int64_t shortest_inside = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < gaps.size(); ++i) {
    if ((static_cast<int64_t>(i) + 1) % line == 0) {
      shortest_end = std::min(shortest_end, gaps[i]);
    } else {
      longest_inside = std::max(longest_inside, gaps[i]);
      shortest_inside = std::min(shortest_inside, gaps[i]);
    }
  }
  const int64_t jitter = longest_inside - shortest_inside;
  if (shortest_end - longest_inside < std::max(kLeastDifference, 4 * jitter)) return std::nullopt;
  return line;
}

Result<MibScanShapes> FindMibScanShapes(const MibSeries& series, bool part_of_series,
                                        int64_t lost_frames) {
  return Finder(series, part_of_series, lost_frames).Find();
}

}  // namespace penstock::ingest
