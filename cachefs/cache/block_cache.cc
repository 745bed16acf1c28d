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

// Of blocks that are whole but not synced: what the kernel would leave unwritten of a copy, too. A
// part of the cache, as they cannot be evicted.
constexpr uint64_t kMostUnfinished = uint64_t{1} << 30;

constexpr std::chrono::seconds kRecentIdle{10};

}  // namespace

BlockCache::BlockCache(const CacheDirectory& directory, ReplicaStore& store,
                       std::shared_ptr<Upstream> upstream, DeadlineWatch& deadlines,
                       CacheCounters& counters, const Options& options)
    : directory_(directory),
      store_(store),
      upstream_(std::move(upstream)),
      deadlines_(deadlines),
      counters_(counters),
      options_(options),
      recent_(options.recent_extents, kRecentIdle, deadlines),
      fetch_threads_(options.fetch_threads),
      fetchers_(options.fetch_threads, options.fetch_threads > 1 ? 1 : 0),
      finish_queue_(fetchers_, std::min(kMostUnfinished, options.limits.cache_bytes / 8),
                    [this](const ReplicaPin& replica) { Finish(replica); }) {
  if (options_.most_fetch_threads > 0) {
    tuner_.emplace(options_.fetch_threads, FetchTuner::Limits{.most = options_.most_fetch_threads});
  }
  if (options_.health != nullptr) {
    // A thread that waits for the disk for ever is not to be missed by those who wait for the
    // store.
    options_.health->OnStuck([this] {
      fetchers_.AddThread(2 * fetch_threads_);
      disk_readers_.AddThread(2 * kDiskReaders);
    });
  }
  TakeInventory();
}

BlockCache::~BlockCache() { Stop(std::chrono::milliseconds(0)); }

ReplicaPin BlockCache::Pin(const std::shared_ptr<const BlockSource>& source) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Replica>& replica = replicas_[source->id];
  if (!replica) {
    replica = std::make_shared<Replica>(source);
    if (!source->is_block()) file_ids_.try_emplace(source->path, source->id);
    // What a sick disk has is looked at when it has recovered.
    replica->loaded = DiskUsable();
    if (replica->loaded) Load(*replica);
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
      if (EvictLocked(source.id)) RemoveDoomedSoon();
    }
  }
  // One that holds nothing need not be remembered.
  if (!replica->loaded || !eviction_.Contains(replica->source->id)) {
    replicas_.erase(replica->source->id);
  }
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
  NoteWrittenToTheEnd(replica, record);
  const bool learned = record && LearnChecksums(replica, *record);
  const bool trusted = learned && identity.ok() && record->generation == source.generation &&
                       record->block == source.block && identity->size == source.file_bytes &&
                       IsSameFile(record->identity, *identity) &&
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
  replica.verified_at = record->verified_at;
  replica.identity = *identity;
}

void BlockCache::NoteWrittenToTheEnd(Replica& replica,
                                     const std::optional<ReplicaRecord>& record) const {
  const BlockSource& source = *replica.source;
  if (source.is_block() && directory_.IsSealed(source.id)) {
    // Without a record too: it was complete, and synced.
    for (int64_t e = 0; e < source.extent_count(); ++e) {
      replica.written_to_the_end.Set(e, ExtentState::kPresent);
    }
  } else if (record && record->generation == source.generation &&
             (source.is_block() || record->boot == BootId())) {
    replica.written_to_the_end.FromHex(record->extents);
  }
}

void BlockCache::LoadUnverified(Replica& replica) const {
  const BlockSource& source = *replica.source;
  replica.extents = ExtentMap(source.extent_count());
  auto opened = directory_.OpenForFilling(source.id, source.file_bytes);
  if (!opened.ok()) {
    counters_.cache_errors++;
    spdlog::error("{}", opened.error().ToString());
    return;
  }
  replica.file = std::make_shared<const FileDescriptor>(std::move(opened).value());
  replica.writable = true;
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

bool BlockCache::IsComplete(const ReplicaPin& replica) const {
  if (!DiskUsable()) return false;
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
                       .identity = identity,
                       .verified_at = replica.verified_at};
  if (source.is_block()) return record;
  record.boot = BootId();
  for (int64_t extent = 0; extent < replica.extents.size(); ++extent) {
    if (replica.extents.Get(extent) != ExtentState::kPresent) continue;
    record.checksums.push_back(replica.learned_checksums.at(extent));
  }
  return record;
}

void BlockCache::AnswerAllWaiters(Replica& replica) {
  std::map<int64_t, std::vector<ExtentWaiter>> waiters;
  std::vector<CompletionCallback> completion_waiters;
  {
    const std::lock_guard lock(replica.mutex);
    waiters.swap(replica.waiters);
    completion_waiters.swap(replica.completion_waiters);
  }
  for (const auto& [extent, of_extent] : waiters) {
    for (const ExtentWaiter& waiter : of_extent) waiter(CacheEnds(), {});
  }
  for (const CompletionCallback& waiter : completion_waiters) waiter(CacheEnds());
}

bool BlockCache::Stop(std::chrono::milliseconds patience) {
  inventory_stops_ = true;
  waiting_fills_.Drop();
  const bool read = disk_readers_.Stop(patience);
  const bool listed = inventory_worker_.Stop(patience);
  const auto unfinished = finish_queue_.Stop(patience);
  const bool drained = fetchers_.Stop(patience) && listed && read && unfinished;
  for (const ReplicaPin& replica : unfinished.value_or(std::vector<ReplicaPin>())) {
    if (!drained || !DiskUsable() || !IsStillWhole(replica) || !FinishFile(replica).ok()) continue;
    const std::lock_guard lock(replica->mutex);
    replica->complete = true;
  }
  std::vector<std::shared_ptr<Replica>> loaded;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, replica] : replicas_) loaded.push_back(replica);
  }
  for (const auto& replica : loaded) AnswerAllWaiters(*replica);
  for (const auto& replica : loaded) {
    const std::lock_guard lock(replica->mutex);
    if (replica->complete || !replica->writable || replica->extents.present() == 0) continue;
    // An extent that is being written right now is not present, so the record claims nothing of it.
    const std::filesystem::path path = directory_.BlockPath(replica->source->id);
    if (!drained || !DiskUsable() || fdatasync(replica->file->get()) != 0) continue;
    const auto identity = IdentifyFile(replica->file->get(), path);
    if (!identity.ok()) continue;
    const Status put =
        store_.Put(replica->source->id, RecordOf(*replica, *identity), /*sync=*/true);
    if (!put.ok()) spdlog::error("{}", put.error().ToString());
  }
  return drained;
}

}  // namespace penstock::cachefs
