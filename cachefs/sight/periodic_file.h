// PeriodicFile: a text that is written to a file again and again, each time as a whole (written
// beside it and renamed), for node_exporter's textfile collector.

#ifndef PENSTOCK_CACHEFS_SIGHT_PERIODIC_FILE_H_
#define PENSTOCK_CACHEFS_SIGHT_PERIODIC_FILE_H_

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "penstock/base/result.h"

namespace penstock::cachefs {

class PeriodicFile {
 public:
  // Writes once before it returns, and reports the failure of that; later failures are logged.
  // `text` is called on a thread of its own.
  static Result<std::unique_ptr<PeriodicFile>> Start(std::filesystem::path path,
                                                     std::chrono::milliseconds interval,
                                                     std::function<std::string()> text);
  // Removes the file: old figures are worse than none.
  ~PeriodicFile();
  PeriodicFile(const PeriodicFile&) = delete;
  PeriodicFile& operator=(const PeriodicFile&) = delete;

 private:
  PeriodicFile(std::filesystem::path path, std::chrono::milliseconds interval,
               std::function<std::string()> text)
      : path_(std::move(path)), interval_(interval), text_(std::move(text)) {}
  Status Write() const;
  void Work();

  const std::filesystem::path path_;
  const std::chrono::milliseconds interval_;
  const std::function<std::string()> text_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_PERIODIC_FILE_H_
