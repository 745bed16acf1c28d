// AccessLog: one line of JSON per open of a file on the mount.
//
// Opens are queued and written by a thread of its own, so that a slow disk of the log slows nobody;
// when the queue is full they are dropped and counted. Thread-safe.

#ifndef PENSTOCK_CACHEFS_SIGHT_ACCESS_LOG_H_
#define PENSTOCK_CACHEFS_SIGHT_ACCESS_LOG_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

// How a file was opened.
enum class AccessMode : uint8_t {
  kPassthrough,  // the kernel serves it from the replica
  kServed,       // the daemon serves the block
  kLease,        // a reader got a descriptor of the replica
  kPlain,        // a file that is not a block
};

class AccessLog {
 public:
  struct Options {
    std::filesystem::path path;
    uint64_t rotate_bytes = UINT64_MAX;  // then FILE becomes FILE.1 and a new one is begun
    size_t queue_length = 16384;
  };

  // Opens the file for appending.
  static Result<std::unique_ptr<AccessLog>> Start(const Options& options);
  // Writes what is queued.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // `path` is relative to the store. The name of the command is looked up by the writer a moment
  // later: null where the process has ended by then.
  void Record(std::string path, uid_t uid, pid_t pid, AccessMode mode);
  // Opens the file by its name again, after something has moved it away.
  void Reopen();
  // Opens that were dropped.
  uint64_t drops() const { return drops_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    std::chrono::system_clock::time_point time;
    std::string path;
    uid_t uid = 0;
    pid_t pid = 0;
    AccessMode mode = AccessMode::kPlain;
  };

  explicit AccessLog(const Options& options) : options_(options) {}
  Status Open();
  void Work();
  void Write(const std::string& lines);
  static std::string LineOf(const Entry& entry);

  const Options options_;
  std::atomic<uint64_t> drops_{0};
  FileDescriptor file_;  // of the writer
  uint64_t file_bytes_ = 0;
  bool failed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Entry> queue_;
  bool reopen_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_ACCESS_LOG_H_
