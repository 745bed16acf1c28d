// The part of BlockCache that fills whole replicas and makes them complete.

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "penstock/base/file.h"

namespace penstock::cachefs {

namespace {

// What a quick reader takes for an extent.
constexpr std::chrono::milliseconds kReaderCatchesUp{3};

}  // namespace

void BlockCache::StartFill(const ReplicaPin& replica, WorkerPool::Priority priority) {
  {
    const std::lock_guard lock(replica->mutex);
    if (!BeginFillLocked(*replica, priority)) return;
  }
  SubmitFill(replica);
}

bool BlockCache::BeginFillLocked(Replica& replica, WorkerPool::Priority priority) const {
  if (replica.complete || !DiskUsable()) return false;
  // Somebody wants now what was begun ahead of him.
  if (replica.fill_chains > 0) {
    replica.fill_priority = std::min(replica.fill_priority, priority);
    return false;
  }
  replica.fill_priority = priority;
  replica.fill_chains = fetch_threads_;
  replica.fill_next = 0;
  replica.fill_failure = Status();
  replica.refused = false;
  return true;
}

void BlockCache::SubmitFill(const ReplicaPin& replica) {
  WorkerPool::Priority priority{};
  int chains = 0;
  {
    const std::lock_guard lock(replica->mutex);
    priority = replica->fill_priority;
    chains = replica->fill_chains;
  }
  for (int chain = 0; chain < chains; ++chain) {
    fetchers_.Submit(priority, [this, replica] { FillStep(replica); });
  }
}

bool BlockCache::WaitsForReader(const ReplicaPin& replica) {
  WorkerPool::Priority priority{};
  int64_t next = 0;
  {
    const std::lock_guard lock(replica->mutex);
    if (!replica->completion_waiters.empty()) return false;
    priority = replica->fill_priority;
    next = replica->fill_next;
  }
  if (!recent_.ReaderIsFarBehind(replica->source->id, next)) return false;
  waiting_fills_.Park(kReaderCatchesUp, [this, replica, priority] {
    fetchers_.Submit(priority, [this, replica] { FillStep(replica); });
  });
  return true;
}

void BlockCache::FillStep(const ReplicaPin& replica) {
  if (WaitsForReader(replica)) return;
  std::optional<int64_t> extent;
  bool unverified = false;
  WorkerPool::Priority priority{};
  {
    const std::lock_guard lock(replica->mutex);
    priority = replica->fill_priority;
    extent = replica->extents.NextMissing(replica->fill_next);
    if (extent) {
      // Shared by the chains: an extent that fails is not tried again by the next one.
      replica->fill_next = *extent + 1;
      unverified = replica->extents.Get(*extent) == ExtentState::kUnverified;
      replica->extents.Set(*extent, ExtentState::kFetching);
    }
  }
  const FetchOutcome outcome =
      extent ? FetchExtent(replica, *extent, unverified) : FetchOutcome::kFailed;
  // With one extent damaged the block cannot become complete, but the sound ones are worth having.
  if (outcome == FetchOutcome::kStored || outcome == FetchOutcome::kDamaged) {
    fetchers_.Submit(priority, [this, replica] { FillStep(replica); });
    return;
  }
  {
    const std::lock_guard lock(replica->mutex);
    --replica->fill_chains;
  }
  SettleFill(replica);
}

void BlockCache::SettleFill(const ReplicaPin& replica) {
  Status failure;
  std::vector<CompletionCallback> waiters;
  bool finish = false;
  bool wanted = false;
  {
    const std::lock_guard lock(replica->mutex);
    if (replica->complete || replica->finishing || replica->extents.fetching() > 0) return;
    if (replica->extents.all_present()) {
      replica->finishing = finish = true;
      // Of an ordinary file nothing is synced that could be in the way.
      wanted = !replica->completion_waiters.empty() || !replica->source->is_block();
    } else if (replica->fill_chains > 0 || replica->completion_waiters.empty()) {
      return;
    } else if (!replica->fill_failure.ok()) {
      failure = replica->fill_failure;
      waiters.swap(replica->completion_waiters);
    }
  }
  if (finish && wanted) {
    Finish(replica);
  } else if (finish) {
    finish_queue_.Add(replica);
    FinishIfWanted(replica);
  } else if (waiters.empty()) {
    // Nothing failed, and yet something is missing: it was distrusted after it had been passed.
    StartFill(replica);
  }
  for (const CompletionCallback& waiter : waiters) waiter(failure);
}

void BlockCache::FinishIfWanted(const ReplicaPin& replica) {
  {
    const std::lock_guard lock(replica->mutex);
    if (!replica->finishing || replica->completion_waiters.empty()) return;
  }
  if (!finish_queue_.Take(replica)) return;
  fetchers_.Submit(WorkerPool::Priority::kDemand, [this, replica] { Finish(replica); });
}

void BlockCache::WhenComplete(const ReplicaPin& replica, std::chrono::milliseconds patience,
                              CompletionCallback callback) {
  struct Wait {
    std::mutex mutex;
    CompletionCallback callback;
    void Answer(const Status& status) {
      CompletionCallback once;
      {
        const std::lock_guard lock(mutex);
        once = std::exchange(callback, nullptr);
      }
      if (once) once(status);
    }
  };
  auto wait = std::make_shared<Wait>();
  wait->callback = std::move(callback);
  if (!DiskUsable()) {
    wait->Answer(Error(ErrorKind::kIo, "the cache disk is sick and not used for now")
                     .In(directory_.path().string()));
    return;
  }
  bool complete = false;
  bool begun = false;
  {
    const std::lock_guard lock(replica->mutex);
    complete = replica->complete;
    if (!complete) {
      replica->completion_waiters.push_back([wait](const Status& s) { wait->Answer(s); });
      // Under the same lock: what an earlier fill failed of is not this one's answer.
      begun = BeginFillLocked(*replica);
    }
  }
  if (complete) {
    wait->Answer(Status());
    return;
  }
  deadlines_.At(DeadlineWatch::Clock::now() + patience, [wait, path = replica->source->path] {
    wait->Answer(Error::Timeout("the block was not complete in time").In(path));
  });
  if (begun) SubmitFill(replica);
  FinishIfWanted(replica);
}

void BlockCache::Finish(const ReplicaPin& replica) {
  const BlockSource& source = *replica->source;
  if (!IsStillWhole(replica)) {
    SettleFill(replica);
    return;
  }
  const Status finished = FinishFile(replica);
  if (!finished.ok()) {
    // Sick hardware: the extents stay readable as they are; the block is just never handed out.
    DiskFailed(finished.error());
    spdlog::error("{}", finished.error().ToString());
  }
  std::vector<CompletionCallback> waiters;
  bool whole = true;
  {
    const std::lock_guard cache_lock(mutex_);
    const std::lock_guard lock(replica->mutex);
    whole = replica->extents.all_present();
    replica->complete = finished.ok() && whole;
    replica->finishing = false;
    if (whole || !finished.ok()) waiters.swap(replica->completion_waiters);
    holdings_.Set(source.id, source.dataset, source.block, replica->extents.present(),
                  replica->complete, /*confirmed=*/true);
    // Of an extent that a killed daemon was just writing, the directory told a part only.
    if (replica->complete && eviction_.Contains(source.id)) {
      SetBytesLocked(source.id, source.file_bytes);
    }
  }
  if (finished.ok() && !whole) {
    // Some of it was distrusted meanwhile, which the record does not know.
    if (const Status written = WriteDownDistrust(replica); !written.ok()) {
      spdlog::error("{}", written.error().ToString());
    }
    SettleFill(replica);
    return;
  }
  if (finished.ok() && on_complete_) on_complete_(source);
  for (const CompletionCallback& waiter : waiters) waiter(finished);
}

bool BlockCache::IsStillWhole(const ReplicaPin& replica) {
  const std::lock_guard lock(replica->mutex);
  const bool whole = replica->extents.all_present();
  if (!whole) replica->finishing = false;
  return whole;
}

void BlockCache::DiskFailed(const Error& error) {
  counters_.cache_errors++;
  if (options_.health != nullptr) options_.health->Failed(error);
}

Status BlockCache::FinishFile(const ReplicaPin& replica) {
  const DiskWait wait(options_.health);
  const BlockSource& source = *replica->source;
  const std::filesystem::path path = directory_.BlockPath(source.id);
  std::shared_ptr<const FileDescriptor> file;
  {
    const std::lock_guard lock(replica->mutex);
    file = replica->file;
  }
  // There may be many thousand small files; ReplicaRecord::boot says whether their bytes can still
  // be trusted.
  if (source.is_block() && fdatasync(file->get()) != 0) {
    return Error::FromErrno(errno, "cannot sync").In(path.string());
  }
  if (fchmod(file->get(), CacheDirectory::kSealedMode) != 0) {
    return Error::FromErrno(errno, "cannot set the mode of").In(path.string());
  }
  PENSTOCK_ASSIGN_OR_RETURN(FileDescriptor read_only, directory_.OpenReadOnly(source.id));
  PENSTOCK_ASSIGN_OR_RETURN(const FileIdentity identity, IdentifyFile(read_only.get(), path));
  ReplicaRecord record;
  {
    const std::lock_guard lock(replica->mutex);
    record = RecordOf(*replica, identity);
    record.complete = true;
  }
  PENSTOCK_RETURN_IF_ERROR(store_.Put(source.id, record, /*sync=*/source.is_block()));
  const std::lock_guard lock(replica->mutex);
  replica->file = std::make_shared<const FileDescriptor>(std::move(read_only));
  replica->writable = false;
  replica->identity = identity;
  return {};
}

}  // namespace penstock::cachefs
