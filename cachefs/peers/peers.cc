#include "cachefs/peers/peers.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "cachefs/peers/peer_residency.h"

namespace penstock::cachefs {

Status CheckPeerOptions(const PeerOptions& options) {
  const bool listens = !options.listen.empty();
  if (options.members.empty()) {
    if (!listens && options.key.empty() && options.name.empty()) return {};
    return Error::InvalidArgument("options for peers without a list of them")
        .Advice("name the list with --peers FILE");
  }
  if (options.key.empty()) {
    return Error::InvalidArgument("nodes share nothing without a key")
        .Advice("make one (openssl rand -hex 32), give it to all nodes, name it with --peer-key");
  }
  if (listens) PENSTOCK_RETURN_IF_ERROR(ParseHostAndPort(options.listen));
  if (!options.name.empty()) {
    PENSTOCK_RETURN_IF_ERROR(ParseHostAndPort(options.name));
    if (!listens) {
      return Error::InvalidArgument("a node of the list that does not listen")
          .Advice("add --peer-listen ADDRESS:PORT");
    }
  }
  if (options.silence.count() <= 0) {
    return Error::InvalidArgument("the time-out of peers must be positive");
  }
  return {};
}

Result<std::unique_ptr<Peers>> Peers::Open(const PeerOptions& options,
                                           std::chrono::milliseconds upstream_timeout) {
  if (options.members.empty()) return std::unique_ptr<Peers>();
  std::unique_ptr<Peers> peers(new Peers(options, upstream_timeout));
  PENSTOCK_ASSIGN_OR_RETURN(const std::string key, LoadPeerKey(options.key));
  PENSTOCK_ASSIGN_OR_RETURN(peers->context_, TlsContext::Make(key));
  PENSTOCK_ASSIGN_OR_RETURN(peers->members_, MemberList::Open(options.members));
  const auto members = peers->members_->Get();
  if (!options.listen.empty() &&
      std::find(members->begin(), members->end(), peers->Self()) == members->end()) {
    return Error::InvalidArgument("this node is not in the list of peers")
        .In(options.members.string())
        .Expected(peers->Self())
        .Advice("name the entry that stands for this node with --peer-name");
  }
  return peers;
}

ExtentPeers* Peers::StartClient(CacheCounters& counters) {
  // What a reader waits at most is shared by the peer and, where that fails, the store.
  client_ = std::make_unique<PeerClient>(
      context_, *members_, counters,
      PeerClient::Options{.self = Self(),
                          .silence = std::min(options_.silence, upstream_timeout_ / 2),
                          .total = upstream_timeout_ / 2});
  return client_.get();
}

Result<std::unique_ptr<PeerServer>> Peers::StartServer(DatasetRegistry& registry, BlockCache& cache,
                                                       CacheCounters& counters) {
  if (options_.listen.empty()) return std::unique_ptr<PeerServer>();
  PENSTOCK_ASSIGN_OR_RETURN(const HostAndPort address, ParseHostAndPort(options_.listen));
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<PeerServer> server,
                            PeerServer::Start(address, context_,
                                              {.registry = &registry,
                                               .cache = &cache,
                                               .counters = &counters,
                                               .members = members_.get(),
                                               .self = Self(),
                                               .upstream_timeout = upstream_timeout_}));
  spdlog::info("peers are served on {}", options_.listen);
  return server;
}

std::vector<NodeResidency> Peers::ResidencyElsewhere(const DatasetView& view) const {
  return AskResidency(context_, *members_->Get(), Self(), view,
                      std::min(options_.silence, upstream_timeout_ / 2), upstream_timeout_ / 2);
}

}  // namespace penstock::cachefs
