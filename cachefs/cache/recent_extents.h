// RecentExtents: the extents that were fetched last, in memory. A reader in order asks for an
// extent in 32 pieces or more; these are answered from where the bytes were verified, and the
// replica on the disk is not read back for them. Fetches that run further ahead of the reader than
// there is room do not push out what he comes to next.
//
// Thread-safe. What is in it never contradicts a replica: an id names one state of one block.

#ifndef PENSTOCK_CACHEFS_CACHE_RECENT_EXTENTS_H_
#define PENSTOCK_CACHEFS_CACHE_RECENT_EXTENTS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cachefs/cache/deadline_watch.h"
#include "penstock/base/aligned_buffer.h"
#include "penstock/base/result.h"

namespace penstock::cachefs {

class RecentExtents {
 public:
  using Buffer = std::shared_ptr<AlignedBuffer>;

  // Holds `limit` extents of 4 MiB at most, beside those that somebody works with. Where nothing
  // was kept for `idle` all memory is given back. An extent that was not read to its end gives way
  // to others after `awaited`. `deadlines` must outlive this.
  RecentExtents(size_t limit, std::chrono::milliseconds idle, DeadlineWatch& deadlines,
                std::chrono::milliseconds awaited = std::chrono::seconds(1))
      : limit_(limit), idle_(idle), awaited_(awaited), deadlines_(deadlines) {}

  // A buffer of one extent for the caller alone.
  Result<Buffer> TakeBuffer();
  // `buffer` has the verified bytes of the extent and is not written to any more.
  void Keep(const std::string& id, int64_t extent, Buffer buffer);
  // Whether somebody reads extents to their ends and is so far behind `next` of the replica, which
  // would be fetched ahead of him, that it would have to be read back from the disk for him.
  bool ReaderIsFarBehind(const std::string& id, int64_t next) const;
  // Null where it is not among them. What was read to its end makes room first.
  Buffer Find(const std::string& id, int64_t extent, bool reads_its_end = false) const;

 private:
  struct Entry {
    std::string id;
    int64_t extent = 0;
    Buffer buffer;
    DeadlineWatch::Clock::time_point kept;
    bool read_to_its_end = false;
  };
  // Shared with the deadline, which may come later.
  struct State {
    mutable std::mutex mutex;
    std::vector<Entry> entries;  // the oldest first
    std::vector<Buffer> spares;  // memory to use again; some of it may still be read
    DeadlineWatch::Clock::time_point last_kept;
    // What was read to its end last.
    std::string read_id;
    int64_t read_extent = 0;
    DeadlineWatch::Clock::time_point read_at;
    bool watched = false;
  };
  // The mutex is held.
  static void SpareLocked(State& state, Buffer buffer);
  static void Watch(const std::shared_ptr<State>& state, std::chrono::milliseconds idle,
                    DeadlineWatch& deadlines);

  const size_t limit_;
  const std::chrono::milliseconds idle_;
  const std::chrono::milliseconds awaited_;
  DeadlineWatch& deadlines_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CACHE_RECENT_EXTENTS_H_
