// Whom the daemon tells names of the store. Root and the user of the daemon are told all of them;
// anybody else those of the datasets that he could read by their path (control/peer.h). All
// functions are thread-safe.

#ifndef PENSTOCK_CACHEFS_CONTROL_VISIBILITY_H_
#define PENSTOCK_CACHEFS_CONTROL_VISIBILITY_H_

#include <string>

#include "cachefs/control/peer.h"
#include "cachefs/state/store_memory.h"
#include "penstock/cachefs/upstream.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

bool IsTrusted(const Peer& peer);

// Blocks on the store. What it does not tell is not to be seen.
bool MaySeeDataset(const Peer& peer, Upstream& upstream, const std::string& dataset);

// Takes the datasets out of the status (sight/mount_snapshot.h) that the peer may not see. By modes
// and owners as they were seen last: the store is not asked, whoever hangs there is not waited for.
void KeepVisibleDatasets(const Peer& peer, StoreMemory& memory, Json& status);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_VISIBILITY_H_
