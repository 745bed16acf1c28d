#include "tools/penstock/show_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "penstock/dataset/frame_header.h"

namespace penstock::tools {

namespace {

std::string Known(int64_t value, const char* unknown) {
  return value < 0 ? unknown : fmt::format("{}", value);
}

std::string Line(int64_t row, int64_t column, int32_t image_key, const FrameHeader& header,
                 bool json) {
  const char* const unknown = json ? "null" : "-";
  const std::string source_frame = Known(header.source_frame, unknown);
  const std::string sequence = Known(header.sequence_number, unknown);
  const std::string count_time = Known(header.count_time, unknown);
  const std::string start_time = Known(header.start_time, unknown);
  if (json) {
    return fmt::format(
        "{{\"position\":[{},{}],\"image_key\":{},\"source_frame\":{},\"sequence_number\":{},"
        "\"count_time_ns\":{},\"start_time_ns\":{}}}\n",
        row, column, image_key, source_frame, sequence, count_time, start_time);
  }
  return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", row, column, image_key, source_frame, sequence,
                     count_time, start_time);
}

}  // namespace

Status PrintFrames(const Dataset& dataset, bool json) {
  constexpr int64_t kFramesAtOnce = 4096;
  const DatasetShape& shape = dataset.shape();
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<int32_t> image_key, dataset.ReadImageKey());
  if (!json) {
    std::puts(
        "row\tcolumn\timage_key\tsource_frame\tsequence_number\tcount_time_ns\tstart_time_ns");
  }
  const auto frames = static_cast<int64_t>(image_key.size());
  for (int64_t first = 0; first < frames; first += kFramesAtOnce) {
    const int64_t count = std::min(kFramesAtOnce, frames - first);
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<FrameHeader> headers,
                              ReadFrameHeaders(dataset.directory(), shape, first, count));
    std::string lines;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t position = first + i;
      lines +=
          Line(position / shape.scan.columns, position % shape.scan.columns,
               image_key[static_cast<size_t>(position)], headers[static_cast<size_t>(i)], json);
    }
    std::fputs(lines.c_str(), stdout);
  }
  return Status::Ok();
}

}  // namespace penstock::tools
