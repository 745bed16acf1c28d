#include "reader/partition_plan.h"

#include <algorithm>
#include <utility>

namespace penstock {

namespace {

std::vector<FrameRange> SelectedRuns(FrameRange frames, std::span<const uint8_t> selection,
                                     int64_t bridged) {
  std::vector<FrameRange> runs;
  for (int64_t frame = frames.first; frame < frames.last; ++frame) {
    if (selection[static_cast<size_t>(frame)] == 0) continue;
    if (!runs.empty() && frame - runs.back().last <= bridged) {
      runs.back().last = frame + 1;
    } else {
      runs.push_back({frame, frame + 1});
    }
  }
  return runs;
}

}  // namespace

std::vector<PlannedPartition> PlanPartitions(std::span<const FrameRange> blocks,
                                             int64_t frames_each,
                                             std::span<const uint8_t> selection, int64_t bridged) {
  std::vector<PlannedPartition> planned;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int64_t end = blocks[b].last;
    for (int64_t frame = blocks[b].first; frame < end; frame += frames_each) {
      PlannedPartition next;
      next.partition = {static_cast<int64_t>(planned.size()),
                        static_cast<int64_t>(b),
                        {frame, std::min(frame + frames_each, end)}};
      const FrameRange& frames = next.partition.frames;
      if (selection.empty()) {
        next.runs = {frames};
        next.selected = frames.last - frames.first;
      } else {
        next.runs = SelectedRuns(frames, selection, bridged);
        if (next.runs.empty()) continue;
        const auto first = selection.begin() + static_cast<ptrdiff_t>(frames.first);
        const auto last = selection.begin() + static_cast<ptrdiff_t>(frames.last);
        next.selected = std::count_if(first, last, [](uint8_t wanted) { return wanted != 0; });
      }
      planned.push_back(std::move(next));
    }
  }
  return planned;
}

}  // namespace penstock
