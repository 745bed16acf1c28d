#include "cachefs/cache/block_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>

namespace penstock::cachefs {

namespace {

// Everything but the device, which changes with the order in which disks are found at boot.
bool SameFile(const FileIdentity& a, const FileIdentity& b) {
  return a.inode == b.inode && a.size == b.size && a.mtime_ns == b.mtime_ns &&
         a.ctime_ns == b.ctime_ns;
}

std::span<std::byte> ScratchBuffer(size_t size) {
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < size) buffer.resize(size);
  return {buffer.data(), size};
}

const std::string& BootId() {
  static const std::string id = [] {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string text;
    return std::getline(file, text) ? text : std::string("unknown");
  }();
  return id;
}

// The hashes of an ordinary file's extents, from a record that was made when they were fetched;
// they hold whatever has become of the replica since.
bool LearnChecksums(Replica& replica, const ReplicaRecord& record) {
  if (replica.source->is_block()) return true;
  ExtentMap recorded(replica.extents.size());
  if (record.generation != replica.source->generation || !recorded.FromHex(record.extents) ||
      static_cast<int64_t>(record.checksums.size()) != recorded.present()) {
    return false;
  }
  auto checksum = record.checksums.begin();
  for (int64_t extent = 0; extent < recorded.size(); ++extent) {
    if (recorded.Get(extent) != ExtentState::kPresent) continue;
    replica.learned_checksums[extent] = *checksum++;
  }
  return true;
}

}  // namespace

// A read that waits for extents. Each extent copies its part; the last one answers.
struct BlockCache::ReadRequest {
  std::mutex mutex;
  std::vector<std::byte> bytes;
  size_t parts_left = 0;
  bool answered = false;
  ReadCallback callback;
  ReplicaPin replica;

  // Gives up the callback, to be called by whoever gets it.
  ReadCallback Claim() {
    answered = true;
    replica = nullptr;
    return std::exchange(callback, nullptr);
  }
};

BlockCache::BlockCache(const CacheDirectory& directory, ReplicaStore& store,
                       std::shared_ptr<Upstream> upstream, DeadlineWatch& deadlines,
                       CacheCounters& counters, const Options& options)
    : directory_(directory),
      store_(store),
      upstream_(std::move(upstream)),
      deadlines_(deadlines),
      counters_(counters),
      options_(options),
      fetchers_(options.fetch_threads) {
  TakeInventory();
}

BlockCache::~BlockCache() { Stop(std::chrono::milliseconds(0)); }

ReplicaPin BlockCache::Pin(const std::shared_ptr<const BlockSource>& source) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Replica>& replica = replicas_[source->id];
  if (!replica) {
    replica = std::make_shared<Replica>(source);
    if (!source->is_block()) file_ids_.try_emplace(source->path, source->id);
    Load(*replica);
  }
  ++replica->pins;
  return {replica.get(), [this, held = replica](Replica*) { Unpin(held); }};
}

void BlockCache::Unpin(const std::shared_ptr<Replica>& replica) {
  const std::lock_guard lock(mutex_);
  if (--replica->pins > 0) return;
  nothing_to_evict_until_ = {};
  const BlockSource& source = *replica->source;
  if (!source.is_block()) {
    const auto current = file_ids_.find(source.path);
    if (current != file_ids_.end() && current->second != source.id) {
      EvictLocked(source.id);
    }
  }
  // One that holds nothing need not be remembered.
  if (!eviction_.Contains(replica->source->id)) replicas_.erase(replica->source->id);
}

void BlockCache::Load(Replica& replica) {
  const BlockSource& source = *replica.source;
  if (!eviction_.Contains(source.id) && !FindUnlistedLocked(source.id)) return;

  const auto record = store_.Get(source.id);
  const auto identity = IdentifyFile(directory_.BlockPath(source.id));
  if (!identity.ok() && identity.error().kind() == ErrorKind::kNotFound) {
    ForgetRecordLocked(source.id);
    return;
  }
  const bool learned = record && LearnChecksums(replica, *record);
  const bool trusted = learned && identity.ok() && record->generation == source.generation &&
                       record->block == source.block && identity->size == source.file_bytes &&
                       SameFile(record->identity, *identity) &&
                       replica.extents.FromHex(record->extents);
  // Nothing waited for the bytes of an ordinary file to reach the disk; a machine that was started
  // anew may have lost some.
  const bool durable = source.is_block() || (record && record->boot == BootId());
  if (!trusted || !durable) {
    spdlog::info("{}: the local replica has no matching record and is verified again", source.path);
    LoadUnverified(replica);
    holdings_.Set(source.id, source.dataset, source.block, /*extents_present=*/0,
                  /*complete=*/false, /*confirmed=*/true);
    return;
  }
  holdings_.Set(source.id, source.dataset, source.block, replica.extents.present(),
                record->complete, /*confirmed=*/true);
  auto opened = record->complete ? directory_.OpenReadOnly(source.id)
                                 : directory_.OpenForFilling(source.id, source.file_bytes);
  if (!opened.ok()) {
    counters_.cache_errors++;
    spdlog::error("{}", opened.error().ToString());
    replica.extents = ExtentMap(source.extent_count());
    return;
  }
  replica.file = std::make_shared<const FileDescriptor>(std::move(opened).value());
  replica.writable = !record->complete;
  replica.complete = record->complete && replica.extents.all_present();
}

void BlockCache::LoadUnverified(Replica& replica) const {
  const BlockSource& source = *replica.source;
  auto opened = directory_.OpenForFilling(source.id, source.file_bytes);
  if (!opened.ok()) {
    counters_.cache_errors++;
    spdlog::error("{}", opened.error().ToString());
    return;
  }
  replica.file = std::make_shared<const FileDescriptor>(std::move(opened).value());
  replica.writable = true;
  replica.extents = ExtentMap(source.extent_count());
  // Extents that are holes throughout were never fetched.
  const int fd = replica.file->get();
  off_t data = lseek(fd, 0, SEEK_DATA);
  while (data >= 0) {
    const off_t hole = lseek(fd, data, SEEK_HOLE);
    if (hole <= data) break;
    const auto last = (static_cast<uint64_t>(hole) - 1) / kExtentBytes;
    for (auto extent = static_cast<uint64_t>(data) / kExtentBytes; extent <= last; ++extent) {
      replica.extents.Set(static_cast<int64_t>(extent), ExtentState::kUnverified);
    }
    data = lseek(fd, hole, SEEK_DATA);
  }
}

void BlockCache::Read(const ReplicaPin& replica, uint64_t offset, size_t size,
                      ReadCallback callback) {
  const BlockSource& source = *replica->source;
  if (offset >= source.file_bytes || size == 0) {
    callback(std::span<const std::byte>());
    return;
  }
  size = static_cast<size_t>(std::min<uint64_t>(size, source.file_bytes - offset));
  const auto first = static_cast<int64_t>(offset / kExtentBytes);
  const auto last = static_cast<int64_t>((offset + size - 1) / kExtentBytes);

  auto all_present = [&] {
    const std::lock_guard lock(replica->mutex);
    for (int64_t extent = first; extent <= last; ++extent) {
      if (replica->extents.Get(extent) != ExtentState::kPresent) return false;
    }
    return true;
  };
  if (all_present()) {
    const std::span<std::byte> buffer = ScratchBuffer(size);
    if (ReadLocal(replica, offset, buffer)) {
      counters_.hit_reads++;
      counters_.hit_bytes += size;
      callback(std::span<const std::byte>(buffer));
      return;
    }
  }
  counters_.missed_reads++;
  counters_.missed_bytes += size;

  auto request = std::make_shared<ReadRequest>();
  request->bytes.resize(size);
  request->callback = std::move(callback);
  request->replica = replica;
  request->parts_left = static_cast<size_t>(last - first + 1);
  deadlines_.At(DeadlineWatch::Clock::now() + options_.upstream_timeout,
                [this, waiting = std::weak_ptr<ReadRequest>(request), path = source.path] {
                  const auto request = waiting.lock();
                  if (!request) return;
                  std::unique_lock lock(request->mutex);
                  if (request->answered) return;
                  counters_.timeouts++;
                  const ReplicaPin held = request->replica;  // released after the lock
                  const ReadCallback answer = request->Claim();
                  lock.unlock();
                  answer(Error::Timeout("the store did not answer in time").In(path));
                });

  for (int64_t extent = first; extent <= last; ++extent) {
    const uint64_t begin = std::max(offset, source.extent_start(extent));
    const uint64_t end =
        std::min(offset + size, source.extent_start(extent) + source.extent_bytes(extent));
    auto take = [request, from = begin - source.extent_start(extent), to = begin - offset,
                 count = end - begin](const Status& status, std::span<const std::byte> bytes) {
      std::unique_lock lock(request->mutex);
      if (request->answered) return;
      const ReplicaPin held = request->replica;
      if (!status.ok()) {
        const ReadCallback answer = request->Claim();
        lock.unlock();
        answer(status.error());
        return;
      }
      std::memcpy(request->bytes.data() + to, bytes.data() + from, count);
      if (--request->parts_left > 0) return;
      const ReadCallback answer = request->Claim();
      lock.unlock();
      answer(std::span<const std::byte>(request->bytes));
    };

    std::unique_lock lock(replica->mutex);
    const ExtentState state = replica->extents.Get(extent);
    if (state == ExtentState::kPresent) {
      lock.unlock();
      std::vector<std::byte> part(source.extent_bytes(extent));
      const uint64_t from = begin - source.extent_start(extent);
      if (ReadLocal(replica, begin, std::span(part).subspan(from, end - begin))) {
        take(Status(), part);
        continue;
      }
      lock.lock();
    }
    replica->waiters[extent].push_back(std::move(take));
    const ExtentState now = replica->extents.Get(extent);
    // Present again in the meantime is possible; then it is simply fetched once more.
    if (now == ExtentState::kFetching) continue;
    replica->extents.Set(extent, ExtentState::kFetching);
    lock.unlock();
    fetchers_.Submit(WorkerPool::Priority::kDemand,
                     [this, replica, extent, unverified = now == ExtentState::kUnverified] {
                       FetchExtent(replica, extent, unverified);
                     });
  }
  StartFill(replica);
}

bool BlockCache::ReadLocal(const ReplicaPin& replica, uint64_t offset,
                           std::span<std::byte> destination) {
  std::shared_ptr<const FileDescriptor> file;
  {
    const std::lock_guard lock(replica->mutex);
    file = replica->file;
  }
  const std::string path = directory_.BlockPath(replica->source->id).string();
  const Status read = file ? ReadFully(file->get(), offset, destination, path)
                           : Status(Error::Internal("the replica is not open").In(path));
  if (read.ok()) return true;
  counters_.cache_errors++;
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

bool BlockCache::IsComplete(const ReplicaPin& replica) const {
  const std::lock_guard lock(replica->mutex);
  return replica->complete;
}

bool BlockCache::HasUnverified(const ReplicaPin& replica) const {
  const std::lock_guard lock(replica->mutex);
  for (int64_t extent = 0; extent < replica->extents.size(); ++extent) {
    if (replica->extents.Get(extent) == ExtentState::kUnverified) return true;
  }
  return false;
}

Result<FileDescriptor> BlockCache::OpenForHandOut(const ReplicaPin& replica) const {
  return directory_.OpenReadOnly(replica->source->id);
}

void BlockCache::Touch(const ReplicaPin& replica) {
  const std::lock_guard lock(mutex_);
  eviction_.Touch(replica->source->id);
}

ResidencyDetail BlockCache::ResidencyOf(const BlockSource& source) const {
  const std::lock_guard lock(mutex_);
  ResidencyDetail detail{.extents = source.extent_count()};
  bool complete = false;
  if (const auto loaded = replicas_.find(source.id); loaded != replicas_.end()) {
    const std::lock_guard replica_lock(loaded->second->mutex);
    detail.extents_present = loaded->second->extents.present();
    complete = loaded->second->complete;
  } else if (const Holding* const held = holdings_.Find(source.id)) {
    detail.extents_present = held->extents_present;
    complete = held->complete;
  }
  if (complete) {
    detail.residency = Residency::kComplete;
  } else if (detail.extents_present > 0) {
    detail.residency = Residency::kPartial;
  }
  return detail;
}

uint64_t BlockCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return eviction_.bytes();
}

size_t BlockCache::block_count() const {
  const std::lock_guard lock(mutex_);
  return holdings_.size() - holdings_.files().files;
}

DatasetSums BlockCache::Datasets() const {
  const std::lock_guard lock(mutex_);
  return holdings_.datasets();
}

ReplicaRecord BlockCache::RecordOf(const Replica& replica, const FileIdentity& identity) {
  const BlockSource& source = *replica.source;
  ReplicaRecord record{.dataset = source.dataset,
                       .generation = source.generation,
                       .block = source.block,
                       .extents = replica.extents.ToHex(),
                       .identity = identity};
  if (source.is_block()) return record;
  record.boot = BootId();
  for (int64_t extent = 0; extent < replica.extents.size(); ++extent) {
    if (replica.extents.Get(extent) != ExtentState::kPresent) continue;
    record.checksums.push_back(replica.learned_checksums.at(extent));
  }
  return record;
}

bool BlockCache::Stop(std::chrono::milliseconds patience) {
  inventory_stops_ = true;
  const bool listed = inventory_worker_.Stop(patience);
  const bool drained = fetchers_.Stop(patience) && listed;
  std::vector<std::shared_ptr<Replica>> loaded;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, replica] : replicas_) loaded.push_back(replica);
  }
  for (const auto& replica : loaded) {
    const std::lock_guard lock(replica->mutex);
    if (replica->complete || !replica->writable || replica->extents.present() == 0) continue;
    // An extent that is being written right now is not present, so the record claims nothing of it.
    const std::filesystem::path path = directory_.BlockPath(replica->source->id);
    if (!drained || fdatasync(replica->file->get()) != 0) continue;
    const auto identity = IdentifyFile(replica->file->get(), path);
    if (!identity.ok()) continue;
    const Status put =
        store_.Put(replica->source->id, RecordOf(*replica, *identity), /*sync=*/true);
    if (!put.ok()) spdlog::error("{}", put.error().ToString());
  }
  return drained;
}

}  // namespace penstock::cachefs
