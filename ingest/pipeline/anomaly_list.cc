#include "ingest/pipeline/anomaly_list.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace penstock::ingest {

namespace {

AnomalyKind KindOfName(std::string_view name) {
  for (int kind = 0; kind < static_cast<int>(AnomalyKind::kOther); ++kind) {
    if (AnomalyKindName(static_cast<AnomalyKind>(kind)) == name) {
      return static_cast<AnomalyKind>(kind);
    }
  }
  return AnomalyKind::kOther;
}

}  // namespace

Json AnomalyToJson(const Anomaly& anomaly) {
  Json json;
  json["kind"] = AnomalyKindName(anomaly.kind);
  json["file"] = anomaly.file;
  if (anomaly.byte_offset) json["byte_offset"] = *anomaly.byte_offset;
  if (anomaly.frame) json["frame"] = *anomaly.frame;
  json["message"] = anomaly.message;
  return json;
}

Anomaly AnomalyFromJson(const Json& json) {
  Anomaly anomaly;
  const auto text = [&json](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  anomaly.kind = KindOfName(text("kind"));
  anomaly.file = text("file");
  anomaly.message = text("message");
  const auto offset = json.find("byte_offset");
  if (offset != json.end() && offset->is_number_unsigned()) anomaly.byte_offset = *offset;
  const auto frame = json.find("frame");
  if (frame != json.end() && frame->is_number_integer()) anomaly.frame = *frame;
  return anomaly;
}

std::string AnomalyText(const Anomaly& anomaly) {
  std::string text = fmt::format("{}: {}", AnomalyKindName(anomaly.kind), anomaly.file);
  if (anomaly.byte_offset) text += fmt::format(": offset {}", *anomaly.byte_offset);
  if (anomaly.frame) {
    text += fmt::format("{} frame {}", anomaly.byte_offset ? "," : ":", *anomaly.frame);
  }
  return text + ": " + anomaly.message;
}

void AnomalyList::Add(Anomaly anomaly) {
  if (listed_.size() >= limit_) {
    // Repetitions among those that are only counted are not recognised: that would need a list.
    if (!seen_.contains(AnomalyText(anomaly))) ++further_;
    return;
  }
  if (!seen_.insert(AnomalyText(anomaly)).second) return;
  listed_.push_back(std::move(anomaly));
}

void BlockReport::AddAnomaly(Anomaly anomaly) {
  const std::lock_guard lock(mutex_);
  reported_.Add(std::move(anomaly));
}

void BlockReport::AddFrameFacts(int64_t source_frame, const FrameHeaderFacts& facts) {
  const std::lock_guard lock(mutex_);
  frame_facts_.emplace_back(source_frame, facts);
}

std::vector<std::pair<int64_t, FrameHeaderFacts>> BlockReport::TakeFrameFacts() {
  const std::lock_guard lock(mutex_);
  return std::exchange(frame_facts_, {});
}

void BlockReport::MarkInvalid(int64_t source_frame, std::string_view reason) {
  const std::lock_guard lock(mutex_);
  invalid_.emplace(source_frame, reason);
}

bool BlockReport::IsInvalid(int64_t source_frame) const {
  const std::lock_guard lock(mutex_);
  return invalid_.contains(source_frame);
}

AnomalyList BlockReport::Anomalies() const {
  const std::lock_guard lock(mutex_);
  AnomalyList all = reported_;
  std::set<int64_t> explained;
  for (const Anomaly& anomaly : reported_.listed()) {
    if (anomaly.frame) explained.insert(*anomaly.frame);
  }
  for (const auto& [frame, reason] : invalid_) {
    if (explained.contains(frame)) continue;
    Anomaly anomaly;
    anomaly.frame = frame;
    anomaly.message = fmt::format("the frame is not valid: {}", reason);
    all.Add(std::move(anomaly));
  }
  return all;
}

}  // namespace penstock::ingest
