// The part of BlockCache that looks whether the disk still has what was written to it.

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <future>

#include "cachefs/cache/block_cache.h"
#include "penstock/base/aligned_buffer.h"
#include "penstock/dataset/checksum.h"

namespace penstock::cachefs {

namespace {

// A descriptor with O_DIRECT takes whole pages only, also at the end of the file.
Status ReadExtent(int fd, uint64_t offset, std::span<std::byte> whole, uint64_t bytes,
                  const std::filesystem::path& path) {
  PENSTOCK_ASSIGN_OR_RETURN(const size_t count, ReadSome(fd, offset, whole, path));
  if (count >= bytes) return {};
  return Error::Corrupt("the replica is shorter than it was").In(path.string());
}

}  // namespace

Result<ReplicaCheck> BlockCache::CheckReplica(const std::shared_ptr<const BlockSource>& source,
                                              const std::function<bool(uint64_t bytes)>& go_on) {
  const ReplicaPin replica = Pin(source);
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer buffer, AlignedBuffer::Allocate(kExtentBytes));
  ReplicaCheck check;
  const int64_t began = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const auto sick = [this] {
    return Error(ErrorKind::kIo, "the cache disk is sick and not used for now")
        .In(directory_.path().string());
  };
  for (int64_t extent = 0; extent < source->extent_count(); ++extent) {
    {
      const std::lock_guard lock(replica->mutex);
      if (replica->extents.Get(extent) != ExtentState::kPresent) continue;
    }
    if (!DiskUsable()) return sick();
    const auto damage = CheckExtent(replica, extent, buffer.span());
    check.checked_bytes += source->extent_bytes(extent);
    if (damage) {
      counters_.damaged_cache_extents++;
      if (damage->found) {
        const Status kept = directory_.KeepEvidence(
            source->id, extent, buffer.span().first(source->extent_bytes(extent)));
        if (!kept.ok()) spdlog::warn("{}", kept.error().ToString());
      }
      check.damaged.push_back(*damage);
    }
    if (!go_on(source->extent_bytes(extent))) return Error::Cancelled("the check was stopped");
  }
  // What it could not read while it became sick is not damage, and what was not loaded not checked.
  if (!DiskUsable()) return sick();
  if (check.damaged.empty()) {
    NoteVerified(replica, began);
  } else {
    PENSTOCK_RETURN_IF_ERROR(Heal(replica, check, buffer.span()));
  }
  return check;
}

void BlockCache::NoteVerified(const ReplicaPin& replica, int64_t verified_at) {
  bool complete = false;
  {
    const std::lock_guard lock(replica->mutex);
    replica->verified_at = verified_at;
    complete = replica->complete;
  }
  if (!complete) return;  // has no record before it is complete, or the daemon ends
  // The identity in the record stays: whoever wrote to the file since is still found out.
  auto record = store_.Get(replica->source->id);
  if (!record) return;
  record->verified_at = verified_at;
  const Status put = store_.Put(replica->source->id, *record, /*sync=*/false);
  if (!put.ok()) spdlog::error("{}", put.error().ToString());
}

std::optional<std::chrono::system_clock::time_point> BlockCache::VerifiedAt(
    const BlockSource& source) const {
  int64_t verified_at = 0;
  bool loaded = false;
  {
    const std::lock_guard lock(mutex_);
    const auto found = replicas_.find(source.id);
    if (found != replicas_.end() && found->second->loaded) {
      const std::lock_guard replica_lock(found->second->mutex);
      loaded = true;
      if (found->second->extents.present() > 0) verified_at = found->second->verified_at;
    } else if (holdings_.Find(source.id) == nullptr) {
      return std::nullopt;
    }
  }
  if (!loaded) {
    const auto record = store_.Get(source.id);
    if (record) verified_at = record->verified_at;
  }
  if (verified_at == 0) return std::nullopt;
  return std::chrono::system_clock::from_time_t(verified_at);
}

std::optional<ReplicaCheck::Damage> BlockCache::CheckExtent(const ReplicaPin& replica,
                                                            int64_t extent,
                                                            std::span<std::byte> buffer) {
  const BlockSource& source = *replica->source;
  ReplicaCheck::Damage damage{.extent = extent};
  {
    const std::lock_guard lock(replica->mutex);
    damage.expected = replica->ChecksumOf(extent).value_or(0);
  }
  const std::filesystem::path path = directory_.BlockPath(source.id);
  const uint64_t offset = source.extent_start(extent);
  const DiskWait wait(options_.health);
  const auto file = directory_.OpenForChecking(source.id);
  if (file.ok()) {
    // What has been written lately is not on the disk yet; that is not damage. (Without O_DIRECT
    // the pages must go first.)
    fdatasync(file->get());
    posix_fadvise(file->get(), static_cast<off_t>(offset),
                  static_cast<off_t>(source.extent_bytes(extent)), POSIX_FADV_DONTNEED);
    const Status read = ReadExtent(file->get(), offset, buffer, source.extent_bytes(extent), path);
    if (read.ok()) {
      damage.found = HashExtent(buffer.first(source.extent_bytes(extent)));
      if (*damage.found == damage.expected) return std::nullopt;
    } else if (read.error().kind() != ErrorKind::kCorrupt) {
      DiskFailed(read.error());
    }
  }
  return damage;
}

Status BlockCache::Heal(const ReplicaPin& replica, ReplicaCheck& check,
                        std::span<std::byte> buffer) {
  const BlockSource& source = *replica->source;
  for (const auto& damage : check.damaged) {
    DistrustExtent(replica, damage.extent,
                   damage.found ? fmt::format("XXH3 {:016x} on the disk, {:016x} expected",
                                              *damage.found, damage.expected)
                                : "the disk does not give the bytes");
  }
  // The next daemon is not to believe the record of before, should it not come to the mending.
  if (const Status written = WriteDownDistrust(replica); !written.ok()) {
    spdlog::error("{}", written.error().ToString());
  }
  const auto fill = [&]() -> Status {
    auto promise = std::make_shared<std::promise<Status>>();
    auto filled = promise->get_future();
    WhenComplete(replica, options_.upstream_timeout * 4,
                 [promise](const Status& status) { promise->set_value(status); });
    return filled.get();
  };
  // In its place first. Where the disk cannot keep the bytes there, in another one.
  Status filled = fill();
  const auto is_sound = [&](ReplicaCheck::Damage& damage) {
    if (!damage.healed) damage.healed = !CheckExtent(replica, damage.extent, buffer).has_value();
    return damage.healed;
  };
  const auto is_refused = [&] {
    const std::lock_guard lock(replica->mutex);
    return replica->refused && DiskUsable();
  };
  const bool in_place = filled.ok() ? std::ranges::all_of(check.damaged, is_sound) : !is_refused();
  if (!in_place) {
    const Status quarantined = Quarantine(replica);
    if (quarantined.ok()) {
      check.quarantined = true;
      filled = fill();
      if (filled.ok()) std::ranges::for_each(check.damaged, is_sound);
    } else {
      filled = quarantined;
    }
  }
  check.healed_extents = std::ranges::count_if(
      check.damaged, [](const ReplicaCheck::Damage& damage) { return damage.healed; });
  counters_.healed_cache_extents += static_cast<uint64_t>(check.healed_extents);
  if (!filled.ok()) {
    // The damaged extents are absent now and will be fetched when somebody wants them.
    spdlog::error("{}: the local replica is damaged and cannot be mended now: {}", source.path,
                  filled.error().ToString());
  }
  return {};
}

Status BlockCache::WriteDownDistrust(const ReplicaPin& replica) {
  const BlockSource& source = *replica->source;
  ReplicaRecord record;
  bool is_written_to = false;
  {
    const std::lock_guard lock(replica->mutex);
    record = RecordOf(*replica, replica->identity);
    is_written_to = replica->writable;
  }
  if (is_written_to) {
    PENSTOCK_ASSIGN_OR_RETURN(record.identity, IdentifyFile(directory_.BlockPath(source.id)));
  }
  return store_.Put(source.id, record, /*sync=*/true);
}

Status BlockCache::Quarantine(const ReplicaPin& replica) {
  const BlockSource& source = *replica->source;
  spdlog::error("{}: the local replica cannot be mended where it lies; it is put into quarantine",
                source.path);
  const std::lock_guard cache_lock(mutex_);
  const std::lock_guard lock(replica->mutex);
  PENSTOCK_RETURN_IF_ERROR(directory_.Quarantine(source.id));
  counters_.quarantined_replicas++;
  replica->extents = ExtentMap(source.extent_count());
  replica->file = nullptr;
  replica->writable = false;
  replica->complete = false;
  SetBytesLocked(source.id, 0);
  return store_.Remove(source.id);
}

bool BlockCache::IsAsItWasLeft(const ReplicaPin& replica) {
  if (!DiskUsable()) return true;
  const BlockSource& source = *replica->source;
  const auto changed = [&] {
    if (!replica->complete || !replica->file) return false;
    // Of the open file: that costs no access to the disk, and whoever replaces or removes it
    // changes its change time, too.
    const auto now = IdentifyFile(replica->file->get(), directory_.BlockPath(source.id));
    return now.ok() && !IsSameFile(*now, replica->identity);
  };
  {
    const std::lock_guard lock(replica->mutex);
    if (!changed()) return true;
  }
  const std::lock_guard cache_lock(mutex_);
  const std::lock_guard lock(replica->mutex);
  if (!changed()) return false;  // another open has seen it
  spdlog::warn("{}: the local replica {} was changed from outside and is verified again",
               source.path, directory_.BlockPath(source.id).string());
  replica->complete = false;
  replica->writable = false;
  replica->file = nullptr;
  LoadUnverified(*replica);
  holdings_.Set(source.id, source.dataset, source.block, /*extents_present=*/0,
                /*complete=*/false, /*confirmed=*/true);
  return false;
}

std::vector<HeldReplica> BlockCache::Everything() const {
  std::vector<HeldReplica> everything;
  {
    const std::lock_guard lock(mutex_);
    everything = holdings_.Everything();
  }
  std::ranges::sort(everything, {}, &HeldReplica::id);
  return everything;
}

}  // namespace penstock::cachefs
