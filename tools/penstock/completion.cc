#include "tools/penstock/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace penstock::tools {

namespace {

// Formats whose frames do not say how many there are to be, and what is written beside them.
struct Companion {
  std::string_view format;
  std::string_view what;  // "" where there is none
};
constexpr std::array<Companion, 6> kCompanions = {{{"mib", "its .hdr file"},
                                                   {"ser", "its .emi file"},
                                                   {"empad", "its .xml file"},
                                                   {"k2is", "its .gtg file"},
                                                   {"frms6", "its .hdr file"},
                                                   {"raw", ""}}};

bool HasCompanion(const ingest::SourceDescription& source) {
  return std::ranges::any_of(source.files, [](const ingest::SourceFile& file) {
    return file.role == "header" || file.role == "metadata";
  });
}

}  // namespace

Completion CompletionOf(const ingest::SourceDescription& source) {
  if (source.growing) return {false, "the format says that it is still being written"};
  if (!source.scan_shapes.empty() && !source.scan_shapes.front().from_frames) {
    const ingest::ScanShapeEvidence& stated = source.scan_shapes.front();
    int64_t frames = source.frame_count;
    for (const ingest::MissingFrames& gap : source.missing_frames) {
      frames += std::min(gap.count, stated.shape.frame_count());
    }
    const int64_t expected = stated.shape.frame_count();
    if (frames >= expected) return {true, ""};
    return {false,
            fmt::format("{} of {} frames are there ({})", frames, expected, stated.evidence)};
  }
  const auto companion = std::ranges::find(kCompanions, source.format, &Companion::format);
  if (companion == kCompanions.end() || HasCompanion(source)) return {true, ""};
  if (companion->what.empty()) return {false, "nothing says how many frames there will be"};
  return {false, fmt::format("{} is not there", companion->what)};
}

}  // namespace penstock::tools
