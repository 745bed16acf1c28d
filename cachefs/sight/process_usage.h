// What this process takes of the machine, from /proc/self and getrusage.

#ifndef PENSTOCK_CACHEFS_SIGHT_PROCESS_USAGE_H_
#define PENSTOCK_CACHEFS_SIGHT_PROCESS_USAGE_H_

#include <cstdint>

namespace penstock::cachefs {

// Zero where the system does not tell.
struct ProcessUsage {
  uint64_t resident_bytes = 0;
  uint64_t threads = 0;
  uint64_t open_files = 0;
  uint64_t open_files_limit = 0;
  double cpu_seconds = 0;  // user and system
};

ProcessUsage MeasureProcess();

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_PROCESS_USAGE_H_
