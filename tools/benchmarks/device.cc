// penstock_bench_device: what a CUDA device does with frames that are in its memory, and how fast
// they get there. JSON lines; only in builds with that back end.
//
// Every kernel runs over more bytes than any cache holds. Beside the rates stands that of filling
// the same memory with zeros, and, where --bandwidth says what the maker promises, the share of
// that.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "penstock/reader/operations.h"
#include "penstock/reader/radial.h"
#include "reader/device/device_form.h"

namespace penstock {
namespace {

struct BenchOptions {
  int device = 0;
  int repeat = 10;
  double gibibytes = 1;
  double bandwidth = 0;  // GB/s
};

constexpr SignalShape kSignal = {256, 256};

class Bench {
 public:
  Bench(Device& device, const BenchOptions& options) : device_(device), options_(options) {}

  Status Run() {
    PENSTOCK_ASSIGN_OR_RETURN(stream_, device_.MakeStream());
    for (const ElementType type :
         {ElementType::kUint8, ElementType::kUint16, ElementType::kFloat32}) {
      PENSTOCK_RETURN_IF_ERROR(RunType(type));
    }
    return Status::Ok();
  }

 private:
  Status RunType(ElementType type) {
    type_ = type;
    const size_t frame_bytes = ElementSize(type) * static_cast<size_t>(kSignal.pixel_count());
    frames_ =
        static_cast<int64_t>(options_.gibibytes * (1 << 30)) / static_cast<int64_t>(frame_bytes);
    bytes_ = static_cast<size_t>(frames_) * frame_bytes;
    PENSTOCK_ASSIGN_OR_RETURN(const DeviceMemory pinned, device_.AllocatePinned(bytes_));
    PENSTOCK_ASSIGN_OR_RETURN(const DeviceMemory pixels, device_.Allocate(bytes_));
    // Small numbers, which are finite as floats, too.
    std::mt19937 random(1);
    auto* const words = reinterpret_cast<uint32_t*>(pinned.get());
    for (size_t i = 0; i < bytes_ / sizeof(uint32_t); ++i) words[i] = random() & 0x3f3f3f3fU;
    const std::vector<uint8_t> valid(static_cast<size_t>(frames_), 1);
    PENSTOCK_ASSIGN_OR_RETURN(const DeviceMemory flags,
                              Upload(device_, valid.data(), valid.size()));
    PENSTOCK_RETURN_IF_ERROR(
        Time("fill with zeros", [&] { return stream_->Clear(pixels.get(), bytes_); }));
    PENSTOCK_RETURN_IF_ERROR(Time("copy to the device", [&] {
      return stream_->CopyToDevice(pixels.get(), pinned.get(), bytes_);
    }));
    batch_.frames = {.element_type = type,
                     .pixels = pixels.get(),
                     .frame_stride = frame_bytes,
                     .valid = reinterpret_cast<const uint8_t*>(flags.get()),
                     .frame_count = frames_};
    batch_.valid = valid.data();
    for (const size_t count : {1, 4, 8, 16}) {
      std::vector<Mask> masks;
      for (size_t k = 0; k < count; ++k) {
        masks.push_back(DiskMask(kSignal, 128, 128, 8.0 * static_cast<double>(k + 1)));
      }
      PENSTOCK_ASSIGN_OR_RETURN(auto reduction, MaskReduction::Create(std::move(masks)));
      PENSTOCK_RETURN_IF_ERROR(TimeKernel(fmt::format("{} masks", count), *reduction));
    }
    SumReduction sum;
    PENSTOCK_RETURN_IF_ERROR(TimeKernel("sum", sum));
    StatisticsReduction statistics;
    PENSTOCK_RETURN_IF_ERROR(TimeKernel("mean and deviation", statistics));
    PolarGrid grid;
    grid.centre_row = grid.centre_column = 127.5;
    PENSTOCK_ASSIGN_OR_RETURN(auto radial, RadialReduction::Create(grid));
    return TimeKernel("256 rings", *radial);
  }

  Status TimeKernel(const std::string& name, Reduction& reduction) {
    PassPlan plan;
    plan.shape = {{1, frames_, true}, kSignal, type_};
    plan.tile_frames = 8;
    plan.tile_pixels = kSignal.pixel_count();
    plan.partition_count = 1;
    plan.partition_frames = frames_;
    PENSTOCK_RETURN_IF_ERROR(reduction.Begin(plan));
    PENSTOCK_ASSIGN_OR_RETURN(
        const auto form,
        reduction.MakeDeviceForm({device_, plan, frames_, batch_.frames.frame_stride}));
    PENSTOCK_RETURN_IF_ERROR(form->Begin(*stream_, {0, 0, {0, frames_}}));
    return Time(name, [&] { return form->Add(*stream_, batch_); });
  }

  // The median of some runs, each waited for, after one that is not counted.
  Status Time(const std::string& name, const std::function<Status()>& work) {
    std::vector<double> seconds;
    for (int i = 0; i <= options_.repeat; ++i) {
      const auto start = std::chrono::steady_clock::now();
      PENSTOCK_RETURN_IF_ERROR(work());
      PENSTOCK_RETURN_IF_ERROR(stream_->Wait());
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      if (i > 0) seconds.push_back(taken.count());
    }
    std::ranges::sort(seconds);
    const double rate = static_cast<double>(bytes_) / seconds[seconds.size() / 2] / 1e9;
    nlohmann::ordered_json line = {
        {"what", name}, {"type", ZarrDataType(type_)}, {"gb_per_second", rate}};
    if (options_.bandwidth > 0) line["share"] = rate / options_.bandwidth;
    std::puts(line.dump().c_str());
    return Status::Ok();
  }

  Device& device_;
  const BenchOptions options_;
  std::unique_ptr<DeviceStream> stream_;
  ElementType type_ = ElementType::kUint16;
  int64_t frames_ = 0;
  size_t bytes_ = 0;
  StagedBatch batch_;
};

Status RunBench(const BenchOptions& options) {
  PENSTOCK_ASSIGN_OR_RETURN(const auto device, OpenCudaDevice(options.device));
  fmt::print(stderr, "{}\n", NameOf(*device));
  return Bench(*device, options).Run();
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  penstock::BenchOptions options;
  CLI::App app("Rates of the reader's kernels on a CUDA device");
  app.add_option("--device", options.device, "number of the device");
  app.add_option("--repeat", options.repeat, "runs that count")->check(CLI::Range(1, 1000));
  app.add_option("--gib", options.gibibytes, "size of the data")->check(CLI::Range(0.01, 64.0));
  app.add_option("--bandwidth", options.bandwidth, "of the device's memory, GB/s");
  CLI11_PARSE(app, argc, argv);
  const penstock::Status status = penstock::RunBench(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "{}\n", status.error().ToString());
  return 1;
}
