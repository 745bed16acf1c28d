// Gaps in the numbers that frames carry in their headers.

#ifndef PENSTOCK_INGEST_FORMATS_RECORDS_NUMBERING_H_
#define PENSTOCK_INGEST_FORMATS_RECORDS_NUMBERING_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::ingest::records {

class Numbering {
 public:
  // False where the numbers do not count frames (all the same, or not credible): nothing is then
  // concluded from them.
  bool usable() const { return !runs_.empty(); }
  // Precondition: usable().
  int64_t Expected(int64_t frame) const;

  const std::vector<MissingFrames>& missing() const { return missing_; }
  const std::vector<Anomaly>& anomalies() const { return anomalies_; }

 private:
  friend class NumberingSurvey;
  struct Run {
    int64_t first_frame = 0;
    int64_t first_number = 0;
  };
  std::vector<Run> runs_;
  std::vector<MissingFrames> missing_;
  std::vector<Anomaly> anomalies_;
};

struct NumberedFrames {
  int64_t frame_count = 0;
  // The number in the header of a frame.
  std::function<Result<int64_t>(int64_t frame)> number;
  int64_t first_number = 0;     // that the first frame of an acquisition has
  int64_t largest = INT64_MAX;  // numbers beyond it are not credible
  std::filesystem::path file;   // for messages
};

// Finds the breaks by halving, so that a series without any costs two reads. A break that is undone
// by another one between the same two looks is found by the decoder only. The decoder compares each
// frame's number with Expected().
Result<Numbering> SurveyNumbering(const NumberedFrames& frames);

}  // namespace penstock::ingest::records

#endif  // PENSTOCK_INGEST_FORMATS_RECORDS_NUMBERING_H_
