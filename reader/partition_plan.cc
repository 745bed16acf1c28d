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

PartitionEnds EndWithExtents(const Dataset& dataset, uint64_t partition_bytes) {
  constexpr uint64_t kExtentsWanted = 8;
  const uint64_t frame_bytes = dataset.shape().frame_bytes();
  if (dataset.compression() != Compression::kNone || frame_bytes > kExtentBytes / 2 ||
      partition_bytes < kExtentsWanted * kExtentBytes) {
    return {};
  }
  const auto last_of_extent = [frame_bytes](int64_t frames) {
    const uint64_t end = kPayloadStart + static_cast<uint64_t>(frames) * frame_bytes;
    return static_cast<int64_t>((end / kExtentBytes * kExtentBytes - kPayloadStart) / frame_bytes);
  };
  return {last_of_extent, static_cast<int64_t>(kExtentBytes / frame_bytes + 1)};
}

std::vector<PlannedPartition> PlanPartitions(std::span<const FrameRange> blocks,
                                             int64_t frames_each, const PartitionEnds& ends,
                                             std::span<const uint8_t> selection, int64_t bridged) {
  std::vector<PlannedPartition> planned;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int64_t frame_count = blocks[b].last - blocks[b].first;
    int64_t first = 0;
    for (int64_t nominal = frames_each; first < frame_count; nominal += frames_each) {
      int64_t last = frame_count;
      if (nominal < frame_count) {
        const int64_t earliest = std::max(first + 1, nominal - ends.most_before);
        last = ends.end ? std::clamp(ends.end(nominal), earliest, nominal) : nominal;
      }
      PlannedPartition next;
      next.partition = {static_cast<int64_t>(planned.size()),
                        static_cast<int64_t>(b),
                        {blocks[b].first + first, blocks[b].first + last}};
      first = last;
      const FrameRange& frames = next.partition.frames;
      if (selection.empty()) {
        next.runs = {frames};
        next.selected = frames.last - frames.first;
      } else {
        next.runs = SelectedRuns(frames, selection, bridged);
        if (next.runs.empty()) continue;
        const auto wanted = selection.subspan(static_cast<size_t>(frames.first),
                                              static_cast<size_t>(frames.last - frames.first));
        next.selected = std::ranges::count_if(wanted, [](uint8_t each) { return each != 0; });
      }
      planned.push_back(std::move(next));
    }
  }
  return planned;
}

}  // namespace penstock
