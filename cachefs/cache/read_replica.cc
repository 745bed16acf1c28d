// The part of BlockCache that answers reads: from the replica where the bytes are there and the
// cache disk is well, else from what is fetched.

#include <spdlog/spdlog.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "cachefs/cache/block_cache.h"

namespace penstock::cachefs {

namespace {

std::span<std::byte> ScratchBuffer(size_t size) {
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < size) buffer.resize(size);
  return {buffer.data(), size};
}

}  // namespace

// A read that waits for extents. One extent answers with its own bytes; where there are more, each
// copies its part and the last one answers.
struct BlockCache::ReadRequest {
  std::mutex mutex;
  std::vector<std::byte> bytes;  // empty where one extent has everything
  uint64_t offset = 0;
  size_t size = 0;
  size_t parts_left = 0;
  bool answered = false;
  ReadCallback callback;
  ReplicaPin replica;

  // The cache may end before a task is begun that would answer.
  ~ReadRequest() {
    if (callback) callback(CacheEnds());
  }

  // Gives up the callback, to be called by whoever gets it.
  ReadCallback Claim() {
    answered = true;
    replica = nullptr;
    return std::exchange(callback, nullptr);
  }

  // `bytes` are those of the whole extent.
  void Take(int64_t extent, const Status& status, std::span<const std::byte> extent_bytes) {
    std::unique_lock lock(mutex);
    if (answered) return;
    const ReplicaPin held = replica;  // released after the lock
    if (!status.ok()) {
      const ReadCallback answer = Claim();
      lock.unlock();
      answer(status.error());
      return;
    }
    const uint64_t start = held->source->extent_start(extent);
    const uint64_t begin = std::max(offset, start);
    const uint64_t end = std::min(offset + size, start + held->source->extent_bytes(extent));
    if (bytes.empty()) {
      const ReadCallback answer = Claim();
      lock.unlock();
      answer(extent_bytes.subspan(begin - start, end - begin));
      return;
    }
    std::memcpy(bytes.data() + (begin - offset), extent_bytes.data() + (begin - start),
                end - begin);
    if (--parts_left > 0) return;
    const ReadCallback answer = Claim();
    lock.unlock();
    answer(std::span<const std::byte>(bytes));
  }
};

// A read of the cache disk that is not waited for longer than a healthy disk takes.
struct BlockCache::DiskRead {
  std::mutex mutex;
  ReadCallback callback;
  ReplicaPin replica;  // until it is answered; whoever is late holds nothing

  ~DiskRead() {
    if (callback) callback(CacheEnds());
  }

  // Null where somebody else has it.
  std::pair<ReadCallback, ReplicaPin> Claim() {
    const std::lock_guard lock(mutex);
    return {std::exchange(callback, nullptr), std::exchange(replica, nullptr)};
  }
};

void BlockCache::Read(const ReplicaPin& replica, uint64_t offset, size_t size,
                      ReadCallback callback) {
  const BlockSource& source = *replica->source;
  if (offset >= source.file_bytes || size == 0) {
    callback(std::span<const std::byte>());
    return;
  }
  size = static_cast<size_t>(std::min<uint64_t>(size, source.file_bytes - offset));
  if (!DiskUsable()) {
    ReadThrough(replica, offset, size, std::move(callback));
    return;
  }
  if (!AllPresent(replica, offset, size)) {
    ReadMissing(replica, offset, size, std::move(callback));
    return;
  }
  if (AnswerFromRecent(replica, offset, size, callback)) return;
  const std::span<std::byte> buffer = ScratchBuffer(size);
  if (ReadFromMemory(replica, offset, buffer)) {
    CountHit(size);
    callback(std::span<const std::byte>(buffer));
    return;
  }
  ReadFromDisk(replica, offset, size, std::move(callback));
}

bool BlockCache::AllPresent(const ReplicaPin& replica, uint64_t offset, size_t size) {
  const auto last = static_cast<int64_t>((offset + size - 1) / kExtentBytes);
  const std::lock_guard lock(replica->mutex);
  for (auto extent = static_cast<int64_t>(offset / kExtentBytes); extent <= last; ++extent) {
    if (replica->extents.Get(extent) != ExtentState::kPresent) return false;
  }
  return true;
}

void BlockCache::CountHit(size_t size) {
  counters_.hit_reads++;
  counters_.hit_bytes += size;
}

bool BlockCache::AnswerFromRecent(const ReplicaPin& replica, uint64_t offset, size_t size,
                                  const ReadCallback& callback) {
  const uint64_t within = offset % kExtentBytes;
  if (within + size > kExtentBytes) return false;
  const auto number = static_cast<int64_t>(offset / kExtentBytes);
  const bool reads_its_end = within + size == replica->source->extent_bytes(number);
  const RecentExtents::Buffer extent = recent_.Find(replica->source->id, number, reads_its_end);
  if (!extent) return false;
  CountHit(size);
  callback(std::span<const std::byte>(extent->span().subspan(within, size)));
  return true;
}

bool BlockCache::ReadFromMemory(const ReplicaPin& replica, uint64_t offset,
                                std::span<std::byte> destination) {
  std::shared_ptr<const FileDescriptor> file;
  {
    const std::lock_guard lock(replica->mutex);
    file = replica->file;
  }
  if (!file) return false;
  const iovec part{destination.data(), destination.size()};
  return preadv2(file->get(), &part, 1, static_cast<off_t>(offset), RWF_NOWAIT) ==
         static_cast<ssize_t>(destination.size());
}

void BlockCache::ReadFromDisk(const ReplicaPin& replica, uint64_t offset, size_t size,
                              ReadCallback callback) {
  auto read = std::make_shared<DiskRead>();
  read->callback = std::move(callback);
  read->replica = replica;
  if (options_.health != nullptr) {
    deadlines_.At(DeadlineWatch::Clock::now() + options_.disk_patience,
                  [this, waiting = std::weak_ptr<DiskRead>(read), offset, size] {
                    const auto late = waiting.lock();
                    if (!late) return;
                    auto [answer, held] = late->Claim();
                    if (answer) ReadThrough(held, offset, size, std::move(answer));
                  });
  }
  disk_readers_.Submit(WorkerPool::Priority::kDemand, [this, read, replica, offset, size] {
    const std::span<std::byte> buffer = ScratchBuffer(size);
    const bool is_there = ReadLocal(replica, offset, buffer);
    auto [answer, held] = read->Claim();
    if (!answer) return;
    if (is_there) {
      CountHit(size);
      answer(std::span<const std::byte>(buffer));
    } else {
      // What could not be read is distrusted now: it is fetched.
      Read(replica, offset, size, std::move(answer));
    }
  });
}

std::shared_ptr<BlockCache::ReadRequest> BlockCache::MakeRequest(const ReplicaPin& replica,
                                                                 uint64_t offset, size_t size,
                                                                 ReadCallback callback) {
  counters_.missed_reads++;
  counters_.missed_bytes += size;
  auto request = std::make_shared<ReadRequest>();
  request->offset = offset;
  request->size = size;
  request->callback = std::move(callback);
  request->replica = replica;
  request->parts_left =
      static_cast<size_t>((offset + size - 1) / kExtentBytes - offset / kExtentBytes + 1);
  if (request->parts_left > 1) request->bytes.resize(size);
  deadlines_.At(
      DeadlineWatch::Clock::now() + options_.upstream_timeout,
      [this, waiting = std::weak_ptr<ReadRequest>(request), path = replica->source->path] {
        const auto late = waiting.lock();
        if (!late) return;
        std::unique_lock lock(late->mutex);
        if (late->answered) return;
        counters_.timeouts++;
        const ReplicaPin held = late->replica;  // released after the lock
        const ReadCallback answer = late->Claim();
        lock.unlock();
        answer(Error::Timeout("the store did not answer in time").In(path));
      });
  return request;
}

void BlockCache::ReadMissing(const ReplicaPin& replica, uint64_t offset, size_t size,
                             ReadCallback callback) {
  const BlockSource& source = *replica->source;
  const auto request = MakeRequest(replica, offset, size, std::move(callback));
  if (options_.health != nullptr) LeaveWhenSick(request, offset, size);
  bool submitted = false;
  const auto last = static_cast<int64_t>((offset + size - 1) / kExtentBytes);
  for (auto extent = static_cast<int64_t>(offset / kExtentBytes); extent <= last; ++extent) {
    std::unique_lock lock(replica->mutex);
    if (replica->extents.Get(extent) == ExtentState::kPresent) {
      lock.unlock();
      std::vector<std::byte> whole(source.extent_bytes(extent));
      if (ReadLocal(replica, source.extent_start(extent), whole)) {
        request->Take(extent, Status(), whole);
        continue;
      }
      lock.lock();
    }
    replica->waiters[extent].push_back(
        [request, extent](const Status& status, std::span<const std::byte> bytes) {
          request->Take(extent, status, bytes);
        });
    const ExtentState now = replica->extents.Get(extent);
    // Present again in the meantime is possible; then it is simply fetched once more.
    if (now == ExtentState::kFetching) continue;
    replica->extents.Set(extent, ExtentState::kFetching);
    lock.unlock();
    submitted = true;
    fetchers_.Submit(WorkerPool::Priority::kDemand,
                     [this, replica, extent, unverified = now == ExtentState::kUnverified] {
                       FetchExtent(replica, extent, unverified);
                       // Not before: what is wanted now does not share the store with the rest.
                       StartFill(replica);
                     });
  }
  if (!submitted) StartFill(replica);
}

void BlockCache::LeaveWhenSick(const std::weak_ptr<ReadRequest>& waiting, uint64_t offset,
                               size_t size) {
  deadlines_.At(DeadlineWatch::Clock::now() + options_.disk_patience,
                [this, waiting, offset, size] {
                  const auto late = waiting.lock();
                  if (!late) return;
                  if (DiskUsable()) {
                    LeaveWhenSick(waiting, offset, size);
                    return;
                  }
                  std::unique_lock lock(late->mutex);
                  if (late->answered) return;
                  const ReplicaPin replica = late->replica;
                  ReadCallback answer = late->Claim();
                  lock.unlock();
                  ReadThrough(replica, offset, size, std::move(answer));
                });
}

void BlockCache::ReadThrough(const ReplicaPin& replica, uint64_t offset, size_t size,
                             ReadCallback callback) {
  const auto request = MakeRequest(replica, offset, size, std::move(callback));
  const auto last = static_cast<int64_t>((offset + size - 1) / kExtentBytes);
  for (auto extent = static_cast<int64_t>(offset / kExtentBytes); extent <= last; ++extent) {
    fetchers_.Submit(WorkerPool::Priority::kDemand, [this, replica, request, extent] {
      const std::span<std::byte> buffer = ScratchBuffer(replica->source->extent_bytes(extent));
      Status fetched = FetchVerified(replica, extent, buffer);
      counters_.uncached_extents++;
      // The sick disk may have it still; its bytes are proved like any.
      if (!fetched.ok() && ProveLocal(replica, extent, buffer)) fetched = Status();
      request->Take(extent, fetched, buffer);
    });
  }
}

bool BlockCache::ReadLocal(const ReplicaPin& replica, uint64_t offset,
                           std::span<std::byte> destination) {
  std::shared_ptr<const FileDescriptor> file;
  {
    const std::lock_guard lock(replica->mutex);
    file = replica->file;
  }
  const std::string path = directory_.BlockPath(replica->source->id).string();
  Status read = Error::Internal("the replica is not open").In(path);
  if (file) {
    const DiskWait wait(options_.health);
    read = ReadFully(file->get(), offset, destination, path);
  }
  if (read.ok()) return true;
  DiskFailed(read.error());
  const auto last = static_cast<int64_t>((offset + destination.size() - 1) / kExtentBytes);
  for (auto extent = static_cast<int64_t>(offset / kExtentBytes); extent <= last; ++extent) {
    DistrustExtent(replica, extent, read.error().ToString());
  }
  return false;
}

void BlockCache::DistrustExtent(const ReplicaPin& replica, int64_t extent, const std::string& why) {
  spdlog::error("{}: extent {} of the local replica cannot be used and is fetched again: {}",
                replica->source->path, extent, why);
  const std::lock_guard lock(replica->mutex);
  if (replica->extents.Get(extent) == ExtentState::kPresent) {
    replica->extents.Set(extent, ExtentState::kAbsent);
  }
  replica->complete = false;
}

}  // namespace penstock::cachefs
