#include "penstock/cachefs/mount.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cachefs/daemon/daemon.h"
#include "cachefs/daemon/known_store.h"

namespace penstock::cachefs {

namespace {

// For what the store was asked last before the process ends.
constexpr std::chrono::seconds kLastPatience{1};

Result<CacheLimits> LimitsFor(const MountOptions& options, const CacheDirectory& directory) {
  CacheLimits limits{.cache_bytes = options.cache_bytes, .reserve_bytes = options.reserve.bytes};
  if (options.reserve.percent > 0) {
    PENSTOCK_ASSIGN_OR_RETURN(const CacheDirectory::Space disk, directory.DiskSpace());
    const auto part = static_cast<uint64_t>(static_cast<double>(disk.total_bytes) *
                                            options.reserve.percent / 100);
    limits.reserve_bytes = std::max(limits.reserve_bytes, part);
    limits.reserve_files = static_cast<uint64_t>(static_cast<double>(disk.total_files) *
                                                 options.reserve.percent / 100);
  }
  return limits;
}

// Every file that is open through the mount holds a descriptor.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) spdlog::warn("the limit of open files stays low");
}

// From opening the cache directory to closing it.
Result<HandedOver> ServeMount(const MountOptions& options,
                              const std::shared_ptr<WatchedUpstream>& upstream,
                              const std::stop_token& stop, const MountEvents& events,
                              Takeover* takeover) {
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<Peers> peers,
                            Peers::Open(options.peers, options.upstream_timeout));
  PENSTOCK_ASSIGN_OR_RETURN(CacheDirectory directory, CacheDirectory::Open(options.cache));
  PENSTOCK_ASSIGN_OR_RETURN(ReplicaStore store, ReplicaStore::Open(directory.StatePath()));
  if (!upstream->presence()->away()) {
    WriteKnownStore(directory.path(), {.given = options.given_store, .store = options.store});
  }
  PENSTOCK_ASSIGN_OR_RETURN(auto memory,
                            StoreMemory::Open(directory.MemoryPath(), upstream->Name()));
  PENSTOCK_ASSIGN_OR_RETURN(auto policy, CachePolicy::Load(directory.PolicyPath()));
  PENSTOCK_ASSIGN_OR_RETURN(const CacheLimits limits, LimitsFor(options, directory));
  std::unique_ptr<AccessLog> access_log;
  if (!options.sight.access_log.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(access_log,
                              AccessLog::Start({.path = options.sight.access_log,
                                                .rotate_bytes = options.sight.access_log_bytes}));
  }
  auto daemon = std::make_unique<Daemon>(options, upstream, std::move(directory), std::move(store),
                                         std::move(memory), limits, std::move(policy),
                                         std::move(access_log), std::move(peers));
  return daemon->Run(stop, events, takeover);
}

// Up to where the predecessor has closed the cache.
Result<std::unique_ptr<Takeover>> TakeOver(const MountOptions& options, Upstream& upstream) {
  auto takeover = std::make_unique<Takeover>();
  PENSTOCK_ASSIGN_OR_RETURN(takeover->predecessor, Predecessor::Ask(options));
  PENSTOCK_ASSIGN_OR_RETURN(takeover->mount, takeover->predecessor->Receive());
  takeover->files = ReopenStoreFiles(upstream, takeover->mount.state);
  PENSTOCK_RETURN_IF_ERROR(takeover->predecessor->Understood());
  return takeover;
}

// `upstream`: null where it failed before anybody asked the store.
Status RunMountOver(std::shared_ptr<WatchedUpstream>& upstream, const MountOptions& options,
                    const std::stop_token& stop, const MountEvents& events) {
  UpstreamOptions upstream_options = options.upstream;
  upstream_options.timeout = options.upstream_timeout;
  PENSTOCK_ASSIGN_OR_RETURN(std::shared_ptr<Upstream> store,
                            MakeUpstream(options.store, upstream_options));
  // An address that is mistyped is told here and not by the first file; but a store that the cache
  // knows may be away.
  const auto known = ReadKnownStore(options.cache);
  if (!known || known->store != WithoutSecrets(options.store)) {
    PENSTOCK_RETURN_IF_ERROR(store->Stat(""));
  }
  upstream = WatchUpstream(std::move(store), options.upstream_timeout);
  (void)upstream->Stat("");
  std::unique_ptr<Takeover> takeover;
  if (options.replace) {
    // What can be refused without the cache is refused before anybody stops anything.
    PENSTOCK_RETURN_IF_ERROR(Peers::Open(options.peers, options.upstream_timeout));
    PENSTOCK_ASSIGN_OR_RETURN(takeover, TakeOver(options, *upstream));
  }
  while (true) {
    const bool was_ours = takeover != nullptr && takeover->predecessor == nullptr;
    auto handed = ServeMount(options, upstream, stop, events, takeover.get());
    if (!handed.ok()) {
      takeover.reset();  // and with it the connection to the kernel
      if (was_ours) Unmount(options.mountpoint);
      return handed.error();
    }
    if (!handed->successor) return {};
    const pid_t successor = handed->successor->pid();
    const Status released = handed->successor->Release([&] {
      if (events.successor) events.successor(successor);
    });
    if (released.ok()) return {};
    spdlog::error("the other daemon has not taken the mount, it goes on here: {}",
                  released.error().ToString());
    takeover = std::make_unique<Takeover>();
    takeover->mount = std::move(handed->mount);
    takeover->files = ReopenStoreFiles(*upstream, takeover->mount.state);
  }
}

}  // namespace

Status RunMount(const MountOptions& options, const std::stop_token& stop,
                const MountEvents& events) {
  RaiseDescriptorLimit();
  std::shared_ptr<WatchedUpstream> upstream;
  const Status served = RunMountOver(upstream, options, stop, events);
  if (upstream && !upstream->End(kLastPatience)) EndProcess(events, served);
  return served;
}

}  // namespace penstock::cachefs
