#include "cachefs/sight/access_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <utility>

#include "penstock/dataset/description.h"

namespace penstock::cachefs {

namespace {

constexpr mode_t kLogMode = 0640;

const char* NameOf(AccessMode mode) {
  switch (mode) {
    case AccessMode::kPassthrough:
      return "passthrough";
    case AccessMode::kServed:
      return "served";
    case AccessMode::kLease:
      return "lease";
    case AccessMode::kPlain:
      return "plain";
  }
  return "";
}

Json CommandOf(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  if (pid > 0 && std::getline(file, name)) return name;
  return {};
}

std::string TimeText(std::chrono::system_clock::time_point time) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)), milliseconds % 1000);
}

}  // namespace

Result<std::unique_ptr<AccessLog>> AccessLog::Start(const Options& options) {
  std::unique_ptr<AccessLog> log(new AccessLog(options));
  PENSTOCK_RETURN_IF_ERROR(log->Open());
  log->thread_ = std::thread([raw = log.get()] { raw->Work(); });
  return log;
}

AccessLog::~AccessLog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void AccessLog::Record(std::string path, uid_t uid, pid_t pid, AccessMode mode) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= options_.queue_length) {
      drops_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    queue_.push_back({.time = std::chrono::system_clock::now(),
                      .path = std::move(path),
                      .uid = uid,
                      .pid = pid,
                      .mode = mode});
  }
  changed_.notify_one();
}

void AccessLog::Reopen() {
  {
    const std::lock_guard lock(mutex_);
    reopen_ = true;
  }
  changed_.notify_one();
}

Status AccessLog::Open() {
  PENSTOCK_ASSIGN_OR_RETURN(file_,
                            OpenFile(options_.path, O_WRONLY | O_CREAT | O_APPEND, kLogMode));
  struct stat status {};
  file_bytes_ = fstat(file_.get(), &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  return {};
}

void AccessLog::Work() {
  std::vector<Entry> entries;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || reopen_ || !queue_.empty(); });
    entries.clear();
    entries.swap(queue_);
    const bool reopen = std::exchange(reopen_, false);
    const bool last = stopping_;
    lock.unlock();
    if (reopen) {
      if (const Status opened = Open(); !opened.ok()) {
        spdlog::error("{}", opened.error().ToString());
      }
    }
    std::string lines;
    for (const Entry& entry : entries) lines += LineOf(entry);
    if (!lines.empty()) Write(lines);
    if (last) return;
    lock.lock();
  }
}

void AccessLog::Write(const std::string& lines) {
  if (file_bytes_ > 0 && file_bytes_ + lines.size() > options_.rotate_bytes) {
    const std::filesystem::path old = options_.path.string() + ".1";
    if (std::rename(options_.path.c_str(), old.c_str()) != 0) {
      spdlog::error("{}",
                    Error::FromErrno(errno, "cannot rotate").In(options_.path.string()).ToString());
    }
    if (const Status opened = Open(); !opened.ok()) spdlog::error("{}", opened.error().ToString());
  }
  for (size_t written = 0; written < lines.size();) {
    const ssize_t count = write(file_.get(), lines.data() + written, lines.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      if (!failed_) {
        spdlog::error("{}", Error::FromErrno(errno, "cannot write the access log")
                                .In(options_.path.string())
                                .ToString());
      }
      failed_ = true;
      return;
    }
    written += static_cast<size_t>(count);
    file_bytes_ += static_cast<uint64_t>(count);
  }
  failed_ = false;
}

std::string AccessLog::LineOf(const Entry& entry) {
  const Json line = {{"time", TimeText(entry.time)},
                     {"path", entry.path},
                     {"uid", entry.uid},
                     {"pid", entry.pid},
                     {"command", CommandOf(entry.pid)},
                     {"mode", NameOf(entry.mode)}};
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace penstock::cachefs
