// A store in memory whose faults are chosen by the test.

#ifndef PENSTOCK_TESTS_CACHEFS_FAULTY_UPSTREAM_H_
#define PENSTOCK_TESTS_CACHEFS_FAULTY_UPSTREAM_H_

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

class FaultyUpstream final : public SimpleUpstream {
 public:
  enum class Fault { kNone, kWrongByte, kShort, kIoError, kStall };

  // Whatever was there is replaced; the state of the file is another one then.
  void AddFile(const std::string& path, std::vector<std::byte> bytes) {
    const std::lock_guard lock(mutex_);
    files_[path] = std::move(bytes);
    ++states_[path];
  }
  // What the n-th read (counted from 0 over all files) meets.
  void SetFault(std::function<Fault(int read)> fault) {
    const std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
  }
  // Lets stalled reads go on, now and later.
  void EndStall() {
    const std::lock_guard lock(mutex_);
    stall_over_ = true;
    changed_.notify_all();
  }
  int reads() const { return reads_; }

  Result<struct stat> Stat(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    struct stat status {};
    const auto file = files_.find(path);
    if (file == files_.end()) return Error::NotFound("no such file").In(path);
    status.st_mode = S_IFREG | 0444;
    status.st_size = static_cast<off_t>(file->second.size());
    status.st_mtim.tv_sec = status.st_ctim.tv_sec = states_[path];
    return status;
  }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return Error::NotFound("no such directory").In(path);
  }
  Result<std::string> ReadLink(const std::string& path) override {
    return Error::NotFound("no such link").In(path);
  }
  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    const int number = reads_++;
    std::unique_lock lock(mutex_);
    const Fault fault = fault_ ? fault_(number) : Fault::kNone;
    if (fault == Fault::kStall) {
      changed_.wait(lock, [this] { return stall_over_; });
    }
    if (fault == Fault::kIoError) return Error::FromErrno(EIO, "the disk is sick").In(path);
    const std::vector<std::byte>& bytes = files_.at(path);
    size_t count = std::min<size_t>(destination.size(), bytes.size() - offset);
    if (fault == Fault::kShort) count /= 2;
    std::memcpy(destination.data(), bytes.data() + offset, count);
    if (fault == Fault::kWrongByte) destination[count / 3] ^= std::byte{1};
    return count;
  }
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    struct File final : SimpleUpstreamFile {
      File(FaultyUpstream& store, std::string name) : upstream(store), path(std::move(name)) {}
      Result<struct stat> Stat() override { return upstream.Stat(path); }
      Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override {
        return upstream.Read(path, offset, destination);
      }
      FaultyUpstream& upstream;
      const std::string path;
    };
    return std::shared_ptr<UpstreamFile>(std::make_shared<File>(*this, path));
  }
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override {
    PENSTOCK_ASSIGN_OR_RETURN(const struct stat status, Stat(path));
    if (!(IdentityOf(status) == identity)) return Error::FromErrno(ESTALE, "changed").In(path);
    return Read(path, offset, destination);
  }
  Result<UpstreamSpace> Space() override { return UpstreamSpace{}; }
  std::string Name() const override { return "memory"; }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<std::byte>> files_;
  std::map<std::string, time_t> states_;
  std::function<Fault(int)> fault_;
  bool stall_over_ = false;
  std::atomic<int> reads_{0};
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_TESTS_CACHEFS_FAULTY_UPSTREAM_H_
