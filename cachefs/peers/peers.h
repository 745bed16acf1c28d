// Peers: what a mount needs to share its cache with other nodes, as its options ask for.

#ifndef PENSTOCK_CACHEFS_PEERS_PEERS_H_
#define PENSTOCK_CACHEFS_PEERS_PEERS_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cachefs/control/locate.h"
#include "cachefs/peers/members.h"
#include "cachefs/peers/peer_client.h"
#include "cachefs/peers/peer_server.h"
#include "cachefs/peers/tls_channel.h"
#include "penstock/cachefs/mount.h"

namespace penstock::cachefs {

// kInvalidArgument where the options contradict each other; nothing is opened.
Status CheckPeerOptions(const PeerOptions& options);

class Peers {
 public:
  // Null where the options name no peers. Reads the key and the list of members.
  static Result<std::unique_ptr<Peers>> Open(const PeerOptions& options,
                                             std::chrono::milliseconds upstream_timeout);

  // For the cache. `counters` must outlive this.
  ExtentPeers* StartClient(CacheCounters& counters);
  // Null where this node does not listen.
  Result<std::unique_ptr<PeerServer>> StartServer(DatasetRegistry& registry, BlockCache& cache,
                                                  CacheCounters& counters);

  // This node, as the list of members has it.
  std::string Self() const { return options_.name.empty() ? options_.listen : options_.name; }
  // What the other nodes hold of a dataset; waits for them.
  std::vector<NodeResidency> ResidencyElsewhere(const DatasetView& view) const;

 private:
  Peers(const PeerOptions& options, std::chrono::milliseconds upstream_timeout)
      : options_(options), upstream_timeout_(upstream_timeout) {}

  const PeerOptions options_;
  const std::chrono::milliseconds upstream_timeout_;
  std::shared_ptr<TlsContext> context_;
  std::unique_ptr<MemberList> members_;
  std::unique_ptr<PeerClient> client_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_PEERS_H_
