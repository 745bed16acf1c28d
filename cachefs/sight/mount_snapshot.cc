#include "cachefs/sight/mount_snapshot.h"

#include <utility>

#include "cachefs/sight/counter_table.h"

namespace penstock::cachefs {

namespace {

Json LatencyJson(const LatencySnapshot& latency) {
  // Only the buckets that hold something: [upper bound in seconds or null, count].
  Json buckets = Json::array();
  for (size_t bucket = 0; bucket < latency.buckets.size(); ++bucket) {
    if (latency.buckets[bucket] == 0) continue;
    const Json bound = bucket < kLatencyBounds.size()
                           ? Json(static_cast<double>(kLatencyBounds[bucket]) / 1e9)
                           : Json();
    buckets.push_back({bound, latency.buckets[bucket]});
  }
  return {{"count", latency.count},
          {"sum_seconds", latency.sum_seconds},
          {"p50_seconds", latency.Quantile(0.5)},
          {"p90_seconds", latency.Quantile(0.9)},
          {"p99_seconds", latency.Quantile(0.99)},
          {"max_seconds", latency.max_seconds},
          {"buckets", std::move(buckets)}};
}

Json DatasetJson(const DatasetSight& dataset) {
  return {{"dataset", dataset.name},
          {"complete_blocks", dataset.residency.complete_blocks},
          {"partial_blocks", dataset.residency.partial_blocks},
          {"bytes", dataset.residency.bytes},
          {"blocks", dataset.blocks ? Json(*dataset.blocks) : Json()}};
}

}  // namespace

Json StatusJson(const MountSnapshot& snapshot) {
  Json status = {
      {"store", snapshot.store},
      {"mountpoint", snapshot.mountpoint},
      {"cache", snapshot.cache},
      {"version", snapshot.version},
      {"pid", snapshot.pid},
      {"start_time", snapshot.start_time},
      {"uptime_seconds", snapshot.uptime_seconds},
      {"passthrough", snapshot.passthrough},
      {"passthrough_reason", snapshot.passthrough_reason},
      {"read_only_view", snapshot.read_only_view},
      {"read_only_view_reason", snapshot.read_only_view_reason},
      {"cached_bytes", snapshot.cached_bytes},
      {"cached_blocks", snapshot.cached_blocks},
      {"other_files",
       {{"files", snapshot.other_files.files}, {"bytes", snapshot.other_files.bytes}}},
      {"inventory_done", snapshot.inventory_done},
      {"limit_bytes", snapshot.limit_bytes ? Json(*snapshot.limit_bytes) : Json()},
      {"reserve_bytes", snapshot.reserve_bytes},
      {"reserve_files", snapshot.reserve_files},
      {"pins", snapshot.pins},
      {"store_presence", snapshot.presence},
      {"fetch_threads", snapshot.fetch_threads},
      {"fetch_threads_fixed", snapshot.fetch_threads_fixed},
      {"scrub", snapshot.scrub},
      {"cache_disk", snapshot.disk_health},
      {"disk_bytes", snapshot.disk_bytes},
      {"disk_available_bytes", snapshot.disk_available_bytes},
      {"upstream_timeout_seconds", snapshot.upstream_timeout_seconds},
      {"lease_connections", snapshot.lease_connections},
      {"leases", snapshot.leases},
      {"metrics_address", snapshot.metrics_address},
      {"access_log_drops", snapshot.access_log_drops ? Json(*snapshot.access_log_drops) : Json()},
      {"dataset_count", snapshot.dataset_count}};
  const auto table = CounterTable();
  Json& counters = status["counters"];
  for (size_t counter = 0; counter < snapshot.counters.size(); ++counter) {
    counters[table[counter].name] = snapshot.counters[counter];
  }
  status["latency"] = {{"upstream_read", LatencyJson(snapshot.upstream_reads)},
                       {"upstream_metadata", LatencyJson(snapshot.upstream_metadata)}};
  status["process"] = {{"resident_bytes", snapshot.process.resident_bytes},
                       {"threads", snapshot.process.threads},
                       {"open_files", snapshot.process.open_files},
                       {"open_files_limit", snapshot.process.open_files_limit},
                       {"cpu_seconds", snapshot.process.cpu_seconds}};
  status["database"] = snapshot.database;
  Json datasets = Json::array();
  for (const DatasetSight& dataset : snapshot.datasets) datasets.push_back(DatasetJson(dataset));
  status["datasets"] = std::move(datasets);
  return status;
}

}  // namespace penstock::cachefs
