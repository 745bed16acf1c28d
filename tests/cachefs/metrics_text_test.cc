#include "cachefs/sight/metrics_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>

#include "cachefs/sight/counter_table.h"

namespace penstock::cachefs {

namespace {

using testing::HasSubstr;
using testing::Not;

MountSnapshot Example() {
  LatencyHistogram reads;
  reads.Record(std::chrono::milliseconds(2));
  reads.Record(std::chrono::seconds(2));
  MountSnapshot snapshot;
  snapshot.store = "/store/with \"quotes\"\nand\\lines";
  snapshot.mountpoint = "/mnt";
  snapshot.cached_bytes = uint64_t{1} << 40;
  snapshot.passthrough = true;
  snapshot.upstream_reads = reads.Snapshot();
  snapshot.counters.resize(CounterTable().size());
  for (size_t counter = 0; counter < snapshot.counters.size(); ++counter) {
    snapshot.counters[counter] = counter + 1;
  }
  return snapshot;
}

TEST(MetricsText, NamesEveryCounterWithItsUnit) {
  const std::string text = MetricsText(Example());
  for (size_t counter = 0; counter < CounterTable().size(); ++counter) {
    const std::string name =
        std::string("penstock_cache_") + CounterTable()[counter].name + "_total";
    EXPECT_THAT(text, HasSubstr("# TYPE " + name + " counter\n" + name + "{mount=\"/mnt\"} " +
                                std::to_string(counter + 1) + "\n"));
  }
  EXPECT_THAT(text, HasSubstr("\npenstock_cache_bytes{mount=\"/mnt\"} 1099511627776\n"));
}

TEST(MetricsText, EscapesLabels) {
  EXPECT_THAT(MetricsText(Example()),
              HasSubstr("store=\"/store/with \\\"quotes\\\"\\nand\\\\lines\""));
}

TEST(MetricsText, HistogramsAreCumulative) {
  const std::string text = MetricsText(Example());
  const std::string bucket =
      "penstock_upstream_latency_seconds_bucket{mount=\"/mnt\",call=\"read\",";
  EXPECT_THAT(text, HasSubstr(bucket + "le=\"0.001\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(bucket + "le=\"0.0025\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(bucket + "le=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(bucket + "le=\"2.5\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(bucket + "le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("_sum{mount=\"/mnt\",call=\"read\"} 2.002\n"));
}

TEST(MetricsText, LimitsAreThereWhereThereAreAny) {
  MountSnapshot snapshot = Example();
  EXPECT_THAT(MetricsText(snapshot), Not(HasSubstr("penstock_cache_limit_bytes")));
  EXPECT_THAT(MetricsText(snapshot), Not(HasSubstr("penstock_access_log_drops_total")));
  snapshot.limit_bytes = 5;
  snapshot.access_log_drops = 6;
  EXPECT_THAT(MetricsText(snapshot), HasSubstr("\npenstock_cache_limit_bytes{mount=\"/mnt\"} 5\n"));
  EXPECT_THAT(MetricsText(snapshot),
              HasSubstr("\npenstock_access_log_drops_total{mount=\"/mnt\"} 6\n"));
}

// The format's own rules: one HELP and one TYPE per family before its samples, families together,
// no sample twice.
TEST(MetricsText, KeepsToTheFormat) {
  std::istringstream lines(MetricsText(Example()));
  std::set<std::string> families;
  std::set<std::string> samples;
  std::string family;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first;
    std::string second;
    std::string third;
    words >> first >> second >> third;
    if (first == "#") {
      if (second == "HELP") {
        EXPECT_TRUE(families.insert(third).second) << line;
        family = third;
      }
      EXPECT_EQ(third, family) << line;
      continue;
    }
    EXPECT_TRUE(line.starts_with(family)) << line;
    EXPECT_TRUE(samples.insert(line.substr(0, line.rfind(' '))).second) << line;
  }
  EXPECT_GT(families.size(), CounterTable().size());
}

}  // namespace

}  // namespace penstock::cachefs
