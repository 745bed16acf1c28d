#include "penstock/cachefs/mount.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/control/control_server.h"
#include "cachefs/control/short_circuit_server.h"
#include "cachefs/fuse/session.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

namespace {

constexpr int kMetadataThreads = 4;
constexpr int kReadThreads = 4;
constexpr int kSessionThreads = 4;
// How long the end of the daemon waits for a store that does not answer.
constexpr std::chrono::seconds kShutdownPatience{5};
constexpr std::chrono::seconds kHandshakePatience{10};

Result<CacheLimits> LimitsFor(const MountOptions& options, const CacheDirectory& directory) {
  CacheLimits limits{.cache_bytes = options.cache_bytes, .reserve_bytes = options.reserve.bytes};
  if (options.reserve.percent > 0) {
    PENSTOCK_ASSIGN_OR_RETURN(const CacheDirectory::Space disk, directory.DiskSpace());
    const auto part = static_cast<uint64_t>(static_cast<double>(disk.total_bytes) *
                                            options.reserve.percent / 100);
    limits.reserve_bytes = std::max(limits.reserve_bytes, part);
  }
  return limits;
}

// Everything of a mount, in the order in which it is built; destroyed in the opposite order.
class Daemon {
 public:
  Daemon(const MountOptions& options, CacheDirectory directory, ReplicaStore store,
         const CacheLimits& limits)
      : options_(options),
        directory_(std::move(directory)),
        store_(std::move(store)),
        upstream_(MakeDirectoryUpstream(options.store)),
        channel_(options.passthrough),
        cache_(directory_, store_, upstream_, deadlines_, counters_,
               {.limits = limits,
                .upstream_timeout = options.upstream_timeout,
                .fetch_threads = options.fetch_threads}),
        registry_(upstream_, directory_.SidecarPath()),
        read_workers_(kReadThreads),
        metadata_workers_(kMetadataThreads),
        operations_({.upstream = upstream_,
                     .registry = &registry_,
                     .cache = &cache_,
                     .metadata_workers = &metadata_workers_,
                     .read_workers = &read_workers_,
                     .deadlines = &deadlines_,
                     .counters = &counters_,
                     .channel = &channel_,
                     .upstream_timeout = options.upstream_timeout,
                     .lease_socket = LeaseSocket(),
                     .control_socket = ControlSocket()}) {
    cache_.OnComplete([this](const BlockSource& block) { operations_.BlockCompleted(block); });
    registry_.OnReplaced([this](const DatasetView& previous) {
      for (const auto& block : previous.blocks) cache_.Evict(block->id);
    });
  }

  Status Run(const std::stop_token& stop, const std::function<void()>& on_ready);

 private:
  std::string LeaseSocket() const { return (directory_.path() / "short-circuit.sock").string(); }
  std::string ControlSocket() const { return (directory_.path() / "control.sock").string(); }
  Json DescribeStatus() const;
  void WaitForHandshake() const;
  void ShutDown();

  const MountOptions options_;
  CacheDirectory directory_;
  ReplicaStore store_;
  std::shared_ptr<Upstream> upstream_;
  CacheCounters counters_;
  DeadlineWatch deadlines_;
  KernelChannel channel_;
  BlockCache cache_;
  DatasetRegistry registry_;
  WorkerPool read_workers_;
  WorkerPool metadata_workers_;
  Operations operations_;
  std::unique_ptr<FuseSession> session_;
  std::unique_ptr<ShortCircuitServer> leases_;
  std::unique_ptr<ControlServer> control_;
};

Status Daemon::Run(const std::stop_token& stop, const std::function<void()>& on_ready) {
  // The sockets first: the mount publishes their names.
  ShortCircuitServices lease_services{.upstream = upstream_,
                                      .registry = &registry_,
                                      .cache = &cache_,
                                      .workers = &metadata_workers_,
                                      .counters = &counters_,
                                      .upstream_timeout = options_.upstream_timeout};
  PENSTOCK_ASSIGN_OR_RETURN(leases_, ShortCircuitServer::Start(LeaseSocket(), lease_services));
  PENSTOCK_ASSIGN_OR_RETURN(session_,
                            FuseSession::Mount(options_.mountpoint, operations_, channel_));
  ControlServices control_services{.upstream = upstream_,
                                   .registry = &registry_,
                                   .cache = &cache_,
                                   .status = [this] { return DescribeStatus(); },
                                   .unmount = [this] { session_->RequestStop(); }};
  auto control = ControlServer::Start(ControlSocket(), std::move(control_services));
  if (!control.ok()) return control.error();
  control_ = std::move(control).value();

  const std::stop_callback on_stop(stop, [this] { session_->RequestStop(); });
  std::thread ready([&] {
    WaitForHandshake();
    spdlog::info("{} is mounted on {} (cache {}; passthrough: {})", options_.store.string(),
                 options_.mountpoint.string(), directory_.path().string(),
                 channel_.passthrough() ? "yes" : channel_.PassthroughFailure());
    if (on_ready) on_ready();
  });
  session_->Serve(kSessionThreads);
  ready.join();
  ShutDown();
  return {};
}

void Daemon::WaitForHandshake() const {
  const auto end = std::chrono::steady_clock::now() + kHandshakePatience;
  while (!channel_.handshake_done() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void Daemon::ShutDown() {
  spdlog::info("{} is unmounted", options_.mountpoint.string());
  bool drained = metadata_workers_.Stop(kShutdownPatience);
  drained = read_workers_.Stop(kShutdownPatience) && drained;
  drained = cache_.Stop(kShutdownPatience) && drained;
  if (drained) {
    leases_.reset();
    control_.reset();
    return;
  }
  // Threads are stuck in the store and cannot be ended; everything that has to be on disk is.
  spdlog::warn("the store does not answer; ending without waiting for it");
  spdlog::shutdown();
  unlink(LeaseSocket().c_str());
  unlink(ControlSocket().c_str());
  _exit(EXIT_SUCCESS);
}

Json Daemon::DescribeStatus() const {
  Json status;
  status["store"] = options_.store.string();
  status["mountpoint"] = options_.mountpoint.string();
  status["cache"] = directory_.path().string();
  status["pid"] = getpid();
  status["passthrough"] = channel_.passthrough();
  status["passthrough_reason"] = channel_.PassthroughFailure();
  status["read_only_view"] = directory_.has_read_only_view();
  status["read_only_view_reason"] = directory_.view_failure();
  status["cached_bytes"] = cache_.bytes();
  status["cached_blocks"] = cache_.block_count();
  status["inventory_done"] = cache_.inventory_done();
  if (cache_.limits().cache_bytes == UINT64_MAX) {
    status["limit_bytes"] = nullptr;
  } else {
    status["limit_bytes"] = cache_.limits().cache_bytes;
  }
  status["reserve_bytes"] = cache_.limits().reserve_bytes;
  status["upstream_timeout_seconds"] =
      static_cast<double>(options_.upstream_timeout.count()) / 1000;
  status["counters"] = {{"hit_reads", counters_.hit_reads.load()},
                        {"missed_reads", counters_.missed_reads.load()},
                        {"passthrough_opens", counters_.passthrough_opens.load()},
                        {"served_opens", counters_.served_opens.load()},
                        {"leases_granted", counters_.leases_granted.load()},
                        {"fetched_bytes", counters_.fetched_bytes.load()},
                        {"reverified_bytes", counters_.reverified_bytes.load()},
                        {"verification_failures", counters_.verification_failures.load()},
                        {"damaged_cache_extents", counters_.damaged_cache_extents.load()},
                        {"upstream_errors", counters_.upstream_errors.load()},
                        {"timeouts", counters_.timeouts.load()},
                        {"evicted_blocks", counters_.evicted_blocks.load()},
                        {"uncached_extents", counters_.uncached_extents.load()},
                        {"cache_errors", counters_.cache_errors.load()}};
  status["lease_connections"] = leases_->connection_count();
  status["leases"] = leases_->lease_count();
  std::map<std::string, size_t> blocks_of_dataset;
  for (const auto& view : registry_.Known()) blocks_of_dataset[view->path] = view->blocks.size();
  Json datasets = Json::array();
  const DatasetSums sums = cache_.Datasets();
  for (const auto& [path, residency] : std::map(sums.begin(), sums.end())) {
    Json dataset = {{"dataset", path},
                    {"complete_blocks", residency.complete_blocks},
                    {"partial_blocks", residency.partial_blocks},
                    {"bytes", residency.bytes}};
    const auto known = blocks_of_dataset.find(path);
    dataset["blocks"] = known == blocks_of_dataset.end() ? Json() : Json(known->second);
    datasets.push_back(std::move(dataset));
  }
  status["datasets"] = std::move(datasets);
  return status;
}

// Every file that is open through the mount holds a descriptor.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) spdlog::warn("the limit of open files stays low");
}

}  // namespace

Status RunMount(const MountOptions& options, const std::stop_token& stop,
                const std::function<void()>& on_ready) {
  RaiseDescriptorLimit();
  PENSTOCK_ASSIGN_OR_RETURN(CacheDirectory directory, CacheDirectory::Open(options.cache));
  PENSTOCK_ASSIGN_OR_RETURN(ReplicaStore store, ReplicaStore::Open(directory.StatePath()));
  PENSTOCK_ASSIGN_OR_RETURN(const CacheLimits limits, LimitsFor(options, directory));
  Daemon daemon(options, std::move(directory), std::move(store), limits);
  return daemon.Run(stop, on_ready);
}

}  // namespace penstock::cachefs
