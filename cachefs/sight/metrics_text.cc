#include "cachefs/sight/metrics_text.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "cachefs/sight/counter_table.h"

namespace penstock::cachefs {

namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string EscapeLabel(std::string_view value) {
  std::string escaped;
  for (const char character : value) {
    if (character == '\\' || character == '"') escaped.push_back('\\');
    if (character == '\n') {
      escaped += "\\n";
    } else {
      escaped.push_back(character);
    }
  }
  return escaped;
}

class Page {
 public:
  explicit Page(std::string mount) : mount_(std::move(mount)) {}

  void Family(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  template <typename Number>
  void Sample(std::string_view name, Number value, const Labels& labels = {}) {
    fmt::format_to(std::back_inserter(text_), "{}{{mount=\"{}\"", name, EscapeLabel(mount_));
    for (const auto& [label, text] : labels) {
      fmt::format_to(std::back_inserter(text_), ",{}=\"{}\"", label, EscapeLabel(text));
    }
    fmt::format_to(std::back_inserter(text_), "}} {}\n", value);
  }
  template <typename Number>
  void Gauge(std::string_view name, std::string_view help, Number value,
             const Labels& labels = {}) {
    Family(name, "gauge", help);
    Sample(name, value, labels);
  }
  template <typename Number>
  void Counter(std::string_view name, std::string_view help, Number value) {
    Family(name, "counter", help);
    Sample(name, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  const std::string mount_;
  std::string text_;
};

// Every third bound or so: 1, 2.5 and 5 of each decade.
void AddHistogram(Page& page, const std::string& call, const LatencySnapshot& latency) {
  constexpr std::string_view kName = "penstock_upstream_latency_seconds";
  const std::string bucket = std::string(kName) + "_bucket";
  const size_t steps = kLatencySteps.size();
  for (size_t bound = 0; bound < kLatencyBounds.size(); ++bound) {
    const int64_t step = kLatencySteps[bound % steps];
    if (step != 10 && step != 25 && step != 50) continue;
    page.Sample(bucket, latency.CountUpTo(kLatencyBounds[bound]),
                {{"call", call},
                 {"le", fmt::format("{}", static_cast<double>(kLatencyBounds[bound]) / 1e9)}});
  }
  page.Sample(bucket, latency.count, {{"call", call}, {"le", "+Inf"}});
  page.Sample(std::string(kName) + "_sum", latency.sum_seconds, {{"call", call}});
  page.Sample(std::string(kName) + "_count", latency.count, {{"call", call}});
}

}  // namespace

std::string MetricsText(const MountSnapshot& snapshot) {
  Page page(snapshot.mountpoint);
  page.Gauge("penstock_mount_info", "What is mounted, by which version", 1,
             {{"store", snapshot.store}, {"cache", snapshot.cache}, {"version", snapshot.version}});
  page.Gauge("penstock_start_time_seconds", "When the daemon was started, since 1970",
             fmt::format("{:.3f}", snapshot.start_time));
  page.Gauge("penstock_passthrough_enabled",
             "1 where the kernel serves complete blocks without the daemon",
             snapshot.passthrough ? 1 : 0);
  page.Gauge("penstock_cache_bytes", "Bytes of the disk that replicas take", snapshot.cached_bytes);
  page.Gauge("penstock_cache_blocks", "Replicas in the cache, complete or not",
             snapshot.cached_blocks);
  page.Gauge("penstock_cache_datasets", "Datasets of which something is in the cache",
             snapshot.dataset_count);
  if (snapshot.limit_bytes) {
    page.Gauge("penstock_cache_limit_bytes", "Most bytes of replicas", *snapshot.limit_bytes);
  }
  page.Gauge("penstock_cache_reserve_bytes", "Bytes of the cache's disk to be left free",
             snapshot.reserve_bytes);
  page.Gauge("penstock_fetch_threads", "Reads of the store at once, as they may be now",
             snapshot.fetch_threads);
  page.Gauge("penstock_store_away", "1 while the store is away and the cache alone is shown",
             snapshot.store_away ? 1 : 0);
  page.Gauge("penstock_store_since_seconds", "When the store went away or came back, since 1970",
             fmt::format("{:.3f}", snapshot.store_since));
  page.Gauge("penstock_cache_disk_usable",
             "0 while the cache disk is sick and everything is read from the store",
             snapshot.disk_usable ? 1 : 0);
  page.Gauge("penstock_cache_disk_bytes", "Size of the cache's disk", snapshot.disk_bytes);
  page.Gauge("penstock_cache_disk_available_bytes", "Free bytes of the cache's disk",
             snapshot.disk_available_bytes);
  const auto table = CounterTable();
  for (size_t counter = 0; counter < snapshot.counters.size(); ++counter) {
    page.Counter(fmt::format("penstock_cache_{}_total", table[counter].name), table[counter].help,
                 snapshot.counters[counter]);
  }
  page.Gauge("penstock_leases", "Descriptors that readers hold by lease", snapshot.leases);
  page.Gauge("penstock_lease_connections", "Connections of readers to the lease socket",
             snapshot.lease_connections);
  if (snapshot.access_log_drops) {
    page.Counter("penstock_access_log_drops_total",
                 "Opens that the access log has not got because it could not keep up",
                 *snapshot.access_log_drops);
  }
  page.Family("penstock_upstream_latency_seconds", "histogram",
              "How long calls to the store took, failed ones included");
  AddHistogram(page, "read", snapshot.upstream_reads);
  AddHistogram(page, "metadata", snapshot.upstream_metadata);
  page.Gauge("penstock_process_resident_bytes", "Memory of the daemon",
             snapshot.process.resident_bytes);
  page.Gauge("penstock_process_threads", "Threads of the daemon", snapshot.process.threads);
  page.Gauge("penstock_process_open_files", "Open descriptors of the daemon",
             snapshot.process.open_files);
  page.Gauge("penstock_process_open_files_limit", "Most open descriptors of the daemon",
             snapshot.process.open_files_limit);
  page.Counter("penstock_process_cpu_seconds_total", "CPU time of the daemon",
               snapshot.process.cpu_seconds);
  return page.Take();
}

}  // namespace penstock::cachefs
