#include "tools/penstock/log_file_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <string>
#include <thread>
#include <utility>

#include "penstock/base/file.h"

namespace penstock::tools {

namespace {

constexpr size_t kMostLines = 4096;
constexpr std::chrono::seconds kLastLines{2};

}  // namespace

struct LogFileSink::Queue {
  explicit Queue(FileDescriptor opened) : file(std::move(opened)) {}

  const FileDescriptor file;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> lines;
  size_t dropped = 0;
  bool stopping = false;
  bool ended = false;

  void Write() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return stopping || !lines.empty(); });
      if (lines.empty()) break;
      std::string text;
      for (const std::string& line : lines) text += line;
      lines.clear();
      if (const size_t lost = std::exchange(dropped, 0); lost > 0) {
        text += fmt::format("({} lines were lost: the disk of the log did not take them)\n", lost);
      }
      lock.unlock();
      // A log that cannot be written has nowhere to say so.
      [[maybe_unused]] const ssize_t written = write(file.get(), text.data(), text.size());
      lock.lock();
    }
    ended = true;
    changed.notify_all();
  }
};

Result<std::shared_ptr<LogFileSink>> LogFileSink::Open(const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor file,
                            OpenFile(path, O_WRONLY | O_CREAT | O_APPEND, 0640));
  auto queue = std::make_shared<Queue>(std::move(file));
  std::thread([queue] { queue->Write(); }).detach();
  return std::shared_ptr<LogFileSink>(new LogFileSink(std::move(queue)));
}

LogFileSink::~LogFileSink() {
  std::unique_lock lock(queue_->mutex);
  queue_->stopping = true;
  queue_->changed.notify_all();
  queue_->changed.wait_for(lock, kLastLines, [this] { return queue_->ended; });
}

void LogFileSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t text;
  formatter_->format(message, text);
  const std::lock_guard lock(queue_->mutex);
  if (queue_->lines.size() >= kMostLines) {
    ++queue_->dropped;
    return;
  }
  queue_->lines.emplace_back(text.data(), text.size());
  queue_->changed.notify_all();
}

}  // namespace penstock::tools
