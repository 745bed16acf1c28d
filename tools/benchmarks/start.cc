// penstock_bench_start DATASET: how long it takes until the first partial result.
//
// In every repetition the dataset is opened anew and one mask is applied; taken are the times until
// it is open and until the first callback of the pass, which is then stopped. What the process
// needs before its main function is not in it: `tools/bench` times the command for that.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "penstock/reader/operations.h"
#include "penstock/reader/reader.h"

namespace penstock {
namespace {

double Milliseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - since)
      .count();
}

struct Times {
  double opened = 0;  // both in ms
  double first = 0;
};

Result<Times> Once(const std::string& dataset, int threads) {
  const auto start = std::chrono::steady_clock::now();
  PENSTOCK_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(dataset));
  Times times{.opened = Milliseconds(start)};
  const SignalShape signal = reader.shape().signal;
  PENSTOCK_ASSIGN_OR_RETURN(
      auto masks, MaskReduction::Create({DiskMask(signal, static_cast<double>(signal.rows) / 2,
                                                  static_cast<double>(signal.columns) / 2,
                                                  static_cast<double>(signal.rows) / 4)}));
  std::stop_source stop;
  PassOptions pass;
  pass.threads = threads;
  pass.stop = stop.get_token();
  std::optional<double> first;
  pass.on_partition = [&](const PassProgress&) {
    if (!first) first = Milliseconds(start);
    stop.request_stop();
  };
  Reduction* const reductions[] = {masks.get()};
  const auto summary = reader.Run(reductions, pass);
  if (!first)
    return summary.ok() ? Error::Internal("there was no partial result") : summary.error();
  times.first = *first;
  return times;
}

int Main(int argc, char** argv) {
  CLI::App app("time until the first partial result");
  std::string dataset;
  int repeat = 20;
  int threads = 0;
  bool json = false;
  app.add_option("dataset", dataset)->required();
  app.add_option("--repeat", repeat);
  app.add_option("--threads", threads);
  app.add_flag("--json", json);
  CLI11_PARSE(app, argc, argv);
  std::vector<double> opened;
  std::vector<double> first;
  for (int i = -1; i < repeat; ++i) {  // the first one only warms up
    const auto times = Once(dataset, threads);
    if (!times.ok()) {
      std::fprintf(stderr, "%s\n", times.error().ToString().c_str());
      return 1;
    }
    if (i < 0) continue;
    opened.push_back(times->opened);
    first.push_back(times->first);
    if (!json)
      fmt::print("open {:.2f} ms, first partial result {:.2f} ms\n", opened.back(), first.back());
  }
  if (json) {
    const nlohmann::ordered_json report = {{"open_ms", opened}, {"first_ms", first}};
    std::puts(report.dump().c_str());
  }
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::Main(argc, argv); }
