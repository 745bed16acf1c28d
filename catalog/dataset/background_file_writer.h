// Writes buffers to a file on a thread of its own, so that the caller fills one buffer while the
// other one is on its way to the disk.

#ifndef PENSTOCK_DATASET_BACKGROUND_FILE_WRITER_H_
#define PENSTOCK_DATASET_BACKGROUND_FILE_WRITER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "penstock/base/file.h"
#include "penstock/base/result.h"

namespace penstock {

// One caller; the thread is internal. Opens the file with O_DIRECT where the file system takes it
// and falls back to buffered writes where it does not (tmpfs, some network file systems).
class BackgroundFileWriter {
 public:
  // Creates or truncates `path`.
  static Result<std::unique_ptr<BackgroundFileWriter>> Create(const std::filesystem::path& path);
  // Waits for the write under way.
  ~BackgroundFileWriter();
  BackgroundFileWriter(const BackgroundFileWriter&) = delete;
  BackgroundFileWriter& operator=(const BackgroundFileWriter&) = delete;

  // Starts writing `bytes` at `offset`: memory, offset and length multiples of kDirectIoAlignment.
  // The bytes must stay as they are until the next call of any method returns. Waits for the write
  // before and returns its error.
  Status Write(uint64_t offset, std::span<const std::byte> bytes);
  // Waits for the last write, sets the size of the file and mode 0444, syncs and closes it.
  Status Finish(uint64_t file_bytes);

 private:
  struct Request {
    uint64_t offset;
    std::span<const std::byte> bytes;
  };

  BackgroundFileWriter(std::filesystem::path path, FileDescriptor fd, bool direct);
  void Run();
  Status WriteOut(const Request& request);
  Status WaitUntilIdle(std::unique_lock<std::mutex>& lock);

  const std::filesystem::path path_;
  FileDescriptor fd_;
  bool direct_;  // of the thread, once it runs

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Request> request_;  // absent: idle
  Status outcome_;                  // of all writes so far
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_BACKGROUND_FILE_WRITER_H_
