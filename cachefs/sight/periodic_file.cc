#include "cachefs/sight/periodic_file.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "penstock/base/file.h"

namespace penstock::cachefs {

Result<std::unique_ptr<PeriodicFile>> PeriodicFile::Start(std::filesystem::path path,
                                                          std::chrono::milliseconds interval,
                                                          std::function<std::string()> text) {
  std::unique_ptr<PeriodicFile> file(new PeriodicFile(std::move(path), interval, std::move(text)));
  PENSTOCK_RETURN_IF_ERROR(file->Write());
  file->thread_ = std::thread([raw = file.get()] { raw->Work(); });
  return file;
}

PeriodicFile::~PeriodicFile() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  unlink(path_.c_str());
}

Status PeriodicFile::Write() const { return WriteFileAtomically(path_, text_()); }

void PeriodicFile::Work() {
  std::unique_lock lock(mutex_);
  bool failed = false;
  while (!changed_.wait_for(lock, interval_, [this] { return stopping_; })) {
    lock.unlock();
    const Status written = Write();
    if (!written.ok() && !failed) spdlog::error("{}", written.error().ToString());
    failed = !written.ok();
    lock.lock();
  }
}

}  // namespace penstock::cachefs
