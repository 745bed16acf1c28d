// An upstream that goes on answering while the store is away: from what was seen of the store
// (state/store_memory.h). While the store is there it is asked for everything, and what it says is
// remembered; the memory is not looked at then.
//
// While it is away, what is not remembered is IsStoreAway, and so are the bytes of files, but for
// those that were given to Keep.

#ifndef PENSTOCK_CACHEFS_UPSTREAM_REMEMBERING_UPSTREAM_H_
#define PENSTOCK_CACHEFS_UPSTREAM_REMEMBERING_UPSTREAM_H_

#include <memory>
#include <string>

#include "cachefs/state/store_memory.h"
#include "cachefs/upstream/store_presence.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

class RememberingUpstream : public Upstream {
 public:
  // Has the attributes of the path and of the directories above it remembered, by asking the store
  // where they are not yet: of what got into the cache without having been looked up.
  virtual void Remember(const std::string& path) = 0;
};

// `upstream` gives IsStoreAway by the judgement of `presence` (watched_upstream.h). `memory` must
// outlive the upstream and the files that it opens.
std::shared_ptr<RememberingUpstream> MakeRememberingUpstream(
    std::shared_ptr<Upstream> upstream, std::shared_ptr<StorePresence> presence,
    StoreMemory& memory);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_UPSTREAM_REMEMBERING_UPSTREAM_H_
