#include "ingest/pipeline/lost_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace penstock::ingest {

namespace {

constexpr size_t kListedGaps = 8;

// A gap and the scan positions [first_position, last_position) that it takes.
struct LostPositions {
  MissingFrames gap;
  int64_t first_position = 0;
  int64_t last_position = 0;
};

std::vector<LostPositions> GapsInScan(const IngestPlan& plan) {
  const SourceDescription& source = plan.source->description();
  std::vector<LostPositions> inside;
  for (size_t i = 0; i < plan.mapping.gaps.size(); ++i) {
    const FrameGap& gap = plan.mapping.gaps[i];
    const int64_t first = plan.mapping.PositionsBefore(gap.first_number);
    const int64_t last = plan.mapping.PositionsBefore(gap.first_number + gap.count);
    if (last > first) inside.push_back({source.missing_frames[i], first, last});
  }
  return inside;
}

std::string PositionsText(const LostPositions& lost) {
  return lost.last_position - lost.first_position == 1
             ? fmt::format("scan position {}", lost.first_position)
             : fmt::format("scan positions {} to {}", lost.first_position, lost.last_position - 1);
}

std::string GapText(const LostPositions& lost) {
  return fmt::format("{} frame{} missing before frame {} of the source ({}): {}", lost.gap.count,
                     lost.gap.count == 1 ? "" : "s", lost.gap.before_frame, lost.gap.evidence,
                     PositionsText(lost));
}

// The file of the frame that follows the gap, where the source's anomalies tell it.
std::string FileOf(const IngestPlan& plan, const MissingFrames& gap) {
  const std::vector<Anomaly>& anomalies = plan.source->description().anomalies;
  const auto same = std::ranges::find_if(anomalies, [&gap](const Anomaly& anomaly) {
    return anomaly.kind == AnomalyKind::kMissingFrame && anomaly.frame == gap.before_frame;
  });
  return same == anomalies.end() || same->file.empty() ? plan.source_path.string() : same->file;
}

}  // namespace

std::string ShapeText(const ScanShape& shape) {
  return shape.is_series ? fmt::format("series of {}", shape.columns)
                         : fmt::format("{},{}", shape.rows, shape.columns);
}

Status CheckLostFrames(const IngestPlan& plan) {
  const std::vector<LostPositions> inside = GapsInScan(plan);
  if (inside.empty()) return Status::Ok();
  const ScanShape& scan = plan.mapping.scan;
  const ShapeCandidate& chosen = plan.shape_candidates.front();
  int64_t lost = 0;
  for (const LostPositions& one : inside) lost += one.gap.count;
  const bool only_from_gaps =
      !plan.options.scan_shape && plan.source->description().scan_shapes.empty();
  const int64_t most = only_from_gaps ? plan.mapping.source_frames : scan.frame_count();
  if (lost > most) {
    const auto& largest = *std::ranges::max_element(
        inside, {}, [](const LostPositions& one) { return one.gap.count; });
    return Error::Contradiction("the gaps in the numbering of the frames are larger than the scan")
        .In(FileOf(plan, largest.gap))
        .AtFrame(largest.gap.before_frame)
        .Expected(fmt::format("at most {} lost frames ({})", most,
                              only_from_gaps ? "as many as the source holds" : chosen.evidence))
        .Found(fmt::format("{}; {} in all", GapText(largest), lost))
        .Advice(std::string(kGapAdvice));
  }
  if (plan.options.missing != MissingPolicy::kRefuse) return Status::Ok();
  std::string more;
  if (inside.size() > 1) {
    more = fmt::format("; with {} more gaps {} positions are lost", inside.size() - 1,
                       plan.mapping.LostPositions());
  }
  return Error::Contradiction("frames are missing inside the scan")
      .In(FileOf(plan, inside.front().gap))
      .AtFrame(inside.front().gap.before_frame)
      .Expected(fmt::format("frames numbered without a gap for scan {} ({})", ShapeText(scan),
                            chosen.evidence))
      .Found(GapText(inside.front()) + more)
      .Advice(
          "look for a file that was not copied; --missing=zero leaves the lost positions empty and "
          "marks them, --missing=nan fills them with NaN, --missing=skip does so in a scan and "
          "closes the gap in a series; "
          "--sync-offset begins the scan behind frames missing in front");
}

void NoteLostFrames(IngestPlan& plan) {
  if (plan.mapping.gaps.empty() && !plan.source->description().missing_frames.empty()) {
    int64_t gaps = 0;
    for (const MissingFrames& gap : plan.source->description().missing_frames) {
      gaps += gap.before_frame > 0 ? 1 : 0;
    }
    if (gaps > 0) {
      plan.remarks.push_back(fmt::format(
          "{} gaps in the numbering of the series are closed: later frames move up", gaps));
    }
    return;
  }
  const std::vector<LostPositions> inside = GapsInScan(plan);
  for (size_t i = 0; i < inside.size() && i < kListedGaps; ++i) {
    plan.remarks.push_back(GapText(inside[i]) + " marked as missing");
  }
  if (inside.size() > kListedGaps) {
    plan.remarks.push_back(fmt::format("and {} more gaps, {} scan positions lost in all",
                                       inside.size() - kListedGaps, plan.mapping.LostPositions()));
  }
}

}  // namespace penstock::ingest
