// What `penstock watch` says of itself: a JSON document, and numbers for Prometheus' textfile
// collector. Both are replaced by rename.

#ifndef PENSTOCK_TOOLS_WATCH_STATUS_H_
#define PENSTOCK_TOOLS_WATCH_STATUS_H_

#include <array>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/result.h"

namespace penstock::tools {

enum class WatchState : uint8_t { kWaiting, kQueued, kIngesting, kDone, kFailed };
inline constexpr size_t kWatchStates = 5;
const char* WatchStateName(WatchState state);  // "waiting", ...

struct WatchedAcquisition {
  std::string source;
  WatchState state = WatchState::kWaiting;
  std::string destination;  // "" where it is not known yet
  std::string reason;       // why it waits or failed
  std::string since;        // ISO 8601
};

struct WatchReport {
  std::string folder;
  std::string store;
  std::string rules;        // file, "" without
  std::string rules_error;  // of the last attempt to load them, "" where it went well
  size_t rule_count = 0;
  std::string started;
  std::string complaint;  // about watching the folders
  std::array<int64_t, kWatchStates> counts{};
  int64_t unknown_files = 0;
  int64_t ingested = 0;  // since it was started
  int64_t failures = 0;
  uint64_t bytes = 0;
  int64_t last_success_unix = 0;
  std::vector<WatchedAcquisition> open;   // all that are neither done nor forgotten
  std::deque<WatchedAcquisition> recent;  // done last
};

std::string TimeText();  // now, ISO 8601, UTC

Status WriteStatusFile(const std::filesystem::path& path, const WatchReport& report);
Status WriteMetricsFile(const std::filesystem::path& path, const WatchReport& report);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCH_STATUS_H_
