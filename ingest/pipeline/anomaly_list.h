// What decoding finds, collected per block and merged in block order, so that the report does not
// depend on how many workers there were.

#ifndef PENSTOCK_INGEST_PIPELINE_ANOMALY_LIST_H_
#define PENSTOCK_INGEST_PIPELINE_ANOMALY_LIST_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "penstock/ingest/frame_source.h"

namespace penstock::ingest {

Json AnomalyToJson(const Anomaly& anomaly);
// Members that are absent or of another type are left empty: the journal is our own.
Anomaly AnomalyFromJson(const Json& json);
std::string AnomalyText(const Anomaly& anomaly);  // "truncated: FILE: offset 9, frame 3: ..."

// A bounded list without repetitions. Not thread-safe.
class AnomalyList {
 public:
  explicit AnomalyList(size_t limit) : limit_(limit) {}

  void Add(Anomaly anomaly);
  void AddFurther(uint64_t count) { further_ += count; }

  const std::vector<Anomaly>& listed() const { return listed_; }
  uint64_t further() const { return further_; }  // not listed for want of room

 private:
  size_t limit_;
  std::vector<Anomaly> listed_;
  std::set<std::string> seen_;
  uint64_t further_ = 0;
};

inline constexpr size_t kAnomaliesPerBlock = 64;
inline constexpr size_t kAnomaliesPerDataset = 1000;

// The report of one block's decoding.
class BlockReport final : public DecodeReport {
 public:
  void AddAnomaly(Anomaly anomaly) override;
  void AddFrameFacts(int64_t source_frame, const FrameHeaderFacts& facts) override;
  void MarkInvalid(int64_t source_frame, std::string_view reason) override;

  bool IsInvalid(int64_t source_frame) const;
  // Everything reported so far; an invalid frame of which nothing else was said becomes an anomaly
  // of its own.
  AnomalyList Anomalies() const;

  // What the headers of the frames said that were decoded since the last call.
  std::vector<std::pair<int64_t, FrameHeaderFacts>> TakeFrameFacts();

 private:
  mutable std::mutex mutex_;
  AnomalyList reported_{kAnomaliesPerBlock};
  std::map<int64_t, std::string> invalid_;  // source frame, reason
  std::vector<std::pair<int64_t, FrameHeaderFacts>> frame_facts_;
};

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_PIPELINE_ANOMALY_LIST_H_
