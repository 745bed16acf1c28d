#include "ingest/formats/mib/mib_numbering.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::ingest {

namespace {

constexpr size_t kMaxBreaks = 256;
// A gap beyond this is not a loss of frames but another acquisition's numbering.
constexpr int64_t kMaxGap = 1'000'000'000;

struct NumberedFrame {
  int64_t frame_in_file = 0;
  int64_t sequence = 0;
};

bool RunsOn(const NumberedFrame& low, const NumberedFrame& high) {
  return high.sequence - low.sequence == high.frame_in_file - low.frame_in_file;
}

// Appends the first frame of every further run of the file to `breaks`, in order, until there are
// more than kMaxBreaks.
Status FindBreaks(int fd, const MibFile& file, int64_t first_frame, const NumberedFrame& low,
                  const NumberedFrame& high, std::vector<NumberedFrame>& breaks) {
  if (RunsOn(low, high) || breaks.size() > kMaxBreaks) return {};
  if (high.frame_in_file == low.frame_in_file + 1) {
    breaks.push_back(high);
    return {};
  }
  NumberedFrame middle{low.frame_in_file + (high.frame_in_file - low.frame_in_file) / 2, 0};
  PENSTOCK_ASSIGN_OR_RETURN(
      const MibFrameHeader header,
      ReadMibFrameHeader(fd, file, middle.frame_in_file, first_frame + middle.frame_in_file));
  middle.sequence = header.sequence_number;
  PENSTOCK_RETURN_IF_ERROR(FindBreaks(fd, file, first_frame, low, middle, breaks));
  return FindBreaks(fd, file, first_frame, middle, high, breaks);
}

// `surplus`: frames so far whose number had been there before. Each is a frame of its own whose
// number was not counted on, so a gap behind it is smaller than it looks.
void AddRun(const MibFile& file, int64_t first_frame, const NumberedFrame& start, int64_t& surplus,
            MibNumbering& numbering) {
  const int64_t frame = first_frame + start.frame_in_file;
  if (!numbering.runs.empty()) {
    const int64_t expected = numbering.ExpectedSequence(frame);
    const int64_t gap = start.sequence - expected;
    // A file that begins before the end of the one before it was reported with the series.
    const bool reported = start.frame_in_file == 0 && gap < 0;
    if (!reported) {
      auto anomaly = MibNumberAnomaly(file.path, file.OffsetOf(start.frame_in_file), frame,
                                      expected, start.sequence);
      if (anomaly) numbering.anomalies.push_back(std::move(*anomaly));
    }
    if (gap == -1) ++surplus;
    const int64_t lost = gap - std::min(surplus, std::max<int64_t>(gap, 0));
    if (gap > 0) surplus -= gap - lost;
    if (lost > 0 && lost <= kMaxGap) {
      numbering.missing.push_back(
          {.before_frame = frame,
           .count = lost,
           .evidence = fmt::format("{}: sequence number {} follows {}",
                                   file.path.filename().string(), start.sequence, expected - 1)});
    }
  }
  numbering.runs.push_back({frame, start.sequence});
}

}  // namespace

int64_t MibNumbering::ExpectedSequence(int64_t frame) const {
  auto run = std::ranges::upper_bound(runs, frame, {}, &MibRun::first_frame);
  if (run != runs.begin()) --run;
  return run->first_sequence + (frame - run->first_frame);
}

Result<MibNumbering> SurveyMibNumbering(const MibSeries& series) {
  MibNumbering numbering;
  size_t break_count = 0;
  int64_t surplus = 0;
  for (size_t i = 0; i < series.files.size(); ++i) {
    const MibFile& file = series.files[i];
    const int64_t first_frame = series.first_frames[i];
    const NumberedFrame first{0, file.first_header.sequence_number};
    AddRun(file, first_frame, first, surplus, numbering);
    if (file.frame_count == 1) continue;
    PENSTOCK_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenMibFile(file.path));
    NumberedFrame last{file.frame_count - 1, 0};
    PENSTOCK_ASSIGN_OR_RETURN(
        const MibFrameHeader header,
        ReadMibFrameHeader(fd.get(), file, last.frame_in_file, first_frame + last.frame_in_file));
    last.sequence = header.sequence_number;
    if (break_count > kMaxBreaks) continue;
    std::vector<NumberedFrame> breaks;
    PENSTOCK_RETURN_IF_ERROR(FindBreaks(fd.get(), file, first_frame, first, last, breaks));
    for (const NumberedFrame& start : breaks) AddRun(file, first_frame, start, surplus, numbering);
    break_count += breaks.size();
    if (break_count > kMaxBreaks) {
      Anomaly anomaly;
      // The places of the others are not known, so neither is that of the frames behind them.
      anomaly.kind = AnomalyKind::kHeaderContradiction;
      anomaly.file = file.path.string();
      anomaly.message = fmt::format(
          "the sequence numbers break in more than {} places; the others are not listed",
          kMaxBreaks);
      numbering.anomalies.push_back(std::move(anomaly));
    }
  }
  return numbering;
}

std::optional<Anomaly> MibNumberAnomaly(const std::filesystem::path& file, uint64_t offset,
                                        int64_t frame, int64_t expected, int64_t found) {
  if (found == expected) return std::nullopt;
  Anomaly anomaly;
  anomaly.file = file.string();
  anomaly.byte_offset = offset;
  anomaly.frame = frame;
  if (found > expected && found - expected <= kMaxGap) {
    const int64_t missing = found - expected;
    anomaly.kind = AnomalyKind::kMissingFrame;
    anomaly.message = fmt::format("sequence number {} where {} was expected: {} frame{} missing",
                                  found, expected, missing, missing == 1 ? " is" : "s are");
  } else if (found == expected - 1) {
    anomaly.kind = AnomalyKind::kDuplicateFrame;
    anomaly.message =
        fmt::format("sequence number {} again, where {} was expected", found, expected);
  } else {
    anomaly.kind = AnomalyKind::kHeaderContradiction;
    anomaly.message = fmt::format(
        "sequence number {} where {} was expected: the numbering starts anew, as in a file joined "
        "from several acquisitions",
        found, expected);
  }
  return anomaly;
}

}  // namespace penstock::ingest
