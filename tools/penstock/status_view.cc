#include "tools/penstock/status_view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iterator>
#include <map>
#include <vector>

#include "tools/penstock/quantities.h"
#include "tools/penstock/text_table.h"

namespace penstock::tools {

namespace {

constexpr size_t kNameWidth = 22;

std::string YesOrWhyNot(const Json& status, const char* what, const char* reason) {
  if (status.value(what, false)) return "yes";
  return fmt::format("no ({})", status.value(reason, ""));
}

std::string FormatLatency(double seconds) {
  if (seconds <= 0) return "-";
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  return fmt::format("{:.3g} s", seconds);
}

std::string Percent(uint64_t part, uint64_t rest) {
  if (part + rest == 0) return "-";
  return fmt::format("{:.1f} %",
                     100.0 * static_cast<double>(part) / static_cast<double>(part + rest));
}

std::string DescribeLatency(const Json& latency) {
  if (latency.value("count", uint64_t{0}) == 0) return "no calls";
  std::string text =
      fmt::format("p50 {}, p90 {}, p99 {}", FormatLatency(latency.value("p50_seconds", 0.0)),
                  FormatLatency(latency.value("p90_seconds", 0.0)),
                  FormatLatency(latency.value("p99_seconds", 0.0)));
  if (latency.contains("max_seconds")) {
    text += fmt::format(", max {}", FormatLatency(latency.value("max_seconds", 0.0)));
  }
  return text + fmt::format(" of {} calls", latency.value("count", uint64_t{0}));
}

// Upper bound in seconds (infinity for the last) to count.
std::map<double, uint64_t> BucketsOf(const Json& latency) {
  std::map<double, uint64_t> buckets;
  for (const Json& bucket : latency.value("buckets", Json::array())) {
    const double bound = bucket[0].is_number() ? bucket[0].get<double>() : HUGE_VAL;
    buckets[bound] = bucket[1].get<uint64_t>();
  }
  return buckets;
}

// The upper bound of the bucket that holds it.
double QuantileOf(const std::map<double, uint64_t>& buckets, uint64_t count, double part,
                  double longest) {
  uint64_t below = 0;
  for (const auto& [bound, in_bucket] : buckets) {
    below += in_bucket;
    if (static_cast<double>(below) >= part * static_cast<double>(count)) {
      return std::min(bound, longest);
    }
  }
  return longest;
}

Json LatencyBetween(const Json& before, const Json& after) {
  std::map<double, uint64_t> buckets = BucketsOf(after);
  for (const auto& [bound, count] : BucketsOf(before)) buckets[bound] -= count;
  uint64_t count = 0;
  for (const auto& [bound, in_bucket] : buckets) count += in_bucket;
  Json latency = {{"count", count}};
  const double longest = after.value("max_seconds", 0.0);
  if (count > 0) {
    latency["p50_seconds"] = QuantileOf(buckets, count, 0.5, longest);
    latency["p90_seconds"] = QuantileOf(buckets, count, 0.9, longest);
    latency["p99_seconds"] = QuantileOf(buckets, count, 0.99, longest);
  }
  return latency;
}

double RateOf(const Json& rates, const std::string& counter) {
  return rates.value(counter + "_per_second", 0.0);
}

std::string ByteRate(const Json& rates, const std::string& counter) {
  return FormatRate(static_cast<uint64_t>(RateOf(rates, counter)), 1);
}

double OpensPerSecond(const Json& rates) {
  return RateOf(rates, "passthrough_opens") + RateOf(rates, "served_opens") +
         RateOf(rates, "plain_opens") + RateOf(rates, "leases_granted");
}

class Lines {
 public:
  void Add(std::string_view name, const std::string& value) {
    fmt::format_to(std::back_inserter(text_), "{:<{}}{}\n", name, kNameWidth,
                   WithoutControlCharacters(value));
  }
  void AddRaw(const std::string& line) { text_ += WithoutControlCharacters(line) + "\n"; }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void AddRates(const Json& rates, Lines& lines) {
  if (!rates.is_object()) return;
  lines.Add("now",
            fmt::format("{} from the cache, {} waited for the store, {} fetched; {:.1f} opens/s",
                        ByteRate(rates, "hit_bytes"), ByteRate(rates, "missed_bytes"),
                        ByteRate(rates, "fetched_bytes"), OpensPerSecond(rates)));
  lines.Add("store reads now", DescribeLatency(rates["latency"]["upstream_read"]));
  lines.Add("store metadata now", DescribeLatency(rates["latency"]["upstream_metadata"]));
}

void AddDatasets(const Json& status, Lines& lines) {
  const Json datasets = status.value("datasets", Json::array());
  for (const Json& dataset : datasets) {
    const std::string name = dataset.value("dataset", "");
    const std::string blocks =
        dataset["blocks"].is_number() ? fmt::format("{}", dataset["blocks"].get<int64_t>()) : "?";
    lines.AddRaw(fmt::format("  {}: {} of {} blocks complete, {} partial, {}",
                             name.empty() ? "(dataset not known yet)" : name,
                             dataset.value("complete_blocks", 0), blocks,
                             dataset.value("partial_blocks", 0),
                             FormatBytes(dataset.value("bytes", uint64_t{0}))));
  }
  const auto count = status.value("dataset_count", datasets.size());
  if (count > datasets.size()) {
    lines.AddRaw(fmt::format("  and {} other datasets", count - datasets.size()));
  }
}

std::string DescribePresence(const Json& presence) {
  const std::string state = presence.value("state", "");
  if (state != "away") return state;
  const auto since = static_cast<std::time_t>(presence.value("since", 0.0));
  return fmt::format("away since {:%Y-%m-%dT%H:%M:%SZ} ({}); the cache alone is shown",
                     fmt::gmtime(since), presence.value("reason", ""));
}

std::string DescribeScrub(const Json& scrub) {
  if (!scrub.is_object()) return "-";
  const std::string state = scrub.value("state", "");
  const Json& pass = scrub["pass"];
  if (!pass.is_object()) return state + ", none so far";
  const auto number = [&](const char* key) { return pass.value(key, uint64_t{0}); };
  return fmt::format("{}; pass {}: {} of {} read, {} extents damaged, {} mended", state,
                     number("number"), FormatBytes(number("bytes")),
                     FormatBytes(scrub.value("total_bytes", uint64_t{0})),
                     number("damaged_extents"), number("healed_extents"));
}

}  // namespace

Json RatesBetween(const Json& before, const Json& after) {
  const double seconds = after.value("uptime_seconds", 0.0) - before.value("uptime_seconds", 0.0);
  if (before.value("pid", 0) != after.value("pid", 0) || seconds <= 0) return {};
  Json rates = {{"seconds", seconds}};
  for (const auto& [name, value] : after["counters"].items()) {
    const uint64_t earlier = before["counters"].value(name, uint64_t{0});
    rates[name + "_per_second"] = static_cast<double>(value.get<uint64_t>() - earlier) / seconds;
  }
  for (const char* const call : {"upstream_read", "upstream_metadata"}) {
    rates["latency"][call] = LatencyBetween(before["latency"][call], after["latency"][call]);
  }
  return rates;
}

std::string StatusText(const Json& status, const Json& rates) {
  const Json& counters = status["counters"];
  const auto count = [&](const char* name) { return counters.value(name, uint64_t{0}); };
  const auto bytes = [&](const char* name) { return FormatBytes(status.value(name, uint64_t{0})); };
  const Json& process = status["process"];
  Lines lines;
  lines.Add("store", status.value("store", ""));
  lines.Add("store is", DescribePresence(status.value("store_presence", Json::object())));
  lines.Add("mountpoint", status.value("mountpoint", ""));
  lines.Add("cache", status.value("cache", ""));
  lines.Add("daemon",
            fmt::format("process {}, up {}, {} threads, {} of {} descriptors, {} of memory, {} CPU",
                        status.value("pid", 0), FormatDuration(status.value("uptime_seconds", 0.0)),
                        process.value("threads", 0), process.value("open_files", uint64_t{0}),
                        process.value("open_files_limit", uint64_t{0}),
                        FormatBytes(process.value("resident_bytes", uint64_t{0})),
                        FormatDuration(process.value("cpu_seconds", 0.0))));
  lines.Add("passthrough", YesOrWhyNot(status, "passthrough", "passthrough_reason"));
  lines.Add("read-only view", YesOrWhyNot(status, "read_only_view", "read_only_view_reason"));
  lines.Add(
      "cached",
      fmt::format("{} in {} blocks and {} other files{}", bytes("cached_bytes"),
                  status.value("cached_blocks", uint64_t{0}),
                  status["other_files"].value("files", uint64_t{0}),
                  status.value("inventory_done", true) ? "" : " (still listing the directory)"));
  lines.Add("limit", fmt::format("{}, {} of the disk left free; {} of {} are free",
                                 status["limit_bytes"].is_number() ? bytes("limit_bytes") : "none",
                                 bytes("reserve_bytes"), bytes("disk_available_bytes"),
                                 bytes("disk_bytes")));
  lines.Add("opens",
            fmt::format("{} passed through, {} served, {} leased ({} held), {} of other "
                        "files",
                        count("passthrough_opens"), count("served_opens"), count("leases_granted"),
                        status.value("leases", 0), count("plain_opens")));
  lines.Add("served reads",
            fmt::format("{} hits, {} misses ({} of reads, {} of bytes from the cache)",
                        count("hit_reads"), count("missed_reads"),
                        Percent(count("hit_reads"), count("missed_reads")),
                        Percent(count("hit_bytes"), count("missed_bytes"))));
  lines.Add("served bytes",
            fmt::format("{} from the cache, {} waited for the store",
                        FormatBytes(count("hit_bytes")), FormatBytes(count("missed_bytes"))));
  lines.Add("fetched",
            fmt::format("{} of blocks, {} of other files", FormatBytes(count("fetched_bytes")),
                        FormatBytes(count("fetched_file_bytes"))));
  lines.Add(
      "fetches",
      fmt::format("{} at once{}", status.value("fetch_threads", 0),
                  status.value("fetch_threads_fixed", false) ? "" : " (as many as bring more)"));
  lines.Add("store reads", DescribeLatency(status["latency"]["upstream_read"]));
  lines.Add("store metadata", DescribeLatency(status["latency"]["upstream_metadata"]));
  AddRates(rates, lines);
  lines.Add("verified again", FormatBytes(count("reverified_bytes")));
  lines.Add("evicted", fmt::format("{} blocks, {} other files", count("evicted_blocks"),
                                   count("evicted_files")));
  const Json& disk = status["cache_disk"];
  const std::string why = disk.value("reason", "");
  lines.Add("cache disk", disk.value("state", "") + (why.empty() ? "" : " (" + why + ")"));
  lines.Add("scrub", DescribeScrub(status["scrub"]));
  lines.Add("not kept",
            fmt::format("{} extents (no room or a cache error)", count("uncached_extents")));
  lines.Add("failures",
            fmt::format("{} extents of the store, {} of the cache; {} store errors, {} time-outs, "
                        "{} cache disk errors",
                        count("verification_failures"), count("damaged_cache_extents"),
                        count("upstream_errors"), count("timeouts"), count("cache_errors")));
  if (const std::string metrics = status.value("metrics_address", ""); !metrics.empty()) {
    lines.Add("metrics", fmt::format("http://{}/metrics", metrics));
  }
  AddDatasets(status, lines);
  return lines.Take();
}

std::string RatesLine(const Json& status, const Json& rates) {
  const Json& reads = rates["latency"]["upstream_read"];
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ} hits {} misses {} fetched {} opens {:.1f}/s cached {} store-p99 {} "
      "errors {:.1f}/s",
      fmt::gmtime(std::time(nullptr)), ByteRate(rates, "hit_bytes"),
      ByteRate(rates, "missed_bytes"), ByteRate(rates, "fetched_bytes"), OpensPerSecond(rates),
      FormatBytes(status.value("cached_bytes", uint64_t{0})),
      FormatLatency(reads.value("p99_seconds", 0.0)),
      RateOf(rates, "upstream_errors") + RateOf(rates, "cache_errors") +
          RateOf(rates, "verification_failures"));
}

}  // namespace penstock::tools
