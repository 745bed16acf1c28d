// ShortCircuitServer: the daemon's end of penstock/dataset/lease_protocol.h.
//
// One thread takes packets; what needs the store runs on the metadata workers. A connection has one
// request under way at a time; further packets wait in its socket. Thread-safe.

#ifndef PENSTOCK_CACHEFS_CONTROL_SHORT_CIRCUIT_SERVER_H_
#define PENSTOCK_CACHEFS_CONTROL_SHORT_CIRCUIT_SERVER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/cache/read_ahead.h"
#include "cachefs/control/peer.h"
#include "cachefs/sight/access_log.h"
#include "penstock/dataset/lease_protocol.h"

namespace penstock::cachefs {

struct ShortCircuitServices {
  std::shared_ptr<Upstream> upstream;
  DatasetRegistry* registry = nullptr;
  BlockCache* cache = nullptr;
  ReadAhead* read_ahead = nullptr;
  WorkerPool* workers = nullptr;
  CacheCounters* counters = nullptr;
  AccessLog* access_log = nullptr;  // or none
  std::chrono::milliseconds upstream_timeout{30'000};
};

class ShortCircuitServer {
 public:
  // `services` must outlive the server.
  static Result<std::unique_ptr<ShortCircuitServer>> Start(const std::string& socket_path,
                                                           const ShortCircuitServices& services);
  // Closes all connections and gives up their leases.
  ~ShortCircuitServer();
  ShortCircuitServer(const ShortCircuitServer&) = delete;
  ShortCircuitServer& operator=(const ShortCircuitServer&) = delete;

  size_t connection_count() const;
  size_t lease_count() const;

 private:
  struct Connection {
    FileDescriptor socket;
    Peer peer;
    std::atomic<bool> busy{false};
    std::mutex mutex;
    uint64_t next_lease = 1;                // guarded by mutex
    std::map<uint64_t, ReplicaPin> leases;  // guarded by mutex
  };
  using ConnectionPointer = std::shared_ptr<Connection>;

  ShortCircuitServer(std::string socket_path, const ShortCircuitServices& services)
      : socket_path_(std::move(socket_path)), services_(services) {}

  void Serve();
  void Accept();
  // False where the connection has ended.
  bool Receive(const ConnectionPointer& connection);
  void Handle(const ConnectionPointer& connection, std::span<const char> packet);
  void Acquire(const ConnectionPointer& connection, const std::string& dataset, int64_t block,
               bool wait);
  void Grant(const ConnectionPointer& connection, const ReplicaPin& replica);
  void ReleaseLease(const ConnectionPointer& connection, uint64_t lease);
  void ReportResidency(const ConnectionPointer& connection, const std::string& dataset);
  // Sends the reply and takes the next request of the connection.
  void Answer(const ConnectionPointer& connection, lease::Outcome outcome, uint64_t lease = 0,
              uint64_t file_bytes = 0, std::span<const uint8_t> extra = {}, int descriptor = -1);
  void Wake() const;

  const std::string socket_path_;
  const ShortCircuitServices services_;
  FileDescriptor listener_;
  FileDescriptor wake_;  // eventfd
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::vector<ConnectionPointer> connections_;
  std::thread thread_;
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_CONTROL_SHORT_CIRCUIT_SERVER_H_
