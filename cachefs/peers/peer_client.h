// PeerClient: asks the owner of a block for an extent of it.
//
// A peer that is silent for `silence`, or has not delivered after `total`, that cannot be reached
// or lies is avoided for a while, longer each time; meanwhile, and for blocks that are this node's
// own, the answer is "ask the store" at once. While a peer is on trial again only one thread waits
// for it. Connections are kept, no more than threads ask at once. Thread-safe.

#ifndef PENSTOCK_CACHEFS_PEERS_PEER_CLIENT_H_
#define PENSTOCK_CACHEFS_PEERS_PEER_CLIENT_H_

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cachefs/cache/counters.h"
#include "cachefs/cache/extent_peers.h"
#include "cachefs/peers/members.h"
#include "cachefs/peers/tls_channel.h"
#include "cachefs/upstream/retry_pause.h"

namespace penstock::cachefs {

class PeerClient final : public ExtentPeers {
 public:
  struct Options {
    std::string self;  // the member that this node is; any other text where it is none
    std::chrono::milliseconds silence{2'000};
    std::chrono::milliseconds total{15'000};
  };

  // The references must outlive the client.
  PeerClient(std::shared_ptr<TlsContext> context, MemberList& members, CacheCounters& counters,
             Options options);
  ~PeerClient() override;

  bool Fetch(const BlockSource& source, int64_t extent, std::span<std::byte> buffer) override;
  void Distrust(const BlockSource& source) override;

 private:
  struct Peer {
    const std::string name;
    std::mutex mutex;
    std::vector<std::unique_ptr<TlsChannel>> idle;
    std::optional<RetryPause> pause;  // while it is in trouble
    std::chrono::steady_clock::time_point avoided_until;
    bool on_trial = false;

    explicit Peer(std::string member) : name(std::move(member)) {}
  };
  enum class Outcome { kFilled, kRefused, kFailed };

  std::shared_ptr<Peer> PeerOf(const std::string& member);
  // nullptr where this node is the owner, or nobody is.
  std::shared_ptr<Peer> OwnerOfBlock(const BlockSource& source);
  bool MayAsk(Peer& peer);
  void Settle(Peer& peer, bool failed, const std::string& why);
  Outcome Ask(Peer& peer, const BlockSource& source, int64_t extent, std::span<std::byte> buffer,
              std::string& why);
  // `fresh`: over a new connection. nullopt where a kept connection turned out to be closed.
  std::optional<Outcome> AskOver(std::unique_ptr<TlsChannel> channel, bool fresh, Peer& peer,
                                 const BlockSource& source, int64_t extent,
                                 std::span<std::byte> buffer, std::string& why);

  const std::shared_ptr<TlsContext> context_;
  MemberList& members_;
  CacheCounters& counters_;
  const Options options_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Peer>> peers_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_PEER_CLIENT_H_
