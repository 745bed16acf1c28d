#include "ingest/formats/records/numbering.h"

#include <fmt/format.h>

#include <algorithm>

#include "ingest/formats/records/text.h"

namespace penstock::ingest::records {

namespace {

constexpr size_t kMaxBreaks = 256;

}  // namespace

class NumberingSurvey {
 public:
  explicit NumberingSurvey(const NumberedFrames& frames) : frames_(frames) {}

  Result<Numbering> Survey() {
    if (frames_.frame_count < 1) return std::move(result_);
    PENSTOCK_ASSIGN_OR_RETURN(const Place low, At(0));
    PENSTOCK_ASSIGN_OR_RETURN(const Place high, At(frames_.frame_count - 1));
    PENSTOCK_ASSIGN_OR_RETURN(const Place next, At(std::min<int64_t>(1, high.frame)));
    if (frames_.frame_count > 1 && low.number == high.number && next.number == low.number) {
      return std::move(result_);  // a writer that does not count
    }
    if (low.number < 0 || low.number > frames_.largest) {
      Report(AnomalyKind::kOther, 0,
             fmt::format("the first frame has number {}, which is not credible: the numbers of the "
                         "frames are not used",
                         low.number));
      return std::move(result_);
    }
    result_.runs_.push_back({0, low.number});
    if (low.number > frames_.first_number) {
      Lost(0, low.number - frames_.first_number,
           fmt::format("the first frame has number {}, not {}", low.number, frames_.first_number));
    }
    PENSTOCK_RETURN_IF_ERROR(FindBreaks(low, high));
    if (breaks_ > kMaxBreaks) {
      // The places of the others are not known, so neither is that of the frames behind them.
      Report(AnomalyKind::kHeaderContradiction, 0,
             fmt::format("the numbers of the frames break in more than {} places; the others are "
                         "not listed",
                         kMaxBreaks));
    }
    return std::move(result_);
  }

 private:
  struct Place {
    int64_t frame = 0;
    int64_t number = 0;
  };

  Result<Place> At(int64_t frame) const {
    PENSTOCK_ASSIGN_OR_RETURN(const int64_t number, frames_.number(frame));
    return Place{frame, number};
  }

  Status FindBreaks(const Place& low, const Place& high) {
    if (high.number - low.number == high.frame - low.frame || breaks_ > kMaxBreaks) {
      return Status::Ok();
    }
    if (high.frame == low.frame + 1) {
      AddBreak(high);
      return Status::Ok();
    }
    PENSTOCK_ASSIGN_OR_RETURN(const Place middle, At(low.frame + (high.frame - low.frame) / 2));
    PENSTOCK_RETURN_IF_ERROR(FindBreaks(low, middle));
    return FindBreaks(middle, high);
  }

  void AddBreak(const Place& place) {
    ++breaks_;
    const int64_t expected = result_.Expected(place.frame);
    const int64_t gap = place.number - expected;
    result_.runs_.push_back({place.frame, place.number});
    if (gap > 0 && place.number <= frames_.largest) {
      // A frame whose number had been there before is one that was not counted on.
      const int64_t known = std::min(surplus_, gap);
      surplus_ -= known;
      Lost(place.frame, gap - known,
           fmt::format("number {} where {} was expected", place.number, expected));
    } else if (gap == -1) {
      ++surplus_;
      Report(AnomalyKind::kDuplicateFrame, place.frame,
             fmt::format("number {} again, where {} was expected", place.number, expected));
    } else {
      Report(AnomalyKind::kHeaderContradiction, place.frame,
             fmt::format("number {} where {} was expected: the numbering starts anew, as in a file "
                         "joined from several acquisitions",
                         place.number, expected));
    }
  }

  void Lost(int64_t frame, int64_t count, const std::string& evidence) {
    if (count < 1) return;
    Report(AnomalyKind::kMissingFrame, frame,
           fmt::format("{}: {} frame{} missing", evidence, count, count == 1 ? " is" : "s are"));
    result_.missing_.push_back(
        {frame, count, fmt::format("{}: {}", frames_.file.filename().string(), evidence)});
  }

  void Report(AnomalyKind kind, int64_t frame, std::string message) {
    result_.anomalies_.push_back(MakeAnomaly(kind, frames_.file, std::move(message), {}, frame));
  }

  const NumberedFrames& frames_;
  Numbering result_;
  size_t breaks_ = 0;
  int64_t surplus_ = 0;
};

int64_t Numbering::Expected(int64_t frame) const {
  auto run = std::ranges::upper_bound(runs_, frame, {}, &Run::first_frame);
  if (run != runs_.begin()) --run;
  return run->first_number + (frame - run->first_frame);
}

Result<Numbering> SurveyNumbering(const NumberedFrames& frames) {
  return NumberingSurvey(frames).Survey();
}

}  // namespace penstock::ingest::records
