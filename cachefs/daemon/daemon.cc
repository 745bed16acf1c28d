#include "cachefs/daemon/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>
#include <utility>

namespace penstock::cachefs {

namespace {

constexpr int kMetadataThreads = 4;
constexpr int kReadThreads = 4;
constexpr int kSessionThreads = 4;
// How long the end of the daemon waits for a store that does not answer.
constexpr std::chrono::seconds kShutdownPatience{5};
constexpr std::chrono::seconds kHandshakePatience{10};
// How the service manager wants to be told of the mount.
constexpr const char* kServiceVariables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC"};

// To begin with: a store behind a network answers late, and gives its full rate to many requests at
// once only.
constexpr int kMostFetchThreads = 32;

int FetchThreads(const MountOptions& options) {
  constexpr int kForDirectories = 4;
  constexpr int kForAddresses = 16;
  if (options.fetch_threads > 0) return options.fetch_threads;
  return options.store.find("://") == std::string::npos ? kForDirectories : kForAddresses;
}

}  // namespace

Daemon::Daemon(const MountOptions& options, std::shared_ptr<WatchedUpstream> watched,
               CacheDirectory directory, ReplicaStore store, std::unique_ptr<StoreMemory> memory,
               const CacheLimits& limits, std::unique_ptr<CachePolicy> policy,
               std::unique_ptr<AccessLog> access_log, std::unique_ptr<Peers> peers)
    : options_(options),
      directory_(std::move(directory)),
      store_(std::move(store)),
      policy_(std::move(policy)),
      access_log_(std::move(access_log)),
      watched_(std::move(watched)),
      memory_(std::move(memory)),
      upstream_(MakeRememberingUpstream(MakeTimedUpstream(watched_, latency_), watched_->presence(),
                                        *memory_)),
      peers_(std::move(peers)),
      channel_(options.passthrough),
      cache_(directory_, store_, upstream_, deadlines_, counters_,
             {.limits = limits,
              .upstream_timeout = options.upstream_timeout,
              .fetch_threads = FetchThreads(options),
              .most_fetch_threads = options.fetch_threads > 0 ? 0 : kMostFetchThreads,
              .recent_extents = options.recent_bytes / kExtentBytes,
              .peers = peers_ ? peers_->StartClient(counters_) : nullptr,
              .policy = policy_.get(),
              .health = &health_}),
      registry_(upstream_, directory_.SidecarPath()),
      read_ahead_(registry_, cache_, options.read_ahead_blocks),
      faces_(upstream_),
      face_headers_(upstream_),
      whole_datasets_(*upstream_, registry_, cache_, options.faces ? &faces_ : nullptr,
                      face_headers_),
      store_probe_(upstream_->Name(), [this] { return AskStore(); }),
      disk_probe_(directory_.path().string(), [this] { return AskCacheDisk(); }),
      read_workers_(kReadThreads),
      metadata_workers_(kMetadataThreads),
      operations_({.upstream = upstream_,
                   .watched = watched_.get(),
                   .store_keeps_open_files = !IsStoreAddress(options.store),
                   .registry = &registry_,
                   .cache = &cache_,
                   .read_ahead = &read_ahead_,
                   .faces = options.faces ? &faces_ : nullptr,
                   .face_headers = &face_headers_,
                   .policy = policy_.get(),
                   .metadata_workers = &metadata_workers_,
                   .read_workers = &read_workers_,
                   .deadlines = &deadlines_,
                   .counters = &counters_,
                   .channel = &channel_,
                   .access_log = access_log_.get(),
                   .upstream_timeout = options.upstream_timeout,
                   .settle_time = options.settle_time,
                   .attribute_timeout = options.attribute_timeout,
                   .lease_socket = LeaseSocket(),
                   .control_socket = ControlSocket()}) {
  cache_.OnComplete([this](const BlockSource& source) {
    operations_.BlockCompleted(source);
    memory_worker_.Submit(WorkerPool::Priority::kBackground,
                          [this, source] { whole_datasets_.Completed(source); });
  });
  memory_worker_.Submit(WorkerPool::Priority::kBackground, [this] { (void)upstream_->Stat(""); });
  registry_.OnReplaced([this](const DatasetView& previous) {
    operations_.DatasetReplaced(previous);
    for (const auto& block : previous.blocks) cache_.Evict(block->id);
  });
}

Result<HandedOver> Daemon::Run(const std::stop_token& stop, const MountEvents& events,
                               Takeover* takeover) {
  health_.Start();
  // The sockets first: the mount publishes their names.
  ShortCircuitServices lease_services{.upstream = upstream_,
                                      .registry = &registry_,
                                      .cache = &cache_,
                                      .read_ahead = &read_ahead_,
                                      .workers = &metadata_workers_,
                                      .counters = &counters_,
                                      .access_log = access_log_.get(),
                                      .upstream_timeout = options_.upstream_timeout};
  PENSTOCK_ASSIGN_OR_RETURN(leases_, ShortCircuitServer::Start(LeaseSocket(), lease_services));
  scrubber_ = std::make_unique<Scrubber>(directory_.path(),
                                         ScrubServices{.upstream = upstream_,
                                                       .presence = watched_->presence().get(),
                                                       .registry = &registry_,
                                                       .cache = &cache_,
                                                       .policy = policy_.get()},
                                         options_.scrub);
  CacheCommands::Services command_services{.upstream = upstream_,
                                           .registry = &registry_,
                                           .cache = &cache_,
                                           .policy = policy_.get(),
                                           .scrubber = scrubber_.get(),
                                           .settle_time = options_.settle_time};
  if (peers_) {
    command_services.node_name = peers_->Self();
    command_services.elsewhere = [this](const DatasetView& view) {
      return peers_->ResidencyElsewhere(view);
    };
  }
  commands_ = std::make_unique<CacheCommands>(std::move(command_services));
  PENSTOCK_RETURN_IF_ERROR(StartSight());
  if (peers_) {
    PENSTOCK_ASSIGN_OR_RETURN(peer_server_, peers_->StartServer(registry_, cache_, counters_));
  }
  PENSTOCK_RETURN_IF_ERROR(BeginSession(takeover));
  ControlServices control_services{
      .commands = commands_.get(),
      .status = [this](const Json& request,
                       const Peer& peer) { return DescribeStatus(request, peer); },
      .check = [this] { return Check(); },
      .unmount = [this] { session_->RequestStop(); }};
  control_services.hand_over = [this](const Json& request, const Peer& peer, int socket) {
    return TakeSuccessor(request, peer, socket);
  };
  auto control = ControlServer::Start(ControlSocket(), std::move(control_services));
  if (!control.ok()) return control.error();
  control_ = std::move(control).value();

  if (takeover != nullptr) {
    if (takeover->predecessor) {
      // The last thing that can fail: then the predecessor goes on.
      PENSTOCK_RETURN_IF_ERROR(takeover->predecessor->Take());
      for (const std::string& variable : takeover->mount.state.service_environment) {
        const size_t name = variable.find('=');
        setenv(variable.substr(0, name).c_str(), variable.c_str() + name + 1, /*overwrite=*/1);
      }
    }
    session_->Own();
  }
  const std::stop_callback on_stop(stop, [this] { session_->RequestStop(); });
  std::thread ready([&] {
    WaitForHandshake();
    spdlog::info("{} is mounted on {} (cache {}; passthrough: {})", upstream_->Name(),
                 options_.mountpoint.string(), directory_.path().string(),
                 channel_.passthrough() ? "yes" : channel_.PassthroughFailure());
    if (!events.ready) return;
    events.ready({.reopen_logs =
                      [this] {
                        if (access_log_) access_log_->Reopen();
                      },
                  .alive = [this] { return IsAlive(); },
                  .describe = [this] { return DescribeLine(); }});
  });
  HandedOver handed = ServeUntilTheEnd();
  ready.join();
  const bool unmounted = handed.successor == nullptr;
  if (events.ending) {
    events.ending(unmounted ? MountEnding::kUnmounting : MountEnding::kHandingOver);
  }
  metrics_file_.reset();
  spdlog::info("{} is {}", options_.mountpoint.string(),
               unmounted ? "unmounted" : "handed over to another daemon");
  if (!StopServices()) {
    // Threads are stuck in the store or the disk and cannot be ended; everything that has to be on
    // disk is.
    spdlog::warn("the store or the cache disk does not answer; ending without waiting for it");
    if (!unmounted) {
      if (events.successor) events.successor(handed.successor->pid());
      handed.successor->Leave();
    }
    EndAtOnce(events);
  }
  session_->Disown();
  return handed;
}

Status Daemon::BeginSession(Takeover* takeover) {
  if (takeover == nullptr) {
    PENSTOCK_ASSIGN_OR_RETURN(session_,
                              FuseSession::Mount(options_.mountpoint, operations_, channel_));
    return {};
  }
  HeldMount& mount = takeover->mount;
  PENSTOCK_RETURN_IF_ERROR(operations_.Restore(mount.state, takeover->files));
  PENSTOCK_ASSIGN_OR_RETURN(session_, FuseSession::Adopt(options_.mountpoint, operations_, channel_,
                                                         std::move(mount.fuse), mount.state));
  return {};
}

HandedOver Daemon::ServeUntilTheEnd() {
  while (session_->Serve(kSessionThreads) == FuseSession::Ending::kPaused) {
    std::unique_ptr<Successor> successor = WaitingSuccessor();
    if (!successor) continue;
    auto mount = OfferTo(*successor);
    if (mount.ok()) {
      return {.successor = std::move(successor), .mount = std::move(mount).value()};
    }
    spdlog::warn("the mount is not handed over: {}", mount.error().ToString());
    successor->Refuse(mount.error());
  }
  if (const auto late = WaitingSuccessor()) {
    late->Refuse(Error(ErrorKind::kCancelled, "the mount is being unmounted"));
  }
  return {};
}

// In a thread of the control server; the rest is done by the one that serves.
Status Daemon::TakeSuccessor(const Json& request, const Peer& peer, int socket) {
  PENSTOCK_RETURN_IF_ERROR(CheckHandoverRequest(request, options_));
  if (channel_.init_request().empty()) {
    return Error::Unsupported("the connection to the kernel cannot be handed over")
        .Advice("unmount and mount again");
  }
  FileDescriptor copy(fcntl(socket, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return Error::FromErrno(errno, "cannot duplicate a socket");
  const std::lock_guard lock(successor_mutex_);
  if (successor_) return Error::Busy("another daemon is about to take the mount over");
  successor_ = std::make_unique<Successor>(std::move(copy), peer.pid);
  session_->RequestPause();
  return {};
}

std::unique_ptr<Successor> Daemon::WaitingSuccessor() {
  const std::lock_guard lock(successor_mutex_);
  return std::move(successor_);
}

// No requests are taken meanwhile.
Result<HeldMount> Daemon::OfferTo(Successor& successor) {
  // Each is answered in the upstream time-out.
  if (!channel_.WaitUntilAnswered(options_.upstream_timeout + kShutdownPatience) ||
      !metadata_workers_.WaitIdle(kShutdownPatience) ||
      !read_workers_.WaitIdle(kShutdownPatience)) {
    return Error::Busy("requests still wait for the store")
        .In(upstream_->Name())
        .Advice("try again when the store answers");
  }
  HeldMount mount;
  PENSTOCK_ASSIGN_OR_RETURN(mount.fuse, session_->Duplicate());
  mount.state.init_request = channel_.init_request();
  mount.state.passthrough = channel_.agreed_on_passthrough();
  PENSTOCK_RETURN_IF_ERROR(operations_.Save(mount.state));
  for (const char* const name : kServiceVariables) {
    const char* const value = std::getenv(name);
    if (value != nullptr) {
      mount.state.service_environment.push_back(fmt::format("{}={}", name, value));
    }
  }
  PENSTOCK_RETURN_IF_ERROR(successor.Offer(mount));
  return mount;
}

void Daemon::WaitForHandshake() const {
  const auto end = std::chrono::steady_clock::now() + kHandshakePatience;
  while (!channel_.handshake_done() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

bool Daemon::StopServices() {
  commands_->Stop();
  bool drained = scrubber_->Stop(kShutdownPatience);
  drained = metadata_workers_.Stop(kShutdownPatience) && drained;
  if (peer_server_) drained = peer_server_->Stop(kShutdownPatience) && drained;
  drained = read_workers_.Stop(kShutdownPatience) && drained;
  drained = store_probe_.Stop(kShutdownPatience) && drained;
  drained = memory_worker_.Stop(kShutdownPatience) && drained;
  drained = watched_->WaitIdle(kShutdownPatience) && drained;
  drained = memory_->WaitWritten(kShutdownPatience) && drained;
  drained = disk_probe_.Stop(kShutdownPatience) && drained;
  drained = cache_.Stop(kShutdownPatience) && drained;
  drained = health_.Stop(kShutdownPatience) && drained;
  // Closing the database of a disk that hangs would hang, too.
  if (!drained || !health_.usable()) return false;
  // Those who describe the rest before what they describe.
  control_.reset();
  metrics_.reset();
  leases_.reset();
  return true;
}

void Daemon::EndAtOnce(const MountEvents& events) const {
  // On a disk that hangs they stay; the next daemon replaces them.
  if (health_.usable()) {
    unlink(LeaseSocket().c_str());
    unlink(ControlSocket().c_str());
  }
  EndProcess(events, {});
}

void EndProcess(const MountEvents& events, const Status& status) {
  if (events.stuck) events.stuck(status);
  _exit(status.ok() ? EXIT_SUCCESS : EXIT_FAILURE);
}

}  // namespace penstock::cachefs
