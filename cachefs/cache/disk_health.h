// DiskHealth: whether the cache disk may be used.
//
//   normal    everything as it should be
//   doubtful  it has failed several times within a minute, or something has been waiting for it for
//             seconds: nothing is written to it or read from it, but for a probe each second
//   off       the probes have failed, too: they come every half minute
//
// Probes that succeed one after another bring it back to normal, from both. A full disk is no sick
// disk. Whoever uses the disk says so with an Operation, so that one that never ends is noticed.
// Thread-safe.

#ifndef PENSTOCK_CACHEFS_CACHE_DISK_HEALTH_H_
#define PENSTOCK_CACHEFS_CACHE_DISK_HEALTH_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "penstock/base/result.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

struct DiskHealthOptions {
  int most_failures = 3;  // within `window`
  std::chrono::milliseconds window{60'000};
  std::chrono::milliseconds longest_wait{5'000};  // for one operation
  std::chrono::milliseconds probe_pause{1'000};
  std::chrono::milliseconds off_pause{30'000};
  int probes_to_off = 5;
  int probes_to_normal = 3;
};

class DiskHealth {
 public:
  enum class State : uint8_t { kNormal, kDoubtful, kOff };
  // Writes something to the disk, syncs it and reads it back. Called from a thread of its own,
  // which may hang in it.
  using Probe = std::function<Status()>;
  using Options = DiskHealthOptions;

  explicit DiskHealth(Probe probe, Options options = {});
  // Waits for a probe that is under way, however long it takes.
  ~DiskHealth();
  DiskHealth(const DiskHealth&) = delete;
  DiskHealth& operator=(const DiskHealth&) = delete;

  // Called, from the watching thread, for each operation that has been waiting for too long:
  // whoever lent a thread to it may want another one.
  void OnStuck(std::function<void()> listener) { on_stuck_ = std::move(listener); }
  // Begins to watch.
  void Start();
  // False where a probe is still stuck after `patience`.
  bool Stop(std::chrono::milliseconds patience);

  bool usable() const { return state_.load(std::memory_order_acquire) == State::kNormal; }
  State state() const { return state_.load(std::memory_order_acquire); }
  // An operation has failed. kNoSpace does not count.
  void Failed(const Error& error);

  // From construction to destruction the disk is being waited for. Null: nobody looks.
  class Wait {
   public:
    explicit Wait(DiskHealth* health);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    DiskHealth* const health_;
    std::list<std::chrono::steady_clock::time_point>::iterator place_;
  };

  // {"state", "since" (seconds since 1970), "reason", "probes_failed"}.
  Json Describe() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Watch(const std::stop_token& stop);
  void ProbeDisk(const std::stop_token& stop);
  void EnterLocked(State state, const std::string& reason);

  const Probe probe_;
  const Options options_;
  std::function<void()> on_stuck_;
  std::atomic<State> state_{State::kNormal};

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::list<Clock::time_point> waits_;  // begun and not ended, oldest first
  size_t known_stuck_ = 0;              // of these, from the front
  std::deque<Clock::time_point> failures_;
  std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
  std::string reason_;
  int good_probes_ = 0;
  int bad_probes_ = 0;
  bool probing_ = false;
  Clock::time_point probe_began_;
  int threads_ = 0;

  std::jthread watcher_;  // last: they use everything above
  std::jthread prober_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_DISK_HEALTH_H_
