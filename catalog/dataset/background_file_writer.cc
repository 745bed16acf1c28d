#include "catalog/dataset/background_file_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace penstock {

namespace {

Status SetDirect(int fd, bool direct, const std::filesystem::path& path) {
  const int flags = fcntl(fd, F_GETFL);
  const int wanted = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
  if (flags < 0 || fcntl(fd, F_SETFL, wanted) != 0) {
    return Error::FromErrno(errno, "cannot change between direct and buffered writing").In(path);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<BackgroundFileWriter>> BackgroundFileWriter::Create(
    const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC));
  // Not with open(): it leaves an empty file behind where O_DIRECT is refused.
  const bool direct = SetDirect(fd.get(), true, path).ok();
  // The constructor is private, which std::make_unique cannot reach.
  std::unique_ptr<BackgroundFileWriter> writer(
      new BackgroundFileWriter(path, std::move(fd), direct));
  try {
    writer->thread_ = std::thread(&BackgroundFileWriter::Run, writer.get());
  } catch (const std::system_error& failure) {
    return Error::FromErrno(failure.code().value(), "cannot start a thread for writing").In(path);
  }
  return writer;
}

BackgroundFileWriter::BackgroundFileWriter(std::filesystem::path path, FileDescriptor fd,
                                           bool direct)
    : path_(std::move(path)), fd_(std::move(fd)), direct_(direct) {}

BackgroundFileWriter::~BackgroundFileWriter() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundFileWriter::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || request_.has_value(); });
    if (!request_.has_value()) return;
    const Request request = *request_;
    const bool skip = !outcome_.ok();  // after a failure nothing more is written
    lock.unlock();
    Status written = skip ? Status() : WriteOut(request);
    lock.lock();
    if (!written.ok()) outcome_ = std::move(written);
    request_.reset();
    changed_.notify_all();
  }
}

Status BackgroundFileWriter::WriteOut(const Request& request) {
  Status written = WriteFully(fd_.get(), request.offset, request.bytes, path_);
  if (!written.ok() && direct_ && written.error().system_errno() == EINVAL) {
    // Some file systems accept the flag and refuse the write.
    PENSTOCK_RETURN_IF_ERROR(SetDirect(fd_.get(), false, path_));
    direct_ = false;
    written = WriteFully(fd_.get(), request.offset, request.bytes, path_);
  }
  if (written.ok() && !direct_) {
    // Start the disk now, instead of leaving all the work to the sync at the end. Only a hint.
    sync_file_range(fd_.get(), static_cast<off_t>(request.offset),
                    static_cast<off_t>(request.bytes.size()), SYNC_FILE_RANGE_WRITE);
  }
  return written;
}

Status BackgroundFileWriter::WaitUntilIdle(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [this] { return !request_.has_value(); });
  return outcome_;
}

Status BackgroundFileWriter::Write(uint64_t offset, std::span<const std::byte> bytes) {
  std::unique_lock lock(mutex_);
  PENSTOCK_RETURN_IF_ERROR(WaitUntilIdle(lock));
  request_ = Request{.offset = offset, .bytes = bytes};
  lock.unlock();
  changed_.notify_all();
  return {};
}

Status BackgroundFileWriter::Finish(uint64_t file_bytes) {
  std::unique_lock lock(mutex_);
  PENSTOCK_RETURN_IF_ERROR(WaitUntilIdle(lock));
  if (ftruncate(fd_.get(), static_cast<off_t>(file_bytes)) != 0) {
    return Error::FromErrno(
               errno, "cannot set the size of the file to " + std::to_string(file_bytes) + " bytes")
        .In(path_);
  }
  if (fchmod(fd_.get(), 0444) != 0) {
    return Error::FromErrno(errno, "cannot make the file read-only").In(path_);
  }
  if (fdatasync(fd_.get()) != 0) return Error::FromErrno(errno, "cannot sync").In(path_);
  fd_.Close();
  return {};
}

}  // namespace penstock
