#include "cachefs/upstream/watched_upstream.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock::cachefs {

namespace {

using Clock = std::chrono::steady_clock;

// Those of the daemon that ask at once: for lookups and for reads of files that are not kept.
constexpr int kThreads = 8;
// How long "the root is not empty" is believed of a store that takes its time to say so.
constexpr std::chrono::seconds kBelieved{1};

// Threads that may hang for ever and are waited for by nobody.
class CallThreads {
 public:
  CallThreads() {
    queue_->running = kThreads;
    threads_.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([queue = queue_] { queue->Work(); });
    }
  }
  ~CallThreads() {
    if (End(std::chrono::milliseconds(0))) return;
    for (std::thread& thread : threads_) thread.detach();
  }
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  void Submit(std::function<void()> call) {
    {
      const std::lock_guard lock(queue_->mutex);
      queue_->calls.push_back(std::move(call));
    }
    queue_->changed.notify_one();
  }
  bool WaitIdle(std::chrono::milliseconds patience) {
    std::unique_lock lock(queue_->mutex);
    return queue_->idle.wait_for(lock, patience,
                                 [this] { return queue_->busy == 0 && queue_->calls.empty(); });
  }
  bool End(std::chrono::milliseconds patience) {
    {
      std::unique_lock lock(queue_->mutex);
      queue_->stopping = true;
      queue_->calls.clear();
      queue_->changed.notify_all();
      if (!queue_->idle.wait_for(lock, patience, [this] { return queue_->running == 0; })) {
        return false;
      }
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return true;
  }

 private:
  struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    std::condition_variable idle;
    std::deque<std::function<void()>> calls;
    int busy = 0;
    int running = 0;
    bool stopping = false;

    void Work() {
      std::unique_lock lock(mutex);
      while (true) {
        changed.wait(lock, [this] { return stopping || !calls.empty(); });
        if (stopping) break;
        std::function<void()> call = std::move(calls.front());
        calls.pop_front();
        ++busy;
        lock.unlock();
        call();
        call = nullptr;
        lock.lock();
        if (--busy == 0) idle.notify_all();
      }
      --running;
      idle.notify_all();
    }
  };
  const std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
  std::vector<std::thread> threads_;
};

bool IsLocal(decltype(statfs::f_type) kind) {
  constexpr decltype(statfs::f_type) kLocal[] = {EXT4_SUPER_MAGIC,      XFS_SUPER_MAGIC,
                                                 BTRFS_SUPER_MAGIC,     TMPFS_MAGIC,
                                                 OVERLAYFS_SUPER_MAGIC, F2FS_SUPER_MAGIC};
  return std::ranges::find(kLocal, kind) != std::end(kLocal);
}

// What the calls work with; lives as long as the last one that hangs.
struct Store {
  std::shared_ptr<Upstream> upstream;
  std::shared_ptr<StorePresence> presence;
  bool is_address = false;
  std::chrono::milliseconds timeout{};

  // All that was seen lies on a disk of this machine: a call costs less than another thread does,
  // and does not hang as a network does.
  std::atomic<bool> is_local{false};
  std::atomic<bool> is_mixed{false};  // something else is mounted at or below the root
  std::atomic<dev_t> local_device{0};

  void LearnWhere(const std::string& path, const struct stat& status) {
    if (is_address || is_mixed) return;
    if (is_local) {
      if (status.st_dev != local_device) {
        is_mixed = true;
        is_local = false;
      }
    } else if (path.empty()) {
      struct statfs system {};
      if (statfs(upstream->Name().c_str(), &system) != 0 || !IsLocal(system.f_type)) return;
      local_device = status.st_dev;
      is_local = true;
      // Another thread may just have seen the contrary.
      if (is_mixed) is_local = false;
    }
  }

  std::mutex mutex;
  std::string witness;  // a name that was seen in the root
  Clock::time_point confirmed;

  // Whether "not found" can be believed: not of a store whose root has become empty.
  Status Confirm() {
    if (!presence->expects_something()) return {};
    std::string name;
    {
      const std::lock_guard lock(mutex);
      if (is_address && Clock::now() - confirmed < kBelieved) return {};
      name = witness;
    }
    if (name.empty() || !upstream->Stat(name).ok()) {
      auto entries = upstream->List("");
      if (entries.ok() && entries->empty()) {
        return presence->Doubt() ? presence->WhyAway() : Status();
      }
      if (!entries.ok() && RaisesDoubt(entries.error())) return entries.error();
      name = entries.ok() ? entries->front().name : "";
    }
    const std::lock_guard lock(mutex);
    witness = name;
    confirmed = Clock::now();
    return {};
  }
};

template <typename T>
struct Call {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<Result<T>> answer;
};

class Watched;

class WatchedFile final : public UpstreamFile {
 public:
  WatchedFile(std::shared_ptr<UpstreamFile> file, std::shared_ptr<Watched> watched)
      : file_(std::move(file)), watched_(std::move(watched)) {}
  Result<struct stat> Stat() override;
  Result<size_t> Read(uint64_t offset, std::span<std::byte> destination) override;
  Result<uint64_t> Seek(uint64_t offset, int whence) override;

 private:
  const std::shared_ptr<UpstreamFile> file_;
  const std::shared_ptr<Watched> watched_;
};

class Watched final : public WatchedUpstream, public std::enable_shared_from_this<Watched> {
 public:
  Watched(std::shared_ptr<Upstream> upstream, std::chrono::milliseconds timeout)
      : store_(std::make_shared<Store>()) {
    store_->presence = std::make_shared<StorePresence>(upstream, timeout / 3);
    store_->is_address = IsStoreAddress(upstream->Name());
    store_->timeout = timeout;
    store_->upstream = std::move(upstream);
  }

  const std::shared_ptr<StorePresence>& presence() const override { return store_->presence; }
  bool is_local() const override { return store_->is_local; }
  bool WaitIdle(std::chrono::milliseconds patience) override {
    return threads_.WaitIdle(patience) && store_->presence->WaitIdle(patience);
  }
  bool End(std::chrono::milliseconds patience) override {
    const bool ended = threads_.End(patience);
    return store_->presence->End(patience) && ended;
  }

  Result<struct stat> Stat(const std::string& path) override {
    return Ask<struct stat>([store = store_, path] {
      auto status = store->upstream->Stat(path);
      if (status.ok()) store->LearnWhere(path, *status);
      return path.empty() ? std::move(status) : Believed(*store, std::move(status));
    });
  }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return Ask<std::vector<DirectoryEntry>>(
        [store = store_, path]() -> Result<std::vector<DirectoryEntry>> {
          auto entries = store->upstream->List(path);
          if (path.empty() && entries.ok() && entries->empty() &&
              store->presence->expects_something() && store->presence->Doubt()) {
            return store->presence->WhyAway();
          }
          return Believed(*store, std::move(entries));
        });
  }
  std::vector<std::optional<struct stat>> StatEntries(const std::string& directory,
                                                      std::span<const char* const> names) override {
    using Statuses = std::vector<std::optional<struct stat>>;
    auto statuses = Ask<Statuses>(
        [store = store_, directory, copies = std::vector<std::string>(names.begin(), names.end())] {
          std::vector<const char*> pointers;
          pointers.reserve(copies.size());
          for (const std::string& name : copies) pointers.push_back(name.c_str());
          auto found = store->upstream->StatEntries(directory, pointers);
          for (size_t i = 0; i < found.size(); ++i) {
            // (As an entry, even of the root, none has the root's own path.)
            if (found[i]) store->LearnWhere(directory + "/" + copies[i], *found[i]);
          }
          return Result<Statuses>(std::move(found));
        });
    // Who asks for each of them is told why not.
    return statuses.ok() ? *std::move(statuses) : Statuses();
  }
  Result<std::vector<std::string>> AttributeNames(const std::string& path) override {
    return Ask<std::vector<std::string>>(
        [store = store_, path] { return Believed(*store, store->upstream->AttributeNames(path)); });
  }
  Result<std::optional<std::string>> Attribute(const std::string& path,
                                               const std::string& name) override {
    return Ask<std::optional<std::string>>([store = store_, path, name] {
      return Believed(*store, store->upstream->Attribute(path, name));
    });
  }
  Result<std::string> ReadLink(const std::string& path) override {
    return Ask<std::string>(
        [store = store_, path] { return Believed(*store, store->upstream->ReadLink(path)); });
  }
  Result<size_t> Read(const std::string& path, uint64_t offset,
                      std::span<std::byte> destination) override {
    return AskHere([&] { return store_->upstream->Read(path, offset, destination); });
  }
  Result<std::shared_ptr<UpstreamFile>> Open(const std::string& path) override {
    auto file = Ask<std::shared_ptr<UpstreamFile>>(
        [store = store_, path] { return Believed(*store, store->upstream->Open(path)); });
    if (!file.ok()) return file;
    return std::shared_ptr<UpstreamFile>(
        std::make_shared<WatchedFile>(*std::move(file), shared_from_this()));
  }
  Result<size_t> ReadUnchanged(const std::string& path, const FileIdentity& identity,
                               uint64_t offset, std::span<std::byte> destination) override {
    return AskHere(
        [&] { return store_->upstream->ReadUnchanged(path, identity, offset, destination); });
  }
  Result<UpstreamSpace> Space() override {
    return Ask<UpstreamSpace>([store = store_] { return store->upstream->Space(); });
  }
  void Keep(const std::string& path, const struct stat& status,
            std::string_view contents) override {
    store_->upstream->Keep(path, status, contents);
  }
  std::string Name() const override { return store_->upstream->Name(); }

  template <typename T>
  Result<T> Ask(std::function<Result<T>()> question) {
    StorePresence& presence = *store_->presence;
    if (presence.away()) return presence.WhyAway();
    if (store_->is_local) return Judged(question());
    const auto end = Clock::now() + store_->timeout;
    auto call = std::make_shared<Call<T>>();
    threads_.Submit([call, question = std::move(question)] {
      Result<T> answer = question();
      const std::lock_guard lock(call->mutex);
      call->answer = std::move(answer);
      call->answered.notify_one();
    });
    const auto is_answered = [&call] { return call->answer.has_value(); };
    std::unique_lock lock(call->mutex);
    if (!call->answered.wait_for(lock, store_->timeout / 3, is_answered)) {
      lock.unlock();
      const bool away = presence.Doubt();
      lock.lock();
      if (!call->answer && away) return presence.WhyAway();
      if (!call->answered.wait_until(lock, end, is_answered)) {
        return Error::Timeout("the store did not answer in time").In(Name());
      }
    }
    return Judged(*std::exchange(call->answer, std::nullopt));
  }

 private:
  template <typename Function>
  Result<size_t> AskHere(const Function& question) {
    if (store_->presence->away()) return store_->presence->WhyAway();
    return Judged(question());
  }

  template <typename T>
  Result<T> Judged(Result<T> answer) {
    if (answer.ok() || IsStoreAway(answer.error()) || !RaisesDoubt(answer.error())) return answer;
    // Another state of a file than was asked for; or the handle of an export that is gone.
    if (store_->presence->Doubt()) return store_->presence->WhyAway();
    return answer;
  }

  template <typename T>
  static Result<T> Believed(Store& store, Result<T> answer) {
    if (answer.ok() || answer.error().kind() != ErrorKind::kNotFound) return answer;
    if (const Status there = store.Confirm(); !there.ok()) return there.error();
    return answer;
  }

  const std::shared_ptr<Store> store_;
  CallThreads threads_;
};

Result<struct stat> WatchedFile::Stat() {
  return watched_->Ask<struct stat>([file = file_] { return file->Stat(); });
}

Result<size_t> WatchedFile::Read(uint64_t offset, std::span<std::byte> destination) {
  // Who is late must not write into a buffer that is another's by then.
  auto bytes = std::make_shared<std::vector<std::byte>>(destination.size());
  auto read =
      watched_->Ask<size_t>([file = file_, bytes, offset] { return file->Read(offset, *bytes); });
  if (read.ok()) std::memcpy(destination.data(), bytes->data(), *read);
  return read;
}

Result<uint64_t> WatchedFile::Seek(uint64_t offset, int whence) {
  return watched_->Ask<uint64_t>(
      [file = file_, offset, whence] { return file->Seek(offset, whence); });
}

}  // namespace

std::shared_ptr<WatchedUpstream> WatchUpstream(std::shared_ptr<Upstream> store,
                                               std::chrono::milliseconds timeout) {
  return std::make_shared<Watched>(std::move(store), timeout);
}

}  // namespace penstock::cachefs
