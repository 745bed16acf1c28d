#include "tools/penstock/watch_status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "penstock/base/file.h"

namespace penstock::tools {

namespace {

using nlohmann::ordered_json;

constexpr size_t kMostListed = 1000;

ordered_json ToJson(const WatchedAcquisition& one) {
  ordered_json json{{"source", one.source}, {"state", WatchStateName(one.state)}};
  if (!one.destination.empty()) json["destination"] = one.destination;
  if (!one.reason.empty()) json["reason"] = one.reason;
  json["since"] = one.since;
  return json;
}

}  // namespace

const char* WatchStateName(WatchState state) {
  static constexpr std::array<const char*, kWatchStates> kNames = {"waiting", "queued", "ingesting",
                                                                   "done", "failed"};
  return kNames[static_cast<size_t>(state)];
}

std::string TimeText() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+00:00", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

Status WriteStatusFile(const std::filesystem::path& path, const WatchReport& report) {
  ordered_json json{{"version", PENSTOCK_VERSION}, {"pid", getpid()},
                    {"started", report.started},   {"updated", TimeText()},
                    {"folder", report.folder},     {"store", report.store},
                    {"rules", report.rules},       {"rule_count", report.rule_count}};
  if (!report.rules_error.empty()) json["rules_error"] = report.rules_error;
  if (!report.complaint.empty()) json["complaint"] = report.complaint;
  for (size_t i = 0; i < kWatchStates; ++i) {
    json["acquisitions"][WatchStateName(static_cast<WatchState>(i))] = report.counts[i];
  }
  json["unknown_files"] = report.unknown_files;
  json["ingested"] = report.ingested;
  json["failures"] = report.failures;
  json["bytes"] = report.bytes;
  json["open"] = ordered_json::array();
  for (size_t i = 0; i < report.open.size() && i < kMostListed; ++i) {
    json["open"].push_back(ToJson(report.open[i]));
  }
  json["recent"] = ordered_json::array();
  for (const WatchedAcquisition& one : report.recent) json["recent"].push_back(ToJson(one));
  return WriteFileAtomically(
      path, json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

Status WriteMetricsFile(const std::filesystem::path& path, const WatchReport& report) {
  std::string text =
      "# HELP penstock_watch_acquisitions Acquisitions in the watched folder, by state.\n"
      "# TYPE penstock_watch_acquisitions gauge\n";
  for (size_t i = 0; i < kWatchStates; ++i) {
    text += fmt::format("penstock_watch_acquisitions{{state=\"{}\"}} {}\n",
                        WatchStateName(static_cast<WatchState>(i)), report.counts[i]);
  }
  const auto counter = [&text](const char* name, const char* type, const char* help, auto value) {
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n{} {}\n", name, help, name, type, name, value);
  };
  counter("penstock_watch_ingested_total", "counter", "Datasets made since the start.",
          report.ingested);
  counter("penstock_watch_failures_total", "counter", "Failed attempts since the start.",
          report.failures);
  counter("penstock_watch_bytes_total", "counter", "Bytes of frames written since the start.",
          report.bytes);
  counter("penstock_watch_unknown_files", "gauge", "Files that no format knows.",
          report.unknown_files);
  counter("penstock_watch_rules_ok", "gauge", "1 where the rules could be loaded.",
          report.rules_error.empty() ? 1 : 0);
  counter("penstock_watch_last_success_timestamp_seconds", "gauge",
          "When the last dataset was finished, 0 before the first.", report.last_success_unix);
  return WriteFileAtomically(path, text);
}

}  // namespace penstock::tools
