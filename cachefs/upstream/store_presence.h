// StorePresence: whether the store is there or away, and since when. One judgement for all who ask.
//
// A store is away where its root cannot be looked at or does not answer in time, and also where its
// root is empty although something of it was seen before: an export that is not mounted looks like
// a store from which everything was deleted. While it is away the store is asked once a second, on
// a thread of its own, and is back as soon as it answers.
//
// Thread-safe. Nobody waits for a thread that hangs in the store, not even the destructor: before
// the end of the process see to it with End that there is none.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_STORE_PRESENCE_H_
#define PENSTOCK_CACHEFS_UPSTREAM_STORE_PRESENCE_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "penstock/base/result.h"
#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

// The error of whatever needs a store that is away.
Error StoreIsAway(const std::string& store, const std::string& why);
bool IsStoreAway(const Error& error);

// Whether an error may mean that the whole store is away, so that it is worth asking.
bool RaisesDoubt(const Error& error);

// Looks at the root, and, where `must_hold_something`, whether anything is in it. Blocks as long as
// the store does.
Status LookAtStore(Upstream& store, bool must_hold_something);

class StorePresence {
 public:
  // `patience`: how long the root may take to answer one who doubts before the store is away.
  StorePresence(std::shared_ptr<Upstream> store, std::chrono::milliseconds patience);
  ~StorePresence();
  StorePresence(const StorePresence&) = delete;
  StorePresence& operator=(const StorePresence&) = delete;

  bool away() const;
  // StoreIsAway with the reason.
  Error WhyAway() const;

  // Something of the store was seen: from now on it is not believed to be empty.
  void ExpectSomething();
  bool expects_something() const;

  // Somebody has cause to doubt that the store is there: looks at it now, where that is not known
  // to be away. True where it is away.
  bool Doubt();
  // Looks at it now. True where it is away.
  bool Look();

  // {"state": "there" | "away", "since": seconds since 1970, "reason"}.
  Json Describe() const;
  // Seconds since 1970 of the last change, or of the beginning.
  double since() const;

  // False where the question under way hangs.
  bool WaitIdle(std::chrono::milliseconds patience) const;
  // The store is not looked at any more. False where the thread that looked at it hangs.
  bool End(std::chrono::milliseconds patience);

 private:
  struct State;
  const std::shared_ptr<State> state_;
  std::thread thread_;  // may outlive this, with the state
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_STORE_PRESENCE_H_
