// PeerServer: gives extents of the blocks that this node owns to the other nodes.
//
// Whoever shakes hands with the key may ask. A block that the list of members gives to another node
// is refused, as is a dataset or generation that this node does not see in the store. What is asked
// for is fetched from the store if need be, verified, kept and given.
//
// Bounded: connections (each a thread), extents in memory, and every wait.

#ifndef PENSTOCK_CACHEFS_PEERS_PEER_SERVER_H_
#define PENSTOCK_CACHEFS_PEERS_PEER_SERVER_H_

#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/cache/worker_pool.h"
#include "cachefs/peers/members.h"
#include "cachefs/peers/peer_protocol.h"
#include "cachefs/peers/tls_channel.h"

namespace penstock::cachefs {

struct PeerServices {
  DatasetRegistry* registry = nullptr;
  BlockCache* cache = nullptr;
  CacheCounters* counters = nullptr;
  MemberList* members = nullptr;
  std::string self;
  std::chrono::milliseconds upstream_timeout{30'000};
};

class PeerServer {
 public:
  // `services` must outlive the server.
  static Result<std::unique_ptr<PeerServer>> Start(const HostAndPort& address,
                                                   std::shared_ptr<TlsContext> context,
                                                   const PeerServices& services);
  ~PeerServer();
  PeerServer(const PeerServer&) = delete;
  PeerServer& operator=(const PeerServer&) = delete;

  // Closes all connections. False where a thread is stuck in the store after `patience`.
  bool Stop(std::chrono::milliseconds patience);

  size_t connection_count() const { return connection_count_; }
  int port() const { return port_; }

 private:
  struct Answer;
  struct Connection {
    FileDescriptor socket;  // of its own for ending what waits for the connection
    std::thread thread;
    std::atomic<bool> done{false};
  };

  PeerServer(std::shared_ptr<TlsContext> context, const PeerServices& services);

  void Accept();
  void Serve(FileDescriptor socket);
  // False where the connection is to be closed.
  bool Handle(TlsChannel& channel, const PeerRequest& request);
  // Waits for `ready`, telling the other side so; false where it has gone or this server stops.
  template <typename Ready>
  bool WaitWorking(TlsChannel& channel, const Ready& ready);
  void Prepare(const PeerRequest& request, const std::shared_ptr<Answer>& answer);

  static constexpr int kMostExtents = 16;  // in memory at once: 64 MiB
  static constexpr size_t kMostConnections = 256;

  const std::shared_ptr<TlsContext> context_;
  const PeerServices services_;
  FileDescriptor listener_;
  FileDescriptor wake_;  // eventfd
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> connection_count_{0};
  // Outlives the server where the cache still holds an answer.
  const std::shared_ptr<std::counting_semaphore<kMostExtents>> extents_ =
      std::make_shared<std::counting_semaphore<kMostExtents>>(kMostExtents);
  WorkerPool workers_;                 // what may wait for the store
  std::list<Connection> connections_;  // of the accepting thread
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_PEERS_PEER_SERVER_H_
