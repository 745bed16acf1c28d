#include "cachefs/sight/process_usage.h"

#include <dirent.h>
#include <sys/resource.h>

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

namespace penstock::cachefs {

namespace {

constexpr uint64_t kBytesPerKib = 1024;
constexpr double kMicrosecondsPerSecond = 1e6;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

uint64_t CountOpenFiles() {
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir("/proc/self/fd"));
  if (!directory) return 0;
  uint64_t entries = 0;
  while (readdir(directory.get()) != nullptr) ++entries;
  constexpr uint64_t kNotFiles = 3;  // ".", ".." and the directory that is being read
  return entries > kNotFiles ? entries - kNotFiles : 0;
}

double SecondsOf(const timeval& time) {
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_usec) / kMicrosecondsPerSecond;
}

}  // namespace

ProcessUsage MeasureProcess() {
  ProcessUsage usage;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string name;
    uint64_t value = 0;
    if (!(fields >> name >> value)) continue;
    if (name == "VmRSS:") usage.resident_bytes = value * kBytesPerKib;
    if (name == "Threads:") usage.threads = value;
  }
  usage.open_files = CountOpenFiles();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) usage.open_files_limit = limit.rlim_cur;
  rusage times{};
  if (getrusage(RUSAGE_SELF, &times) == 0) {
    usage.cpu_seconds = SecondsOf(times.ru_utime) + SecondsOf(times.ru_stime);
  }
  return usage;
}

}  // namespace penstock::cachefs
