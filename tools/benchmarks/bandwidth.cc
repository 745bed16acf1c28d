// penstock_bandwidth DATASET: how close the reader comes to what the memory gives.
//
// In every repetition a plain load-and-discard loop over the mapped blocks and then each operation
// of the reader run over the same bytes, interleaved, so that ratios are between neighbours in time
// on a machine whose speed drifts. Optionally also the cold rate of the direct back end.

#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "measured_operations.h"
#include "penstock/base/file.h"
#include "penstock/reader/reader.h"
#include "reader/io/mapped_blocks.h"
#include "reader/kernels/kernels.h"

namespace penstock {
namespace {

struct BandwidthOptions {
  std::string dataset;
  int threads = 1;
  int repeat = 5;
  bool json = false;
  bool cold = false;
  uint64_t tile_bytes = PassOptions{}.tile_bytes;
  int64_t tile_frames = PassOptions{}.tile_frames;
  std::vector<std::string> only;
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

// GiB/s of the payload by `threads` threads that only load, through mappings that are kept, as the
// reader keeps its own.
Result<double> LoadAndDiscard(const Reader& reader, MappedBlocks& blocks, int threads,
                              kernels::ReadPattern pattern) {
  const Dataset& dataset = reader.dataset();
  // Partitions of the reader's size, so that the load is balanced in the same way.
  constexpr uint64_t kPart = uint64_t{64} << 20;
  struct Part {
    size_t block;
    uint64_t begin;
    uint64_t end;
  };
  std::vector<Part> parts;
  for (size_t b = 0; b < dataset.blocks().size(); ++b) {
    const uint64_t end =
        kPayloadStart + dataset.LayoutOfBlock(static_cast<int64_t>(b)).payload_bytes;
    for (uint64_t at = kPayloadStart; at < end; at += kPart) {
      parts.push_back({b, at, std::min(at + kPart, end)});
    }
  }
  std::atomic<size_t> next{0};
  std::atomic<uint64_t> seen{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    for (size_t i = next++; i < parts.size() && !failed; i = next++) {
      const Part& part = parts[i];
      const auto path = dataset.directory() / dataset.blocks()[part.block].relative_path;
      const auto file = OpenFile(path, O_RDONLY);
      const auto identity = file.ok() ? IdentifyFile(file->get(), path) : file.error();
      if (!identity.ok()) return failed.store(true);
      const auto mapped =
          blocks.Get(static_cast<int64_t>(part.block), file->get(), *identity, path);
      if (mapped == nullptr || !mapped->Bring(part.begin, part.end).ok()) {
        return failed.store(true);
      }
      seen ^= kernels::LoadAndDiscard(mapped->data() + part.begin, part.end - part.begin, pattern);
    }
  };
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  const double seconds = Seconds(start);
  if (failed) return Error::Internal("cannot map the blocks").In(dataset.directory().string());
  return static_cast<double>(reader.shape().payload_bytes()) / seconds / (1 << 30);
}

// Which way of reading is the faster one depends on the processor.
struct Limit {
  double linear;
  double eight_streams;
  double best() const { return std::max(linear, eight_streams); }
};

Result<Limit> MeasureLimit(const Reader& reader, MappedBlocks& blocks, int threads) {
  Limit limit;
  PENSTOCK_ASSIGN_OR_RETURN(limit.linear,
                            LoadAndDiscard(reader, blocks, threads, kernels::ReadPattern::kLinear));
  PENSTOCK_ASSIGN_OR_RETURN(
      limit.eight_streams,
      LoadAndDiscard(reader, blocks, threads, kernels::ReadPattern::kEightStreams));
  return limit;
}

void DropFromPageCache(const Dataset& dataset) {
  for (const BlockInfo& block : dataset.blocks()) {
    const auto file = OpenFile(dataset.directory() / block.relative_path, O_RDONLY);
    if (file.ok()) posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

// Touches nothing: what reading alone costs in the direct back end.
class NothingReduction final : public Reduction {
 public:
  Status Begin(const PassPlan&) override { return Status::Ok(); }
  std::unique_ptr<State> MakeState() const override { return std::make_unique<State>(); }
  void BeginPartition(State&, const Partition&) const override {}
  void Process(State&, const Tile&) const override {}
  void Merge(State&, const Partition&) override {}
};

using Rates = std::map<std::string, std::vector<double>>;

Status Measure(const BandwidthOptions& options, Rates& rates) {
  ReadOptions mapped;
  mapped.backend = Backend::kMmap;
  mapped.verify = false;  // the limit is the bandwidth of the memory
  PENSTOCK_ASSIGN_OR_RETURN(const Reader reader, Reader::Open(options.dataset, mapped));
  ReadOptions direct;
  direct.backend = Backend::kDirect;
  direct.verify = false;
  PENSTOCK_ASSIGN_OR_RETURN(const Reader cold_reader, Reader::Open(options.dataset, direct));
  const SignalShape signal = reader.shape().signal;

  PENSTOCK_ASSIGN_OR_RETURN(const auto operations, MakeMeasuredOperations(signal, options.only));

  MappedBlocks blocks;
  PassOptions pass;
  pass.threads = options.threads;
  pass.tile_bytes = options.tile_bytes;
  pass.tile_frames = options.tile_frames;
  for (int repeat = -1; repeat < options.repeat; ++repeat) {  // the first one only warms up
    for (const auto& [name, owned] : operations) {
      PENSTOCK_ASSIGN_OR_RETURN(const Limit limit, MeasureLimit(reader, blocks, options.threads));
      std::vector<Reduction*> reductions;
      reductions.reserve(owned.size());
      for (const auto& reduction : owned) reductions.push_back(reduction.get());
      PENSTOCK_ASSIGN_OR_RETURN(const PassSummary summary, reader.Run(reductions, pass));
      if (repeat < 0) continue;
      const double rate = static_cast<double>(summary.bytes) / summary.seconds / (1 << 30);
      rates["load_discard"].push_back(limit.best());
      rates["load_discard_eight_streams"].push_back(limit.eight_streams);
      rates[name].push_back(rate);
      rates[name + "_ratio"].push_back(rate / limit.best());
      rates[name + "_ratio_to_eight_streams"].push_back(rate / limit.eight_streams);
    }
  }
  PENSTOCK_ASSIGN_OR_RETURN(const auto cold_operations,
                            MakeMeasuredOperations(signal, {"masks_1"}));
  for (int repeat = 0; options.cold && repeat < options.repeat; ++repeat) {
    NothingReduction nothing;
    Reduction* const nothing_only[] = {&nothing};
    DropFromPageCache(reader.dataset());
    PENSTOCK_ASSIGN_OR_RETURN(const PassSummary read, cold_reader.Run(nothing_only, pass));
    rates["direct_read"].push_back(static_cast<double>(read.bytes) / read.seconds / (1 << 30));
    Reduction* const one_mask[] = {cold_operations.front().reductions.front().get()};
    DropFromPageCache(reader.dataset());
    PENSTOCK_ASSIGN_OR_RETURN(const PassSummary masked, cold_reader.Run(one_mask, pass));
    rates["direct_masks_1"].push_back(static_cast<double>(masked.bytes) / masked.seconds /
                                      (1 << 30));
  }
  return Status::Ok();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

int Main(int argc, char** argv) {
  CLI::App app("Rates of the reader against a load-and-discard loop, GiB/s per repetition");
  BandwidthOptions options;
  app.add_option("dataset", options.dataset)->required();
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 1024));
  app.add_option("--repeat", options.repeat)->check(CLI::Range(1, 1000));
  app.add_option("--tile-bytes", options.tile_bytes);
  app.add_option("--tile-frames", options.tile_frames);
  app.add_option("--only", options.only, "names of operations (measured_operations.h)")
      ->delimiter(',');
  app.add_flag("--cold", options.cold, "also the direct back end, after dropping the page cache");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);

  Rates rates;
  const Status status = Measure(options, rates);
  if (!status.ok()) {
    std::fprintf(stderr, "penstock_bandwidth: %s\n", status.error().ToString().c_str());
    return 1;
  }
  if (options.json) {
    nlohmann::ordered_json result = {
        {"dataset", options.dataset},
        {"threads", options.threads},
        {"target", kernels::AvailableTargets().front()},
        {"unit", "GiB/s of frames; *_ratio: to load_discard, the faster of two ways"},
        {"repetitions", rates}};
    std::puts(result.dump().c_str());
    return 0;
  }
  for (const auto& [name, values] : rates) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    fmt::print("{:16} {:7.2f} [{:.2f}-{:.2f}]\n", name, Median(values), *low, *high);
  }
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::Main(argc, argv); }
