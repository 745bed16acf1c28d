// The part of BlockCache that brings extents in: proving what lies in the cache directory, fetching
// from the store, writing.

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/write_past_page_cache.h"
#include "cachefs/upstream/store_presence.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

Error Mismatch(const BlockSource& source, int64_t extent, std::string expected, std::string found) {
  return Error::Corrupt("the store's bytes do not match their checksum")
      .In(source.path)
      .At(fmt::format("extent {}", extent))
      .AtOffset(source.extent_start(extent))
      .Expected(std::move(expected))
      .Found(std::move(found))
      .Advice("run penstock verify on the dataset in the store");
}

}  // namespace

BlockCache::FetchOutcome BlockCache::FetchExtent(const ReplicaPin& replica, int64_t extent,
                                                 bool was_unverified) {
  const FetchOutcome outcome = FetchAndAnswer(replica, extent, was_unverified);
  SettleFill(replica);
  return outcome;
}

BlockCache::FetchOutcome BlockCache::FetchAndAnswer(const ReplicaPin& replica, int64_t extent,
                                                    bool was_unverified) {
  const BlockSource& source = *replica->source;
  const int64_t began = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  auto whole_buffer = recent_.TakeBuffer();
  if (!whole_buffer.ok()) {
    AnswerWaiters(replica, extent, std::move(whole_buffer).error(), {});
    return FetchOutcome::kFailed;
  }
  const std::span<std::byte> buffer = (*whole_buffer)->span().first(source.extent_bytes(extent));

  bool stored = was_unverified && DiskUsable() && ProveLocal(replica, extent, buffer);
  if (!stored) {
    if (const Status fetched = FetchVerified(replica, extent, buffer); !fetched.ok()) {
      AnswerWaiters(replica, extent, fetched, {});
      return fetched.error().kind() == ErrorKind::kCorrupt ? FetchOutcome::kDamaged
                                                           : FetchOutcome::kFailed;
    }
    // Readers need not wait for the cache disk.
    std::vector<ExtentWaiter> early;
    {
      const std::lock_guard lock(replica->mutex);
      if (const auto found = replica->waiters.find(extent); found != replica->waiters.end()) {
        early.swap(found->second);
      }
    }
    for (const ExtentWaiter& waiter : early) waiter(Status(), buffer);
    // Bytes of an unverified extent are counted in the cache's size already.
    const uint64_t new_bytes = was_unverified ? 0 : buffer.size();
    stored =
        DiskUsable() && ReserveSpace(source, new_bytes) && StoreExtent(replica, extent, buffer);
    if (!stored) counters_.uncached_extents++;
  }

  if (stored) recent_.Keep(source.id, extent, *whole_buffer);
  {
    const std::lock_guard lock(replica->mutex);
    if (stored) {
      replica->verified_at =
          replica->extents.present() == 0 ? began : std::min(replica->verified_at, began);
      replica->written_to_the_end.Set(extent, ExtentState::kPresent);
    }
    replica->extents.Set(extent, stored ? ExtentState::kPresent : ExtentState::kAbsent);
    if (!stored) {
      replica->fill_failure =
          Error(ErrorKind::kNoSpace, "there is no room in the cache").In(source.path);
    }
  }
  AnswerWaiters(replica, extent, Status(), buffer);
  return stored ? FetchOutcome::kStored : FetchOutcome::kNotKept;
}

bool BlockCache::ProveLocal(const ReplicaPin& replica, int64_t extent,
                            std::span<std::byte> buffer) {
  const BlockSource& source = *replica->source;
  std::shared_ptr<const FileDescriptor> file;
  std::optional<uint64_t> expected;
  bool was_written = false;
  {
    const std::lock_guard lock(replica->mutex);
    file = replica->file;
    expected = replica->ChecksumOf(extent);
    was_written = replica->written_to_the_end.Get(extent) == ExtentState::kPresent;
  }
  if (!expected) return false;  // bytes of an ordinary file that no record speaks of
  const std::string path = directory_.BlockPath(source.id).string();
  if (!file) return false;
  Status read;
  {
    const DiskWait wait(options_.health);
    read = ReadFully(file->get(), source.extent_start(extent), buffer, path);
  }
  if (!read.ok()) {
    DiskFailed(read.error());
    return false;
  }
  if (HashExtent(buffer) == *expected) {
    counters_.reverified_bytes += buffer.size();
    return true;
  }
  if (!was_written) {
    spdlog::info(
        "{}: extent {} of the local replica {} was not written to its end; it is fetched "
        "again",
        source.path, extent, path);
    return false;
  }
  counters_.damaged_cache_extents++;
  spdlog::warn("{}: extent {} of the local replica {} is damaged; it is fetched again", source.path,
               extent, path);
  return false;
}

Status BlockCache::FetchVerified(const ReplicaPin& replica, int64_t extent,
                                 std::span<std::byte> buffer) {
  if (replica->source->is_block()) return FetchBlockExtent(*replica->source, extent, buffer);
  return FetchFileExtent(replica, extent, buffer);
}

Status BlockCache::FetchFileExtent(const ReplicaPin& replica, int64_t extent,
                                   std::span<std::byte> buffer) {
  const BlockSource& source = *replica->source;
  const auto read =
      upstream_->ReadUnchanged(source.path, source.identity, source.extent_start(extent), buffer);
  Status failure;
  if (!read.ok()) {
    failure = read.error();
  } else if (*read != buffer.size()) {
    failure = Error(ErrorKind::kIo, "the store gave fewer bytes than the file has")
                  .In(source.path)
                  .AtOffset(source.extent_start(extent))
                  .Expected(fmt::format("{} bytes", buffer.size()))
                  .Found(fmt::format("{} bytes", *read));
  }
  if (!failure.ok()) {
    // Another state of the file is no fault of the store.
    if (failure.error().system_errno() != ESTALE) {
      counters_.upstream_errors++;
      if (!IsStoreAway(failure.error())) {
        spdlog::error("fetching extent {}: {}", extent, failure.error().ToString());
      }
    }
    return failure;
  }
  counters_.fetched_file_bytes += buffer.size();
  TuneFetches(buffer.size());
  const uint64_t checksum = HashExtent(buffer);
  const std::lock_guard lock(replica->mutex);
  replica->learned_checksums[extent] = checksum;
  return {};
}

Status BlockCache::FetchBlockExtent(const BlockSource& source, int64_t extent,
                                    std::span<std::byte> buffer) {
  const uint64_t expected = source.extent_checksum[static_cast<size_t>(extent)];
  if (options_.peers != nullptr && options_.peers->Fetch(source, extent, buffer)) {
    if (HashExtent(buffer) == expected) {
      counters_.peer_fetched_bytes += buffer.size();
      return {};
    }
    options_.peers->Distrust(source);
  }
  Status result;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto read = upstream_->Read(source.path, source.extent_start(extent), buffer);
    if (!read.ok()) {
      counters_.upstream_errors++;
      if (!IsStoreAway(read.error())) {
        spdlog::error("fetching extent {}: {}", extent, read.error().ToString());
      }
      return read.error();
    }
    if (*read == buffer.size()) {
      const uint64_t found = HashExtent(buffer);
      if (found == expected) {
        counters_.fetched_bytes += buffer.size();
        TuneFetches(buffer.size());
        return {};
      }
      result = Mismatch(source, extent, fmt::format("XXH3 {:016x}", expected),
                        fmt::format("{:016x}", found));
    } else {
      result = Mismatch(source, extent, fmt::format("{} bytes", buffer.size()),
                        fmt::format("{} bytes", *read));
    }
    counters_.verification_failures++;
    spdlog::error("{}{}", result.error().ToString(), attempt == 0 ? " (trying once more)" : "");
  }
  return result;
}

void BlockCache::TuneFetches(uint64_t bytes) {
  const bool waiting = fetchers_.OthersWait();
  const std::lock_guard lock(tuner_mutex_);
  if (!tuner_ || !tuner_->Fetched(bytes, waiting, FetchTuner::Time::clock::now())) return;
  fetch_threads_ = tuner_->limit();
  // One takes nothing but what somebody waits for.
  fetchers_.LimitOthers(fetch_threads_ - 1);
  for (int i = 0; i < fetch_threads_; ++i) fetchers_.AddThread(fetch_threads_);
}

bool BlockCache::StoreExtent(const ReplicaPin& replica, int64_t extent,
                             std::span<const std::byte> bytes) {
  const BlockSource& source = *replica->source;
  Status written = WriteExtent(replica, extent, bytes);
  if (!written.ok() && written.error().kind() == ErrorKind::kNoSpace) {
    bool evicted = false;
    {
      const std::lock_guard lock(mutex_);
      evicted = EvictOneLocked(source.id, std::nullopt);
    }
    RemoveDoomed();
    if (evicted) written = WriteExtent(replica, extent, bytes);
  }
  if (written.ok()) return true;
  DiskFailed(written.error());
  spdlog::error("extent {} of {} is not kept: {}", extent, source.path, written.error().ToString());
  if (written.error().kind() != ErrorKind::kNoSpace) {
    const std::lock_guard lock(replica->mutex);
    replica->refused = true;
  }
  ReturnSpace(source, bytes.size());
  return false;
}

Status BlockCache::WriteExtent(const ReplicaPin& replica, int64_t extent,
                               std::span<const std::byte> bytes) {
  const BlockSource& source = *replica->source;
  const DiskWait wait(options_.health);
  std::shared_ptr<const FileDescriptor> file;
  {
    const std::lock_guard lock(replica->mutex);
    if (replica->writable) file = replica->file;
  }
  if (!file) {
    // Without the lock: readers need it, and the disk may take its time.
    PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor fd,
                              directory_.OpenForFilling(source.id, source.file_bytes));
    const std::lock_guard lock(replica->mutex);
    if (!replica->writable) {
      replica->file = std::make_shared<const FileDescriptor>(std::move(fd));
      replica->writable = true;
      replica->complete = false;
    }
    file = replica->file;
  }
  return WritePastPageCache(file->get(), source.extent_start(extent), bytes,
                            directory_.BlockPath(source.id));
}

void BlockCache::AnswerWaiters(const ReplicaPin& replica, int64_t extent, const Status& status,
                               std::span<const std::byte> bytes) {
  std::vector<ExtentWaiter> waiters;
  {
    const std::lock_guard lock(replica->mutex);
    if (!status.ok()) {
      replica->extents.Set(extent, ExtentState::kAbsent);
      replica->fill_failure = Error(ErrorKind::kIo, "the block could not be fetched")
                                  .In(replica->source->path)
                                  .Advice("the daemon's log has the reason");
    }
    if (const auto found = replica->waiters.find(extent); found != replica->waiters.end()) {
      waiters = std::move(found->second);
      replica->waiters.erase(found);
    }
  }
  for (const ExtentWaiter& waiter : waiters) waiter(status, bytes);
}

}  // namespace penstock::cachefs
