#ifndef PENSTOCK_TOOLS_WATCHER_OPTIONS_H_
#define PENSTOCK_TOOLS_WATCHER_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "penstock/ingest/ingest.h"

namespace penstock::tools {

struct WatcherOptions {
  std::filesystem::path folder;  // absolute and normal
  std::filesystem::path store;
  std::filesystem::path rules;               // "" for everything, without options
  std::chrono::milliseconds quiet{10'000};   // files that have been still for so long are complete
  std::chrono::milliseconds rescan{60'000};  // how often everything is looked at
  int workers = 0;                           // in all; 0: one per CPU
  uint64_t memory_bytes = ingest::kDefaultIngestMemory;  // in all
  int at_once = 1;                                       // acquisitions side by side
  std::filesystem::path status_file;                     // "" for none
  std::filesystem::path metrics_file;
  bool until_idle = false;  // end when nothing is left to wait for
  std::vector<std::string> command_line;
};

// What is not told of by an event is noticed within that time, unless `quiet` is shorter.
inline constexpr std::chrono::milliseconds kWatchTick{1000};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_WATCHER_OPTIONS_H_
