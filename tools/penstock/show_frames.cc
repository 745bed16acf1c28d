#include "tools/penstock/show_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "penstock/catalog/sidecar_view.h"
#include "penstock/dataset/frame_header.h"

namespace penstock::tools {

namespace {

std::string Known(int64_t value, const char* unknown) {
  return value < 0 ? unknown : fmt::format("{}", value);
}

// Prints the lines of one dataset.
class FrameLines {
 public:
  FrameLines(const Dataset& dataset, bool json)
      : columns_(dataset.shape().scan.columns),
        sources_(catalog::ViewSidecar(dataset.nexus()).sources),
        json_(json),
        unknown_(json ? "null" : "-") {}

  std::string Line(int64_t position, int32_t image_key, const FrameHeader& header) const {
    const int64_t row = position / columns_;
    const int64_t column = position % columns_;
    const std::string source_frame = Known(header.source_frame, unknown_);
    const std::string file = FileName(header.source_file);
    const std::string offset = Known(header.source_offset, unknown_);
    const std::string sequence = Known(header.sequence_number, unknown_);
    const std::string count_time = Known(header.count_time, unknown_);
    const std::string start_time = Known(header.start_time, unknown_);
    if (json_) {
      return fmt::format(
          "{{\"position\":[{},{}],\"image_key\":{},\"source_frame\":{},\"source_file\":{},"
          "\"source_offset\":{},\"sequence_number\":{},\"count_time_ns\":{},"
          "\"start_time_ns\":{}}}\n",
          row, column, image_key, source_frame, file, offset, sequence, count_time, start_time);
    }
    return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", row, column, image_key, source_frame,
                       file, offset, sequence, count_time, start_time);
  }

 private:
  // A name may hold anything but must not break the line.
  std::string FileName(int64_t index) const {
    if (index < 0 || index >= static_cast<int64_t>(sources_.size())) return unknown_;
    const std::string& name = sources_[static_cast<size_t>(index)].name;
    if (json_) return Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
    std::string text = name;
    std::ranges::replace_if(
        text, [](unsigned char c) { return c < ' '; }, '?');
    return text;
  }

  const int64_t columns_;
  const std::vector<SourceFileRecord> sources_;
  const bool json_;
  const char* const unknown_;
};

}  // namespace

Status PrintFrames(const Dataset& dataset, bool json) {
  constexpr int64_t kFramesAtOnce = 4096;
  const DatasetShape& shape = dataset.shape();
  PENSTOCK_ASSIGN_OR_RETURN(const std::vector<int32_t> image_key, dataset.ReadImageKey());
  if (!json) {
    std::puts(
        "row\tcolumn\timage_key\tsource_frame\tsource_file\tsource_offset\tsequence_number\t"
        "count_time_ns\tstart_time_ns");
  }
  const FrameLines lines(dataset, json);
  const auto frames = static_cast<int64_t>(image_key.size());
  for (int64_t first = 0; first < frames; first += kFramesAtOnce) {
    const int64_t count = std::min(kFramesAtOnce, frames - first);
    PENSTOCK_ASSIGN_OR_RETURN(const std::vector<FrameHeader> headers,
                              ReadFrameHeaders(dataset.directory(), shape, first, count));
    std::string text;
    for (int64_t i = 0; i < count; ++i) {
      text += lines.Line(first + i, image_key[static_cast<size_t>(first + i)],
                         headers[static_cast<size_t>(i)]);
    }
    std::fputs(text.c_str(), stdout);
  }
  return Status::Ok();
}

}  // namespace penstock::tools
