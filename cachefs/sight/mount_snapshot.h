// MountSnapshot: everything about a running mount that people and monitors are shown, taken at one
// moment. What shows it (JSON, Prometheus) is a pure function of it.

#ifndef PENSTOCK_CACHEFS_SIGHT_MOUNT_SNAPSHOT_H_
#define PENSTOCK_CACHEFS_SIGHT_MOUNT_SNAPSHOT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cachefs/cache/holding_table.h"
#include "cachefs/sight/latency_histogram.h"
#include "cachefs/sight/process_usage.h"
#include "penstock/dataset/description.h"

namespace penstock::cachefs {

struct DatasetSight {
  std::string name;  // "" where nothing tells yet to which dataset a replica belongs
  DatasetResidency residency;
  std::optional<int64_t> blocks;  // of the dataset, once the store was asked
};

struct MountSnapshot {
  std::string store;
  std::string mountpoint;
  std::string cache;
  std::string version;
  int pid = 0;
  double start_time = 0;  // seconds since 1970
  double uptime_seconds = 0;
  bool passthrough = false;
  std::string passthrough_reason;  // why not
  bool read_only_view = false;
  std::string read_only_view_reason;
  uint64_t cached_bytes = 0;
  uint64_t cached_blocks = 0;
  FileResidency other_files;
  bool inventory_done = false;
  std::optional<uint64_t> limit_bytes;
  uint64_t reserve_bytes = 0;
  uint64_t reserve_files = 0;
  uint64_t pins = 0;
  int fetch_threads = 0;             // reads of the store at once, as they may be now
  bool fetch_threads_fixed = false;  // by the user
  Json presence;                     // StorePresence::Describe
  bool store_away = false;
  double store_since = 0;  // of this or its contrary, seconds since 1970
  Json scrub;              // Scrubber::Describe
  Json disk_health;        // DiskHealth::Describe
  bool disk_usable = true;
  uint64_t disk_bytes = 0;
  uint64_t disk_available_bytes = 0;
  double upstream_timeout_seconds = 0;
  std::vector<uint64_t> counters;  // in the order of CounterTable()
  LatencySnapshot upstream_reads;
  LatencySnapshot upstream_metadata;
  ProcessUsage process;
  uint64_t lease_connections = 0;
  uint64_t leases = 0;
  std::string metrics_address;               // "" where nothing listens
  std::optional<uint64_t> access_log_drops;  // nothing without an access log
  std::map<std::string, uint64_t> database;  // ReplicaStore::Properties
  uint64_t dataset_count = 0;
  std::vector<DatasetSight> datasets;  // by name; the largest where not all were asked for
};

// The answer to the control command "status".
Json StatusJson(const MountSnapshot& snapshot);

}  // namespace penstock::cachefs

#endif  // PENSTOCK_CACHEFS_SIGHT_MOUNT_SNAPSHOT_H_
