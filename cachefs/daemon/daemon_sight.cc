// The part of Daemon that tells of itself.

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "cachefs/control/visibility.h"
#include "cachefs/daemon/daemon.h"
#include "cachefs/sight/counter_table.h"
#include "cachefs/sight/metrics_text.h"
#include "cachefs/sight/process_usage.h"
#include "penstock/cachefs/control.h"

namespace penstock::cachefs {

namespace {

constexpr std::chrono::seconds kMetricsInterval{15};
// What the daemon may take to answer itself and be called alive.
constexpr std::chrono::seconds kPingPatience{10};
// How long a check waits for the store and for the cache disk.
constexpr std::chrono::milliseconds kMostPatience{12'000};
constexpr std::chrono::milliseconds kDiskPatience{5'000};

double Gibibytes(uint64_t bytes) { return static_cast<double>(bytes) / (uint64_t{1} << 30); }

}  // namespace

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
  snapshot.fetch_threads = cache_.fetch_threads();
  snapshot.fetch_threads_fixed = options_.fetch_threads > 0;
  snapshot.presence = watched_->presence()->Describe();
  snapshot.presence["unwritten"] = memory_->unwritten();
  snapshot.store_away = watched_->presence()->away();
  snapshot.store_since = watched_->presence()->since();
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

Json Daemon::DescribeStatus(const Json& request, const Peer& peer) const {
  const auto most = request.find("datasets");
  Json status = StatusJson(TakeSnapshot(
      most != request.end() && most->is_number_unsigned() ? most->get<size_t>() : SIZE_MAX));
  KeepVisibleDatasets(peer, *memory_, status);
  return status;
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
  StorePresence& presence = *watched_->presence();
  return presence.Look() ? Status(presence.WhyAway()) : Status();
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

}  // namespace penstock::cachefs
