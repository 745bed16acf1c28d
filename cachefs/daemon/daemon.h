// Daemon: one mount from its opened cache directory to its end. It owns all parts (cache, kernel
// connection, sockets, peers, scrub, metrics) and connects them; none of them knows it.
//
//   daemon.cc          beginning, serving, ending, giving the mount away
//   daemon_sight.cc    what it tells of itself: status, metrics, checks

#ifndef PENSTOCK_CACHEFS_DAEMON_DAEMON_H_
#define PENSTOCK_CACHEFS_DAEMON_DAEMON_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/cache_directory.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/cache/deadline_watch.h"
#include "cachefs/cache/disk_health.h"
#include "cachefs/cache/read_ahead.h"
#include "cachefs/cache/worker_pool.h"
#include "cachefs/control/cache_commands.h"
#include "cachefs/control/control_server.h"
#include "cachefs/control/short_circuit_server.h"
#include "cachefs/daemon/whole_datasets.h"
#include "cachefs/faces/face_catalog.h"
#include "cachefs/faces/face_header.h"
#include "cachefs/fuse/kernel_channel.h"
#include "cachefs/fuse/operations.h"
#include "cachefs/fuse/session.h"
#include "cachefs/handover/handover.h"
#include "cachefs/peers/peers.h"
#include "cachefs/policy/cache_policy.h"
#include "cachefs/scrub/scrubber.h"
#include "cachefs/sight/access_log.h"
#include "cachefs/sight/health_probe.h"
#include "cachefs/sight/metrics_server.h"
#include "cachefs/sight/mount_snapshot.h"
#include "cachefs/sight/periodic_file.h"
#include "cachefs/sight/timed_upstream.h"
#include "cachefs/state/replica_store.h"
#include "cachefs/state/store_memory.h"
#include "cachefs/upstream/remembering_upstream.h"
#include "cachefs/upstream/watched_upstream.h"
#include "penstock/cachefs/mount.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

// What the daemon may take for one request of the kernel and be called alive.
inline constexpr std::chrono::seconds kLongestRequest{20};

// A mount that is taken over.
struct Takeover {
  HeldMount mount;
  StoreFiles files;
  std::unique_ptr<Predecessor> predecessor;  // null: it was ours, and the successor did not take it
};

// A mount that is given away; without a successor it was unmounted.
struct HandedOver {
  std::unique_ptr<Successor> successor;
  HeldMount mount;
};

// The end of a process whose threads hang.
[[noreturn]] void EndProcess(const MountEvents& events, const Status& status);

class Daemon {
 public:
  Daemon(const MountOptions& options, std::shared_ptr<WatchedUpstream> watched,
         CacheDirectory directory, ReplicaStore store, std::unique_ptr<StoreMemory> memory,
         const CacheLimits& limits, std::unique_ptr<CachePolicy> policy,
         std::unique_ptr<AccessLog> access_log, std::unique_ptr<Peers> peers);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // `takeover`: null for a mount that is to be made.
  Result<HandedOver> Run(const std::stop_token& stop, const MountEvents& events,
                         Takeover* takeover);

 private:
  std::string LeaseSocket() const { return (directory_.path() / "short-circuit.sock").string(); }
  std::string ControlSocket() const { return (directory_.path() / "control.sock").string(); }
  MountSnapshot TakeSnapshot(size_t most_datasets) const;
  void DescribeDatasets(size_t most, MountSnapshot& snapshot) const;
  Json DescribeStatus(const Json& request, const Peer& peer) const;
  std::string DescribeLine() const;
  Json Check();
  Status AskStore() const;
  Status AskCacheDisk() const;
  Status StartSight();
  bool IsAlive() const;
  void WaitForHandshake() const;
  Status BeginSession(Takeover* takeover);
  // Null: the mount has been unmounted.
  HandedOver ServeUntilTheEnd();
  Status TakeSuccessor(const Json& request, const Peer& peer, int socket);
  std::unique_ptr<Successor> WaitingSuccessor();
  Result<HeldMount> OfferTo(Successor& successor);
  bool StopServices();
  [[noreturn]] void EndAtOnce(const MountEvents& events) const;

  // In the order in which it is built; destroyed in the opposite order.
  const MountOptions options_;
  const std::chrono::system_clock::time_point start_time_ = std::chrono::system_clock::now();
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  CacheDirectory directory_;
  ReplicaStore store_;
  const std::unique_ptr<CachePolicy> policy_;
  const std::unique_ptr<AccessLog> access_log_;
  UpstreamLatency latency_;
  const std::shared_ptr<WatchedUpstream> watched_;
  const std::unique_ptr<StoreMemory> memory_;
  const std::shared_ptr<RememberingUpstream> upstream_;
  CacheCounters counters_;
  DiskHealth health_{[this] { return directory_.Probe(); }};
  DeadlineWatch deadlines_;
  std::unique_ptr<Peers> peers_;
  KernelChannel channel_;
  BlockCache cache_;
  DatasetRegistry registry_;
  ReadAhead read_ahead_;
  FaceCatalog faces_;
  FaceHeaders face_headers_;
  WholeDatasets whole_datasets_;
  HealthProbe store_probe_;
  HealthProbe disk_probe_;
  WorkerPool read_workers_;
  WorkerPool metadata_workers_;
  WorkerPool memory_worker_{1};  // asks the store for what is to be remembered
  Operations operations_;
  std::unique_ptr<FuseSession> session_;
  std::unique_ptr<ShortCircuitServer> leases_;
  std::unique_ptr<Scrubber> scrubber_;
  std::unique_ptr<CacheCommands> commands_;
  std::unique_ptr<ControlServer> control_;
  std::string metrics_address_;  // not changed once others can ask for it
  std::unique_ptr<PeerServer> peer_server_;
  std::unique_ptr<MetricsServer> metrics_;
  std::unique_ptr<PeriodicFile> metrics_file_;
  std::mutex successor_mutex_;
  std::unique_ptr<Successor> successor_;  // that waits for an offer
};

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_DAEMON_DAEMON_H_
