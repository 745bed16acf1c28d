// LogFileSink: appends the lines of the log to a file from a thread of its own.
//
// The log of a mount lies on the cache disk, which may hang. Nobody who has something to say waits
// for it: lines that the disk does not take in time are dropped, and how many is written down once
// it takes them again. Thread-safe.

#ifndef PENSTOCK_TOOLS_LOG_FILE_SINK_H_
#define PENSTOCK_TOOLS_LOG_FILE_SINK_H_

#include <spdlog/sinks/base_sink.h>

#include <filesystem>
#include <memory>
#include <mutex>

#include "penstock/base/result.h"

namespace penstock::tools {

class LogFileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  static Result<std::shared_ptr<LogFileSink>> Open(const std::filesystem::path& path);
  // Waits a moment for the last lines, not for a disk that hangs.
  ~LogFileSink() override;

 private:
  struct Queue;

  explicit LogFileSink(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

  const std::shared_ptr<Queue> queue_;  // shared with the thread, which may outlive the sink
};

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_LOG_FILE_SINK_H_
