#include "tests/fuzz/exercise_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/ingest/ingest.h"
#include "penstock/ingest/registry.h"
#include "tests/fuzz/file_set.h"

namespace penstock::ingest {

namespace {

constexpr uint64_t kMostDecodedBytes = uint64_t{8} << 20;
constexpr int64_t kMostFrames = 64;

void Require(bool condition, std::string_view what) {
  if (condition) return;
  std::fprintf(stderr, "the source breaks its contract: %.*s\n", static_cast<int>(what.size()),
               what.data());
  std::abort();
}

struct SilentReport final : DecodeReport {
  void AddAnomaly(Anomaly anomaly) override {
    Require(!anomaly.message.empty(), "an anomaly says nothing");
  }
  void MarkInvalid(int64_t source_frame, std::string_view reason) override {
    Require(source_frame >= 0 && source_frame < frame_count,
            "a frame that is not there is invalid");
    Require(!reason.empty(), "a frame is invalid for no reason");
  }
  int64_t frame_count = 0;
};

// Holds what the decoder says that it read against the files.
struct FileWatcher final : RawBytesObserver {
  explicit FileWatcher(const std::vector<SourceFile>& source_files) : files(source_files) {}
  void OnBytes(size_t file, uint64_t offset, std::span<const std::byte> bytes) override {
    Require(file < files.size(), "bytes of a file that is not in the description");
    Require(offset + bytes.size() <= files[file].identity.size, "bytes behind the end of a file");
  }
  const std::vector<SourceFile>& files;
};

void CheckDescription(const SourceDescription& description) {
  Require(!description.files.empty(), "no files");
  Require(!description.suggested_name.empty(), "no name");
  Require(description.suggested_name.find('/') == std::string::npos, "a name with a slash");
  Require(description.frame_count >= 0, "a negative number of frames");
  Require(description.signal.rows > 0 && description.signal.columns > 0, "frames without pixels");
  const size_t masked = description.pixel_mask.values.size();
  Require(masked == 0 || masked == static_cast<size_t>(description.signal.pixel_count()),
          "a pixel mask that does not fit");
  for (const ScanShapeEvidence& evidence : description.scan_shapes) {
    Require(evidence.shape.rows > 0 && evidence.shape.columns > 0, "an empty scan");
    Require(evidence.extra_frames_per_row >= 0, "a negative number of frames per row");
  }
  for (const MissingFrames& gap : description.missing_frames) {
    Require(gap.count > 0, "a gap of no frames");
  }
}

// Frames [0, count) in calls of `step` frames, the last first where `backwards`; false on error.
bool Decode(const FrameSource& source, int64_t count, int64_t step, bool backwards,
            std::vector<std::byte>& frames) {
  const SourceDescription& description = source.description();
  const size_t frame_bytes = frames.size() / static_cast<size_t>(count);
  SilentReport report;
  report.frame_count = description.frame_count;
  FileWatcher watcher(description.files);
  DecodeContext context;
  context.report = &report;
  context.observer = &watcher;
  const int64_t steps = (count + step - 1) / step;
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t first = (backwards ? steps - 1 - i : i) * step;
    const int64_t last = std::min(count, first + step);
    const auto to = std::span(frames).subspan(static_cast<size_t>(first) * frame_bytes,
                                              static_cast<size_t>(last - first) * frame_bytes);
    const Status decoded = source.Decode(first, last, to, context);
    if (!decoded.ok()) {
      Require(!decoded.error().ToString().empty(), "an error without words");
      return false;
    }
  }
  return true;
}

}  // namespace

OpenOptions OptionsOfFormat(std::string_view format) {
  OpenOptions options;
  if (format == "raw") {
    options.signal_shape = SignalShape{4, 5};
    options.element_type = ElementType::kUint16;
    options.frame_header_bytes = 3;
  }
  options.rescue = format == "k2is";  // a seed of one sector is large enough
  return options;
}

Exercise ExerciseSource(std::string_view format, std::span<const std::byte> input,
                        const std::filesystem::path& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  std::filesystem::create_directories(folder);
  const std::filesystem::path path = WriteFileSet(input, folder, "input.bin");
  Exercise exercise;

  (void)DetectFormat(path);
  IngestOptions options;
  options.to = folder / "dataset";
  options.format = format;
  options.open = OptionsOfFormat(format);
  options.missing = MissingPolicy::kZero;
  options.accept_contradictions = true;
  (void)PlanIngest(path, options);

  auto source = OpenSource(path, format, options.open);
  if (!source.ok()) {
    exercise.error = source.error().ToString();
    Require(!exercise.error.empty(), "an error without words");
    return exercise;
  }
  exercise.opened = true;
  const SourceDescription& description = (*source)->description();
  CheckDescription(description);
  const uint64_t frame_bytes = static_cast<uint64_t>(description.signal.pixel_count()) *
                               ElementSize(description.element_type);
  const int64_t count =
      std::min({description.frame_count, kMostFrames,
                static_cast<int64_t>(kMostDecodedBytes / std::max<uint64_t>(1, frame_bytes))});
  if (count == 0) return exercise;
  std::vector<std::byte> whole(static_cast<size_t>(count) * frame_bytes, std::byte{0x55});
  std::vector<std::byte> single(whole.size(), std::byte{0xAA});
  const bool at_once = Decode(**source, count, count, false, whole);
  const bool one_by_one = Decode(**source, count, 1, true, single);
  Require(at_once == one_by_one, "frames decode together and not alone, or the other way round");
  if (!at_once) return exercise;
  Require(whole == single, "frames decoded alone differ from those decoded together");
  exercise.frames_decoded = count;
  return exercise;
}

}  // namespace penstock::ingest
