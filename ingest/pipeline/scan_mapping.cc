#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

namespace {

// Far above any acquisition; keeps every sum of frame numbers within 64 bits.
constexpr int64_t kMostLost = int64_t{1} << 40;

// The number in the acquisition, whether there is such a frame or not.
int64_t NumberAt(const ScanMapping& mapping, int64_t position) {
  const int64_t row = position / mapping.scan.columns;
  return mapping.first_source_frame + position + row * mapping.extra_frames_per_row;
}

// The last gap that begins at or before `number`; null where there is none.
const FrameGap* GapBefore(const std::vector<FrameGap>& gaps, int64_t number) {
  const auto after = std::ranges::upper_bound(gaps, number, {}, &FrameGap::first_number);
  return after == gaps.begin() ? nullptr : &*(after - 1);
}

}  // namespace

Result<std::vector<FrameGap>> NumberGaps(std::span<const MissingFrames> missing,
                                         int64_t source_frames) {
  std::vector<FrameGap> gaps;
  gaps.reserve(missing.size());
  int64_t lost = 0;
  int64_t previous = -1;
  for (const MissingFrames& gap : missing) {
    if (gap.before_frame <= previous || gap.before_frame >= source_frames || gap.count < 1) {
      return Error::Contradiction("not a gap between the frames of the source")
          .Expected(fmt::format("at least 1 frame before one of the frames {} to {}", previous + 1,
                                source_frames - 1))
          .Found(fmt::format("{} before frame {} ({})", gap.count, gap.before_frame, gap.evidence));
    }
    if (gap.count > kMostLost - lost) {
      return Error::Contradiction("a gap in the numbering of the frames is not credible")
          .AtFrame(gap.before_frame)
          .Expected(fmt::format("at most {} lost frames", kMostLost))
          .Found(fmt::format("{} ({})", gap.count, gap.evidence));
    }
    gaps.push_back({gap.before_frame, gap.before_frame + lost, gap.count});
    lost += gap.count;
    previous = gap.before_frame;
  }
  return gaps;
}

int64_t ScanMapping::NumberCount() const {
  if (gaps.empty()) return source_frames;
  const FrameGap& last = gaps.back();
  return source_frames + (last.first_number - last.before_frame) + last.count;
}

int64_t ScanMapping::PositionsBefore(int64_t number) const {
  int64_t low = 0;
  int64_t high = scan.frame_count();
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (NumberAt(*this, middle) < number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

int64_t ScanMapping::SourceFramesBefore(int64_t number) const {
  const FrameGap* gap = GapBefore(gaps, number);
  const int64_t frames =
      gap == nullptr
          ? number
          : gap->before_frame + std::max<int64_t>(0, number - gap->first_number - gap->count);
  return std::clamp<int64_t>(frames, 0, source_frames);
}

int64_t ScanMapping::SourceFrame(int64_t position) const {
  const int64_t number = NumberAt(*this, position);
  const FrameGap* gap = GapBefore(gaps, number);
  int64_t frame = number;
  if (gap != nullptr) {
    const int64_t behind = number - gap->first_number - gap->count;
    if (behind < 0) return -1;
    frame = gap->before_frame + behind;
  }
  return frame >= 0 && frame < source_frames ? frame : -1;
}

ScanMapping::Run ScanMapping::RunAt(int64_t position, int64_t limit) const {
  assert(position >= 0 && position < scan.frame_count() && limit > 0);
  Run run{1, SourceFrame(position)};
  const int64_t last = std::min(limit, scan.frame_count() - position);
  while (run.count < last) {
    const int64_t next = SourceFrame(position + run.count);
    if (next != (run.source < 0 ? -1 : run.source + run.count)) break;
    ++run.count;
  }
  return run;
}

int64_t ScanMapping::MissingInFront() const { return PositionsBefore(0); }

int64_t ScanMapping::MissingAtEnd() const {
  const int64_t front = MissingInFront();
  int64_t recorded = PositionsBefore(NumberCount());
  while (recorded > front && SourceFrame(recorded - 1) < 0) {
    recorded = PositionsBefore(GapBefore(gaps, NumberAt(*this, recorded - 1))->first_number);
  }
  return scan.frame_count() - std::max(recorded, front);
}

int64_t ScanMapping::LostPositions() const {
  int64_t lost = 0;
  for (const FrameGap& gap : gaps) {
    lost += PositionsBefore(gap.first_number + gap.count) - PositionsBefore(gap.first_number);
  }
  return lost;
}

int64_t ScanMapping::UnusedInFront() const { return SourceFramesBefore(first_source_frame); }

int64_t ScanMapping::UnusedAtEnd() const {
  const int64_t behind = NumberAt(*this, scan.frame_count() - 1) + 1 + extra_frames_per_row;
  return source_frames - SourceFramesBefore(behind);
}

}  // namespace penstock::ingest
