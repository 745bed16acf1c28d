// BlockCache: verified local replicas of the blocks of a store, and of its other files.
//
// The rule that everything here serves: bytes are seen by nobody before their XXH3 has been
// compared with the dataset's extent checksums, whether they come from the store or from a file
// that was found in the cache directory without a matching record. An ordinary file has no
// checksums in the store: its bytes are taken as the store gives them while the file is in the
// state that was asked for (else ESTALE), and are proved against what they were from then on.
//
// Nothing here blocks on the store in the caller's thread. Fetches run on a fixed number of
// workers, one at a time per extent whatever the number of readers, and every waiting reader is
// answered within the upstream time-out. Thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_BLOCK_CACHE_H_
#define PENSTOCK_CACHEFS_CACHE_BLOCK_CACHE_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cachefs/cache/block_source.h"
#include "cachefs/cache/cache_directory.h"
#include "cachefs/cache/counters.h"
#include "cachefs/cache/deadline_watch.h"
#include "cachefs/cache/disk_health.h"
#include "cachefs/cache/extent_peers.h"
#include "cachefs/cache/fetch_tuner.h"
#include "cachefs/cache/finish_queue.h"
#include "cachefs/cache/holding_table.h"
#include "cachefs/cache/parked_tasks.h"
#include "cachefs/cache/recent_extents.h"
#include "cachefs/cache/replica.h"
#include "cachefs/cache/s3_fifo.h"
#include "cachefs/cache/worker_pool.h"
#include "cachefs/policy/cache_policy.h"
#include "cachefs/state/replica_store.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

struct CacheLimits {
  uint64_t cache_bytes = UINT64_MAX;  // of replicas
  uint64_t reserve_bytes = 0;         // of the disk, to be left free
  uint64_t reserve_files = 0;         // inodes of the disk, to be left free
};

enum class Residency : uint8_t { kAbsent = 0, kPartial = 1, kComplete = 2 };

// "complete", "partial" or "absent".
constexpr const char* ResidencyName(Residency residency) {
  return residency == Residency::kComplete  ? "complete"
         : residency == Residency::kPartial ? "partial"
                                            : "absent";
}

struct ResidencyDetail {
  Residency residency = Residency::kAbsent;
  int64_t extents_present = 0;
  int64_t extents = 0;
};

// What was found when a replica was read again from the disk.
struct ReplicaCheck {
  struct Damage {
    int64_t extent = 0;
    uint64_t expected = 0;               // XXH3-64
    std::optional<uint64_t> found = {};  // nothing: the disk did not give the bytes
    bool healed = false;                 // fetched again and written in its place
  };
  uint64_t checked_bytes = 0;
  std::vector<Damage> damaged;
  int64_t healed_extents = 0;
  bool quarantined = false;  // could not be mended in its place
};

class BlockCache {
 public:
  // The span is only valid during the call.
  using ReadCallback = std::function<void(const Result<std::span<const std::byte>>&)>;
  using CompletionCallback = std::function<void(const Status&)>;

  struct Options {
    CacheLimits limits = {};
    std::chrono::milliseconds upstream_timeout{30'000};
    int fetch_threads = 4;         // reads of the store at once
    int most_fetch_threads = 0;    // 0: always fetch_threads; else as many as the store is worth
    size_t recent_extents = 0;     // in memory, of those that were fetched last
    ExtentPeers* peers = nullptr;  // asked before the store; must outlive the cache
    const CachePolicy* policy = nullptr;  // null: no pins, no quotas; must outlive the cache
    DiskHealth* health = nullptr;         // null: the disk is always well; must outlive the cache
    std::chrono::milliseconds disk_patience{5'000};  // then a read of the disk goes to the store
  };

  // The references must outlive the cache.
  BlockCache(const CacheDirectory& directory, ReplicaStore& store,
             std::shared_ptr<Upstream> upstream, DeadlineWatch& deadlines, CacheCounters& counters,
             const Options& options);
  // Precondition: no pins are left, but those of the cache's own tasks.
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // Called from a worker whenever a replica has become complete: on the disk and written down. Set
  // before the first Pin.
  void OnComplete(std::function<void(const BlockSource&)> listener) {
    on_complete_ = std::move(listener);
  }

  ReplicaPin Pin(const std::shared_ptr<const BlockSource>& source);

  // Reads [offset, offset + size) cut at the end of the file. The callback runs exactly once, in
  // this thread where the bytes are local, otherwise on a worker: kTimeout after the upstream
  // time-out, kCorrupt where the store's bytes do not match their checksum, kCancelled from Stop.
  void Read(const ReplicaPin& replica, uint64_t offset, size_t size, ReadCallback callback);

  // Fetches (or proves) what is missing in the background.
  void StartFill(const ReplicaPin& replica,
                 WorkerPool::Priority priority = WorkerPool::Priority::kBackground);
  // Calls back when the replica is complete, or with kTimeout, or with the error that stopped it.
  void WhenComplete(const ReplicaPin& replica, std::chrono::milliseconds patience,
                    CompletionCallback callback);

  bool IsComplete(const ReplicaPin& replica) const;
  // True where bytes lie in the cache directory that still have to be proved.
  bool HasUnverified(const ReplicaPin& replica) const;
  // Called before a complete replica is given to somebody anew. False where its file is not as this
  // cache left it: it is not complete any more, and is proved again before a byte of it is given.
  bool IsAsItWasLeft(const ReplicaPin& replica);
  // A read-only descriptor for handing out. Precondition: IsComplete.
  Result<FileDescriptor> OpenForHandOut(const ReplicaPin& replica) const;
  // A use that counts for the choice of what to evict.
  void Touch(const ReplicaPin& replica);

  ResidencyDetail ResidencyOf(const BlockSource& source) const;
  // When what is there of it was proved, the longest ago of all; nothing where that is not known.
  // Asks the records where nobody has used the replica yet.
  std::optional<std::chrono::system_clock::time_point> VerifiedAt(const BlockSource& source) const;
  // False where it is held or not there.
  bool Evict(const std::string& id);

  // Reads what is there of a replica again from the disk and compares the hashes. A damaged extent
  // is kept as evidence and fetched again in its place, so that open descriptors get right bytes,
  // too; where that does not help, the replica is put into quarantine. `go_on` is called after each
  // extent with its bytes, to slow down or (false: kCancelled) stop. Blocks.
  Result<ReplicaCheck> CheckReplica(const std::shared_ptr<const BlockSource>& source,
                                    const std::function<bool(uint64_t bytes)>& go_on);
  // Who is in the cache: for going through all of them, in order of their ids.
  std::vector<HeldReplica> Everything() const;

  // `current` is an ordinary file in its present state: what is held of an earlier state goes, now
  // or when its last reader has closed it.
  void Supersede(const BlockSource& current);
  // Of the ordinary files at and below `path` ("": all).
  struct Evicted {
    size_t evicted = 0;
    size_t held = 0;
  };
  Evicted EvictFilesBelow(const std::string& path);

  // A pin or quota has changed.
  void PolicyChanged();
  // Bytes of each top-level folder of the store.
  FolderSums FolderBytes() const;

  uint64_t bytes() const;      // of blocks and other files
  size_t block_count() const;  // without the other files
  DatasetSums Datasets() const;
  FileResidency OtherFiles() const;
  // False while the cache directory is still being compared with the records.
  bool inventory_done() const;
  const CacheLimits& limits() const { return options_.limits; }
  // Reads of the store at once, as they may be now.
  int fetch_threads() const { return fetch_threads_; }

  // No more fetches: who waits for one is answered with kCancelled. The state of incomplete
  // replicas is written down. False where a worker is still stuck in the store after `patience`:
  // the process should then end without destructors.
  bool Stop(std::chrono::milliseconds patience);

 private:
  struct ReadRequest;
  struct DiskRead;
  using DiskWait = DiskHealth::Wait;

  static constexpr int kDiskReaders = 4;

  // inventory.cc. What the records say is known when the constructor returns; that it lies in the
  // cache directory, and what lies there without a record, is found out in the background.
  void TakeInventory();
  void CompareWithDirectory();
  // mutex_ is held. Whether a replica file is there that the comparison has not come to yet.
  bool FindUnlistedLocked(const std::string& id);
  // mutex_ is held. Sets the bytes that a replica takes of the disk.
  void SetBytesLocked(const std::string& id, uint64_t bytes);
  void Load(Replica& replica);
  void NoteWrittenToTheEnd(Replica& replica, const std::optional<ReplicaRecord>& record) const;
  void LoadUnverified(Replica& replica) const;
  void Unpin(const std::shared_ptr<Replica>& replica);
  static Error CacheEnds() { return Error::Cancelled("the cache is being closed"); }
  // Who waits holds the replica, which holds those who wait.
  static void AnswerAllWaiters(Replica& replica);

  bool DiskUsable() const { return options_.health == nullptr || options_.health->usable(); }
  void DiskFailed(const Error& error);  // fill_replica.cc

  // read_replica.cc
  static bool AllPresent(const ReplicaPin& replica, uint64_t offset, size_t size);
  void CountHit(size_t size);
  bool AnswerFromRecent(const ReplicaPin& replica, uint64_t offset, size_t size,
                        const ReadCallback& callback);
  // Only what the page cache has: false where the disk would have to be waited for.
  static bool ReadFromMemory(const ReplicaPin& replica, uint64_t offset,
                             std::span<std::byte> destination);
  void ReadFromDisk(const ReplicaPin& replica, uint64_t offset, size_t size, ReadCallback callback);
  void ReadMissing(const ReplicaPin& replica, uint64_t offset, size_t size, ReadCallback callback);
  // Whoever waits for an extent that hangs with the disk gets it from the store.
  void LeaveWhenSick(const std::weak_ptr<ReadRequest>& waiting, uint64_t offset, size_t size);
  // Without the disk: fetched, verified, not kept. The disk is the last resort.
  void ReadThrough(const ReplicaPin& replica, uint64_t offset, size_t size, ReadCallback callback);
  std::shared_ptr<ReadRequest> MakeRequest(const ReplicaPin& replica, uint64_t offset, size_t size,
                                           ReadCallback callback);
  // Reads one present extent part from the file; false (and the extent is absent again) where the
  // cache disk fails.
  bool ReadLocal(const ReplicaPin& replica, uint64_t offset, std::span<std::byte> destination);
  void DistrustExtent(const ReplicaPin& replica, int64_t extent, const std::string& why);

  // extent_fetch.cc. The extent is kFetching and belongs to the caller.
  enum class FetchOutcome {
    kStored,
    kNotKept,  // answered, but there is no room for it
    kDamaged,  // the store's bytes contradict their checksum; other extents may be sound
    kFailed,   // the store cannot be read
  };
  FetchOutcome FetchExtent(const ReplicaPin& replica, int64_t extent, bool was_unverified);
  // Bytes have come from the store.
  void TuneFetches(uint64_t bytes);
  FetchOutcome FetchAndAnswer(const ReplicaPin& replica, int64_t extent, bool was_unverified);
  bool ProveLocal(const ReplicaPin& replica, int64_t extent, std::span<std::byte> buffer);
  Status FetchVerified(const ReplicaPin& replica, int64_t extent, std::span<std::byte> buffer);
  Status FetchBlockExtent(const BlockSource& source, int64_t extent, std::span<std::byte> buffer);
  Status FetchFileExtent(const ReplicaPin& replica, int64_t extent, std::span<std::byte> buffer);
  bool StoreExtent(const ReplicaPin& replica, int64_t extent, std::span<const std::byte> bytes);
  Status WriteExtent(const ReplicaPin& replica, int64_t extent, std::span<const std::byte> bytes);
  void AnswerWaiters(const ReplicaPin& replica, int64_t extent, const Status& status,
                     std::span<const std::byte> bytes);

  // check_replica.cc
  std::optional<ReplicaCheck::Damage> CheckExtent(const ReplicaPin& replica, int64_t extent,
                                                  std::span<std::byte> buffer);
  void NoteVerified(const ReplicaPin& replica, int64_t verified_at);
  Status Heal(const ReplicaPin& replica, ReplicaCheck& check, std::span<std::byte> buffer);
  Status Quarantine(const ReplicaPin& replica);
  // The record of a replica that is not complete any more: what is present of it.
  Status WriteDownDistrust(const ReplicaPin& replica);

  // fill_replica.cc. Replica::mutex is held. True: SubmitFill must follow.
  bool BeginFillLocked(Replica& replica,
                       WorkerPool::Priority priority = WorkerPool::Priority::kBackground) const;
  void SubmitFill(const ReplicaPin& replica);
  void FillStep(const ReplicaPin& replica);
  // True: the chain goes on later.
  bool WaitsForReader(const ReplicaPin& replica);
  // Whenever a fetch or a chain has ended: finishes a replica that has become whole, and answers
  // those who wait for one that will not.
  void SettleFill(const ReplicaPin& replica);
  void FinishIfWanted(const ReplicaPin& replica);
  void Finish(const ReplicaPin& replica);
  // False where an extent was distrusted since the replica was found to be whole: it is not being
  // finished any more then.
  static bool IsStillWhole(const ReplicaPin& replica);
  Status FinishFile(const ReplicaPin& replica);

  bool ReserveSpace(const BlockSource& source, uint64_t bytes);
  void ReturnSpace(const BlockSource& source, uint64_t bytes);
  // `folder`: only from this one; nothing: from any, those above their soft quota first.
  bool EvictOneLocked(const std::string& except, std::optional<std::string_view> folder);
  bool EvictLocked(const std::string& id);
  // What it has on the disk goes with RemoveDoomed, without the lock: the disk may hang.
  void ForgetLocked(const std::string& id);
  void RemoveDoomed();
  void RemoveDoomedSoon();  // by a thread that may wait for the disk
  // Of a replica whose file is gone.
  void ForgetRecordLocked(const std::string& id);
  // What is written down of a replica; its mutex is held.
  static ReplicaRecord RecordOf(const Replica& replica, const FileIdentity& identity);

  const CacheDirectory& directory_;
  ReplicaStore& store_;
  const std::shared_ptr<Upstream> upstream_;
  DeadlineWatch& deadlines_;
  CacheCounters& counters_;
  const Options options_;
  std::function<void(const BlockSource&)> on_complete_;

  mutable std::mutex mutex_;  // taken before Replica::mutex, never after
  std::unordered_map<std::string, std::shared_ptr<Replica>> replicas_;
  HoldingTable holdings_;                                  // for those not loaded as a Replica, too
  std::unordered_map<std::string, std::string> file_ids_;  // replica of an ordinary file, by path
  S3Fifo eviction_;
  // Looking in vain at every replica for one to evict is not repeated for each extent.
  std::chrono::steady_clock::time_point nothing_to_evict_until_;
  std::vector<std::string> doomed_;           // forgotten, but still on the disk
  std::unordered_set<std::string> removing_;  // being removed from it right now
  bool inventory_done_ = false;
  std::atomic<bool> inventory_stops_{false};

  RecentExtents recent_;

  std::mutex tuner_mutex_;
  std::optional<FetchTuner> tuner_;  // guarded by tuner_mutex_
  std::atomic<int> fetch_threads_;

  // Last: their threads use everything above.
  WorkerPool fetchers_;
  ParkedTasks waiting_fills_{deadlines_};
  WorkerPool disk_readers_{kDiskReaders};
  WorkerPool inventory_worker_{1};
  FinishQueue finish_queue_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_BLOCK_CACHE_H_
