#include <algorithm>
#include <cassert>

#include "penstock/ingest/ingest.h"

namespace penstock::ingest {

namespace {

// Without regard to what the source holds.
int64_t UncheckedSourceFrame(const ScanMapping& mapping, int64_t position) {
  const int64_t row = position / mapping.scan.columns;
  return mapping.first_source_frame + position + row * mapping.extra_frames_per_row;
}

// The number of positions whose source frame lies before `frame`; they are the first ones, because
// source frames rise with the position.
int64_t PositionsBefore(const ScanMapping& mapping, int64_t frame) {
  int64_t low = 0;
  int64_t high = mapping.scan.frame_count();
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (UncheckedSourceFrame(mapping, middle) < frame) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

int64_t ScanMapping::SourceFrame(int64_t position) const {
  const int64_t frame = UncheckedSourceFrame(*this, position);
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

int64_t ScanMapping::MissingInFront() const { return PositionsBefore(*this, 0); }

int64_t ScanMapping::MissingAtEnd() const {
  return scan.frame_count() - std::max(PositionsBefore(*this, source_frames), MissingInFront());
}

int64_t ScanMapping::UnusedAtEnd() const {
  const int64_t behind =
      UncheckedSourceFrame(*this, scan.frame_count() - 1) + 1 + extra_frames_per_row;
  return std::max<int64_t>(0, source_frames - std::max<int64_t>(behind, 0));
}

}  // namespace penstock::ingest
