// An upstream that answers in bounded time, whatever the store does: calls are made on threads of
// its own, and while the store is away (store_presence.h) it is not asked at all. (Of a directory
// on a disk of this machine, where the thread of the caller does as well, the time is not bounded.)
//
// Bounded are all calls but Read and ReadUnchanged, which bring extents into the buffer of their
// caller and are waited for by threads that do nothing else. Those who wait for an answer for a
// third of the time-out begin to doubt that the store is there. An error that the whole store may
// be the cause of, and a "not found" where the root turns out to be empty, are IsStoreAway where it
// is.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_WATCHED_UPSTREAM_H_
#define PENSTOCK_CACHEFS_UPSTREAM_WATCHED_UPSTREAM_H_

#include <chrono>
#include <memory>

#include "cachefs/upstream/store_presence.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

class WatchedUpstream : public Upstream {
 public:
  // Drops what has not begun, and leaves alone what hangs.
  ~WatchedUpstream() override = default;
  virtual const std::shared_ptr<StorePresence>& presence() const = 0;
  // Whether all that was seen lies on a disk of this machine: a question is answered sooner than
  // another thread is woken.
  virtual bool is_local() const = 0;
  // False where calls hang in the store: the process should end without destructors.
  virtual bool WaitIdle(std::chrono::milliseconds patience) = 0;
  // For the end of the process: nobody may ask any more, and the threads that asked end. False
  // where they hang in the store: the process should end without destructors, since they go on.
  virtual bool End(std::chrono::milliseconds patience) = 0;
};

std::shared_ptr<WatchedUpstream> WatchUpstream(std::shared_ptr<Upstream> store,
                                               std::chrono::milliseconds timeout);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_WATCHED_UPSTREAM_H_
