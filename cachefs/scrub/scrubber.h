// Scrubber: reads every replica again from the disk, at a limited rate, and mends what is damaged.
//
// A pass goes through the replicas in the order of their ids and writes its position down, so that
// the next daemon goes on where this one stopped. What happened is in scrub-report.jsonl in the
// cache directory, one JSON object a line, for people and auditors: the beginning and the end of
// each pass with its sums, and every damaged extent with what was done about it.
//
// Replicas of what the store does not have any more (removed, or another generation) are evicted on
// the way, but for pinned ones. While the store is away or empty, or the disk sick, the pass waits.
// Nobody who asks how far it is waits with it. Thread-safe.

#ifndef PENSTOCK_CACHEFS_SCRUB_SCRUBBER_H_
#define PENSTOCK_CACHEFS_SCRUB_SCRUBBER_H_

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/upstream/store_presence.h"
#include "penstock/cachefs/mount.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

struct ScrubServices {
  std::shared_ptr<Upstream> upstream;
  StorePresence* presence = nullptr;  // of that upstream
  DatasetRegistry* registry = nullptr;
  BlockCache* cache = nullptr;
  const CachePolicy* policy = nullptr;
};

// The sums of one pass.
struct ScrubPass {
  int64_t number = 0;
  std::string position;  // id of the last replica that was dealt with
  int64_t began = 0;     // seconds since 1970
  std::optional<int64_t> ended;
  uint64_t replicas = 0;
  uint64_t bytes = 0;
  uint64_t damaged_extents = 0;
  uint64_t healed_extents = 0;
  uint64_t quarantined_replicas = 0;
  uint64_t evicted_replicas = 0;    // the store does not have them any more
  uint64_t unchecked_replicas = 0;  // of which no record says what they are
};

Json ToJson(const ScrubPass& pass);

class Scrubber {
 public:
  // `directory`: of the cache. The services must outlive the scrubber. Goes on with a pass that was
  // begun by an earlier daemon.
  Scrubber(const std::filesystem::path& directory, ScrubServices services, ScrubOptions options);
  // Waits for the store, however long it takes.
  ~Scrubber();
  // Stops at the next extent; the next daemon goes on there. False where the thread is still stuck
  // in the store after `patience`.
  bool Stop(std::chrono::milliseconds patience);
  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;

  // Begins a pass, or goes on with the one that was paused. kBusy while one is under way.
  Status Start();
  // Until Start.
  Status Pause();
  void SetRate(uint64_t bytes_per_second);

  // {"state": "running" | "paused" | "waiting for the store" | "idle", "pass": {...},
  // "total_bytes", "next": seconds since 1970 or null, "rate"}.
  Json Describe() const;

 private:
  void Run(const std::stop_token& stop);
  void RunPass(const std::stop_token& stop);
  // False: the pass does not go on now.
  bool ScrubOne(const HeldReplica& held, const std::stop_token& stop);
  // An error where the store or the disk cannot be asked now; kCancelled where the pass is to stop.
  Status ScrubNow(const HeldReplica& held, const std::stop_token& stop);
  // Null where the store does not have it any more.
  Result<std::shared_ptr<const BlockSource>> Resolve(const HeldReplica& held);
  // Sleeps as long as the rate asks for; false where the pass is to stop.
  bool Throttle(uint64_t bytes, const std::stop_token& stop);
  void Save();
  void Report(Json line) const;

  const std::filesystem::path state_file_;
  const std::filesystem::path report_file_;
  const ScrubServices services_;
  const std::chrono::seconds every_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  uint64_t bytes_per_second_;
  bool running_ = false;     // a pass is under way and not paused
  std::string waiting_for_;  // why a pass that is under way does not get on
  bool ended_ = false;       // the thread
  ScrubPass pass_;
  uint64_t total_bytes_ = 0;
  std::chrono::steady_clock::time_point next_extent_;

  std::jthread thread_;  // last: it uses everything above
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SCRUB_SCRUBBER_H_
