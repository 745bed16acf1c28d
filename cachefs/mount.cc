#include "penstock/cachefs/mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "cachefs/cache/block_cache.h"
#include "cachefs/cache/dataset_registry.h"
#include "cachefs/control/cache_commands.h"
#include "cachefs/control/control_server.h"
#include "cachefs/control/short_circuit_server.h"
#include "cachefs/fuse/session.h"
#include "cachefs/handover/handover.h"
#include "cachefs/peers/peers.h"
#include "cachefs/sight/access_log.h"
#include "cachefs/sight/counter_table.h"
#include "cachefs/sight/health_probe.h"
#include "cachefs/sight/metrics_server.h"
#include "cachefs/sight/metrics_text.h"
#include "cachefs/sight/mount_snapshot.h"
#include "cachefs/sight/periodic_file.h"
#include "cachefs/sight/timed_upstream.h"
#include "penstock/cachefs/control.h"
#include "penstock/cachefs/upstream.h"

namespace penstock::cachefs {

namespace {

constexpr int kMetadataThreads = 4;
constexpr int kReadThreads = 4;
constexpr int kSessionThreads = 4;
// How long the end of the daemon waits for a store that does not answer.
constexpr std::chrono::seconds kShutdownPatience{5};
constexpr std::chrono::seconds kHandshakePatience{10};
constexpr std::chrono::seconds kMetricsInterval{15};
// What the daemon may take for one request of the kernel, or to answer itself, and be called alive.
constexpr std::chrono::seconds kLongestRequest{20};
constexpr std::chrono::seconds kPingPatience{10};
// How long a check waits for the store and for the cache disk.
constexpr std::chrono::milliseconds kMostPatience{12'000};
constexpr std::chrono::milliseconds kDiskPatience{5'000};

double Gibibytes(uint64_t bytes) { return static_cast<double>(bytes) / (uint64_t{1} << 30); }

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

// A store behind a network answers late, and gives its full rate to many requests at once only.
int FetchThreads(const MountOptions& options) {
  constexpr int kForDirectories = 4;
  constexpr int kForAddresses = 16;
  if (options.fetch_threads > 0) return options.fetch_threads;
  return options.store.find("://") == std::string::npos ? kForDirectories : kForAddresses;
}

// How the service manager wants to be told of the mount.
constexpr const char* kServiceVariables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC"};

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

// Everything of a mount, in the order in which it is built; destroyed in the opposite order.
class Daemon {
 public:
  Daemon(const MountOptions& options, std::shared_ptr<Upstream> upstream, CacheDirectory directory,
         ReplicaStore store, const CacheLimits& limits, std::unique_ptr<CachePolicy> policy,
         std::unique_ptr<AccessLog> access_log, std::unique_ptr<Peers> peers)
      : options_(options),
        directory_(std::move(directory)),
        store_(std::move(store)),
        policy_(std::move(policy)),
        access_log_(std::move(access_log)),
        upstream_(MakeTimedUpstream(std::move(upstream), latency_)),
        peers_(std::move(peers)),
        channel_(options.passthrough),
        cache_(directory_, store_, upstream_, deadlines_, counters_,
               {.limits = limits,
                .upstream_timeout = options.upstream_timeout,
                .fetch_threads = FetchThreads(options),
                .peers = peers_ ? peers_->StartClient(counters_) : nullptr,
                .policy = policy_.get(),
                .health = &health_}),
        registry_(upstream_, directory_.SidecarPath()),
        read_ahead_(registry_, cache_, options.read_ahead_blocks),
        faces_(upstream_),
        face_headers_(upstream_),
        store_probe_(upstream_->Name(), [this] { return AskStore(); }),
        disk_probe_(directory_.path().string(), [this] { return AskCacheDisk(); }),
        read_workers_(kReadThreads),
        metadata_workers_(kMetadataThreads),
        operations_({.upstream = upstream_,
                     .registry = &registry_,
                     .cache = &cache_,
                     .read_ahead = &read_ahead_,
                     .faces = options.faces ? &faces_ : nullptr,
                     .face_headers = &face_headers_,
                     .metadata_workers = &metadata_workers_,
                     .read_workers = &read_workers_,
                     .deadlines = &deadlines_,
                     .counters = &counters_,
                     .channel = &channel_,
                     .access_log = access_log_.get(),
                     .upstream_timeout = options.upstream_timeout,
                     .settle_time = options.settle_time,
                     .lease_socket = LeaseSocket(),
                     .control_socket = ControlSocket()}) {
    cache_.OnComplete([this](const BlockSource& block) { operations_.BlockCompleted(block); });
    registry_.OnReplaced([this](const DatasetView& previous) {
      operations_.DatasetReplaced(previous);
      for (const auto& block : previous.blocks) cache_.Evict(block->id);
    });
  }

  // `takeover`: null for a mount that is to be made.
  Result<HandedOver> Run(const std::stop_token& stop, const MountEvents& events,
                         Takeover* takeover);

 private:
  std::string LeaseSocket() const { return (directory_.path() / "short-circuit.sock").string(); }
  std::string ControlSocket() const { return (directory_.path() / "control.sock").string(); }
  MountSnapshot TakeSnapshot(size_t most_datasets) const;
  void DescribeDatasets(size_t most, MountSnapshot& snapshot) const;
  Json DescribeStatus(const Json& request) const;
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
  [[noreturn]] void EndAtOnce() const;

  const MountOptions options_;
  const std::chrono::system_clock::time_point start_time_ = std::chrono::system_clock::now();
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  CacheDirectory directory_;
  ReplicaStore store_;
  const std::unique_ptr<CachePolicy> policy_;
  const std::unique_ptr<AccessLog> access_log_;
  UpstreamLatency latency_;
  std::shared_ptr<Upstream> upstream_;
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
  HealthProbe store_probe_;
  HealthProbe disk_probe_;
  WorkerPool read_workers_;
  WorkerPool metadata_workers_;
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
  scrubber_ = std::make_unique<Scrubber>(
      directory_.path(),
      ScrubServices{.upstream = upstream_, .registry = &registry_, .cache = &cache_},
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
      .status = [this](const Json& request) { return DescribeStatus(request); },
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
    EndAtOnce();
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
  drained = disk_probe_.Stop(kShutdownPatience) && drained;
  drained = cache_.Stop(kShutdownPatience) && drained;
  drained = health_.Stop(kShutdownPatience) && drained;
  if (!drained) return false;
  // Those who describe the rest before what they describe.
  control_.reset();
  metrics_.reset();
  leases_.reset();
  return true;
}

void Daemon::EndAtOnce() const {
  spdlog::shutdown();
  unlink(LeaseSocket().c_str());
  unlink(ControlSocket().c_str());
  _exit(EXIT_SUCCESS);
}

MountSnapshot Daemon::TakeSnapshot(size_t most_datasets) const {
  MountSnapshot snapshot;
  snapshot.store = upstream_->Name();
  snapshot.mountpoint = options_.mountpoint.string();
  snapshot.cache = directory_.path().string();
  snapshot.version = PENSTOCK_VERSION;
  snapshot.pid = getpid();
  snapshot.start_time = std::chrono::duration<double>(start_time_.time_since_epoch()).count();
  snapshot.uptime_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  snapshot.passthrough = channel_.passthrough();
  snapshot.passthrough_reason = channel_.PassthroughFailure();
  snapshot.read_only_view = directory_.has_read_only_view();
  snapshot.read_only_view_reason = directory_.view_failure();
  snapshot.cached_bytes = cache_.bytes();
  snapshot.cached_blocks = cache_.block_count();
  snapshot.inventory_done = cache_.inventory_done();
  if (cache_.limits().cache_bytes != UINT64_MAX) {
    snapshot.limit_bytes = cache_.limits().cache_bytes;
  }
  snapshot.reserve_bytes = cache_.limits().reserve_bytes;
  snapshot.reserve_files = cache_.limits().reserve_files;
  snapshot.other_files = cache_.OtherFiles();
  snapshot.pins = policy_->Pins().size();
  snapshot.scrub = scrubber_->Describe();
  snapshot.disk_health = health_.Describe();
  snapshot.disk_usable = health_.usable();
  if (const auto disk = directory_.DiskSpace(); disk.ok()) {
    snapshot.disk_bytes = disk->total_bytes;
    snapshot.disk_available_bytes = disk->available_bytes;
  }
  snapshot.upstream_timeout_seconds = static_cast<double>(options_.upstream_timeout.count()) / 1000;
  for (const CounterDescription& counter : CounterTable()) {
    snapshot.counters.push_back((counters_.*counter.counter).load());
  }
  snapshot.upstream_reads = latency_.reads.Snapshot();
  snapshot.upstream_metadata = latency_.metadata.Snapshot();
  snapshot.process = MeasureProcess();
  snapshot.lease_connections = leases_->connection_count();
  snapshot.leases = leases_->lease_count();
  snapshot.metrics_address = metrics_address_;
  if (access_log_) snapshot.access_log_drops = access_log_->drops();
  snapshot.database = store_.Properties();
  DescribeDatasets(most_datasets, snapshot);
  return snapshot;
}

void Daemon::DescribeDatasets(size_t most, MountSnapshot& snapshot) const {
  for (auto& [name, residency] : cache_.Datasets()) {
    snapshot.datasets.push_back({.name = name, .residency = residency, .blocks = {}});
  }
  snapshot.dataset_count = snapshot.datasets.size();
  if (most < snapshot.datasets.size()) {
    std::ranges::nth_element(
        snapshot.datasets, snapshot.datasets.begin() + static_cast<ptrdiff_t>(most),
        std::ranges::greater(), [](const DatasetSight& each) { return each.residency.bytes; });
    snapshot.datasets.resize(most);
  }
  std::ranges::sort(snapshot.datasets, {}, &DatasetSight::name);
  std::unordered_map<std::string_view, size_t> blocks_of_dataset;
  const auto known = registry_.Known();
  for (const auto& view : known) blocks_of_dataset[view->path] = view->blocks.size();
  for (DatasetSight& dataset : snapshot.datasets) {
    const auto found = blocks_of_dataset.find(dataset.name);
    if (found != blocks_of_dataset.end()) dataset.blocks = static_cast<int64_t>(found->second);
  }
}

Json Daemon::DescribeStatus(const Json& request) const {
  const auto most = request.find("datasets");
  return StatusJson(TakeSnapshot(
      most != request.end() && most->is_number_unsigned() ? most->get<size_t>() : SIZE_MAX));
}

std::string Daemon::DescribeLine() const {
  const MountSnapshot snapshot = TakeSnapshot(0);
  return fmt::format("{} on {}: {} blocks of {} datasets, {:.1f} GiB cached, {:.1f} GiB fetched",
                     snapshot.store, snapshot.mountpoint, snapshot.cached_blocks,
                     snapshot.dataset_count, Gibibytes(snapshot.cached_bytes),
                     Gibibytes(counters_.fetched_bytes.load()));
}

Status Daemon::StartSight() {
  const auto text = [this] { return MetricsText(TakeSnapshot(0)); };
  if (!options_.sight.metrics_address.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(metrics_, MetricsServer::Listen(options_.sight.metrics_address));
    metrics_address_ = metrics_->address();
    metrics_->Begin(text);
    spdlog::info("metrics are answered on {}", metrics_address_);
  }
  if (!options_.sight.metrics_file.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(
        metrics_file_, PeriodicFile::Start(options_.sight.metrics_file, kMetricsInterval, text));
  }
  return {};
}

Status Daemon::AskStore() const {
  const auto root = upstream_->Stat("");
  if (!root.ok()) return root.error();
  return {};
}

Status Daemon::AskCacheDisk() const { return WriteFileAtomically(directory_.path() / "check", ""); }

Json Daemon::Check() {
  Json problems = Json::array();
  const auto store = store_probe_.Ask(std::min(options_.upstream_timeout, kMostPatience));
  if (!store.ok()) problems.push_back(store.error().ToString());
  const auto disk = disk_probe_.Ask(kDiskPatience);
  if (!disk.ok()) problems.push_back(disk.error().ToString());
  if (!session_->AnswersWithin(kLongestRequest)) {
    problems.push_back("no request of the kernel is answered");
  }
  return {
      {"healthy", problems.empty()},
      {"store_seconds", store.ok() ? Json(std::chrono::duration<double>(*store).count()) : Json()},
      {"problems", std::move(problems)}};
}

bool Daemon::IsAlive() const {
  if (!session_->AnswersWithin(kLongestRequest)) return false;
  return AskDaemon(ControlSocket(), {{"command", "ping"}}, nullptr, kPingPatience).ok();
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
                              const std::shared_ptr<Upstream>& upstream,
                              const std::stop_token& stop, const MountEvents& events,
                              Takeover* takeover) {
  PENSTOCK_ASSIGN_OR_RETURN(std::unique_ptr<Peers> peers,
                            Peers::Open(options.peers, options.upstream_timeout));
  PENSTOCK_ASSIGN_OR_RETURN(CacheDirectory directory, CacheDirectory::Open(options.cache));
  PENSTOCK_ASSIGN_OR_RETURN(ReplicaStore store, ReplicaStore::Open(directory.StatePath()));
  PENSTOCK_ASSIGN_OR_RETURN(auto policy, CachePolicy::Load(directory.PolicyPath()));
  PENSTOCK_ASSIGN_OR_RETURN(const CacheLimits limits, LimitsFor(options, directory));
  std::unique_ptr<AccessLog> access_log;
  if (!options.sight.access_log.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(access_log,
                              AccessLog::Start({.path = options.sight.access_log,
                                                .rotate_bytes = options.sight.access_log_bytes}));
  }
  auto daemon =
      std::make_unique<Daemon>(options, upstream, std::move(directory), std::move(store), limits,
                               std::move(policy), std::move(access_log), std::move(peers));
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

}  // namespace

Status RunMount(const MountOptions& options, const std::stop_token& stop,
                const MountEvents& events) {
  RaiseDescriptorLimit();
  UpstreamOptions upstream_options = options.upstream;
  upstream_options.timeout = options.upstream_timeout;
  PENSTOCK_ASSIGN_OR_RETURN(const std::shared_ptr<Upstream> upstream,
                            MakeUpstream(options.store, upstream_options));
  // An address that is mistyped is told here and not by the first file.
  PENSTOCK_RETURN_IF_ERROR(upstream->Stat(""));
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

}  // namespace penstock::cachefs
