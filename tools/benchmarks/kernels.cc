// penstock_bench_kernels: the reader's operations on one core and on frames in memory, without
// files, partitions or threads. Two situations: a few frames over and over, which shows what the
// processor can compute, and frames that come from memory, beside reading and discarding them in
// the faster of two ways. They take turns; the best of each counts.

#include "reader/kernels/kernels.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "measured_operations.h"
#include "penstock/base/aligned_buffer.h"

namespace penstock {
namespace {

struct KernelOptions {
  std::vector<std::string> types = {"uint8", "uint16", "float32"};
  std::vector<std::string> only;
  std::string target;
  int64_t side = 256;
  int64_t tile_frames = 8;
  int64_t tile_bytes = int64_t{1} << 20;
  double counts = 0.5;
  double seconds = 0.4;
};

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <typename Pixel>
void FillWithCounts(std::byte* bytes, size_t size, double mean) {
  std::mt19937 random(1);
  std::poisson_distribution<int> counts(mean);
  std::vector<Pixel> some(std::min(size / sizeof(Pixel), size_t{1} << 20));
  for (Pixel& pixel : some) pixel = static_cast<Pixel>(counts(random));
  const size_t piece = some.size() * sizeof(Pixel);
  for (size_t at = 0; at < size; at += piece) {
    std::memcpy(bytes + at, some.data(), std::min(piece, size - at));
  }
}

// Frames one behind the other, cut into tiles as a pass cuts them.
struct Frames {
  DatasetShape shape;
  const std::byte* pixels = nullptr;
  int64_t tile_pixels = 0;
  int64_t tile_frames = 0;

  size_t bytes() const { return static_cast<size_t>(shape.payload_bytes()); }

  template <typename Take>
  void ForEachTile(const uint8_t* valid, const Take& take) const {
    const int64_t pixels_of_frame = shape.signal.pixel_count();
    for (int64_t frame = 0; frame < shape.frame_count(); frame += tile_frames) {
      for (int64_t pixel = 0; pixel < pixels_of_frame; pixel += tile_pixels) {
        Tile tile;
        tile.element_type = shape.element_type;
        tile.frame_stride = shape.frame_bytes();
        tile.pixels = pixels + static_cast<size_t>(frame) * tile.frame_stride +
                      static_cast<size_t>(pixel) * ElementSize(tile.element_type);
        tile.first_frame = frame;
        tile.frame_count = std::min(tile_frames, shape.frame_count() - frame);
        tile.first_pixel = pixel;
        tile.pixel_count = std::min(tile_pixels, pixels_of_frame - pixel);
        tile.valid = valid;
        take(tile);
      }
    }
  }
};

// Best seconds of reading and discarding the frames, and of the operation, in turns.
struct Pair {
  double read = 1e9;
  double work = 1e9;
};

Result<Pair> Measure(MeasuredOperation& operation, const Frames& frames, size_t passes,
                     double seconds) {
  const PassPlan plan{.shape = frames.shape,
                      .tile_frames = frames.tile_frames,
                      .tile_pixels = frames.tile_pixels,
                      .partition_count = 1,
                      .partition_frames = frames.shape.frame_count()};
  const Partition all{.index = 0, .block = 0, .frames = {0, frames.shape.frame_count()}};
  std::vector<std::unique_ptr<Reduction::State>> states;
  for (const auto& reduction : operation.reductions) {
    PENSTOCK_RETURN_IF_ERROR(reduction->Begin(plan));
    states.push_back(reduction->MakeState());
    reduction->BeginPartition(*states.back(), all);
  }
  const std::vector<uint8_t> valid(static_cast<size_t>(frames.tile_frames), 1);
  const auto work = [&] {
    for (size_t pass = 0; pass < passes; ++pass) {
      frames.ForEachTile(valid.data(), [&](const Tile& tile) {
        for (size_t i = 0; i < states.size(); ++i) {
          operation.reductions[i]->Process(*states[i], tile);
        }
      });
    }
  };
  uint64_t seen = 0;
  const auto read = [&](kernels::ReadPattern pattern) {
    return Seconds([&] {
      for (size_t pass = 0; pass < passes; ++pass) {
        seen ^= kernels::LoadAndDiscard(frames.pixels, frames.bytes(), pattern);
      }
    });
  };
  Pair best;
  for (double spent = 0; spent < seconds;) {
    const double linear = read(kernels::ReadPattern::kLinear);
    const double streams = read(kernels::ReadPattern::kEightStreams);
    const double working = Seconds(work);
    best = {std::min({best.read, linear, streams}), std::min(best.work, working)};
    spent += linear + streams + working;
  }
  if (seen == 1) fmt::print(" ");  // so that reading is not left out
  return best;
}

Status MeasureType(const KernelOptions& options, const std::string& name, ElementType type) {
  constexpr size_t kMemory = size_t{384} << 20;
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer memory, AlignedBuffer::Allocate(kMemory));
  switch (type) {
    case ElementType::kUint8:
      FillWithCounts<uint8_t>(memory.data(), kMemory, options.counts);
      break;
    case ElementType::kUint16:
      FillWithCounts<uint16_t>(memory.data(), kMemory, options.counts);
      break;
    default:
      FillWithCounts<float>(memory.data(), kMemory, options.counts);
  }
  const SignalShape signal{.rows = options.side, .columns = options.side};
  const auto frame_bytes = signal.pixel_count() * static_cast<int64_t>(ElementSize(type));
  const auto frames_of = [&](int64_t count, int64_t tile_pixels) {
    Frames frames;
    frames.shape.element_type = type;
    frames.shape.signal = signal;
    frames.shape.scan = {.rows = 1, .columns = count};
    frames.pixels = memory.data();
    frames.tile_frames = options.tile_frames;
    frames.tile_pixels = std::min(tile_pixels, signal.pixel_count());
    return frames;
  };
  const int64_t pixel_bytes = static_cast<int64_t>(ElementSize(type)) * options.tile_frames;
  const Frames many = frames_of(static_cast<int64_t>(kMemory) / frame_bytes,
                                options.tile_bytes / pixel_bytes / 256 * 256);
  // A frame of this many pixels would be another operation: pixels of one tile, of the same frames.
  const Frames few = frames_of(options.tile_frames, many.tile_pixels);
  PENSTOCK_ASSIGN_OR_RETURN(auto operations, MakeMeasuredOperations(signal, options.only));
  for (MeasuredOperation& operation : operations) {
    const size_t passes = std::max<size_t>(1, (size_t{16} << 20) / few.bytes());
    PENSTOCK_ASSIGN_OR_RETURN(const Pair cached, Measure(operation, few, passes, options.seconds));
    PENSTOCK_ASSIGN_OR_RETURN(const Pair streamed, Measure(operation, many, 1, options.seconds));
    const auto rate = [](size_t bytes, double seconds) {
      return static_cast<double>(bytes) / seconds / (1 << 30);
    };
    fmt::print("{:<8} {:<18} {:>10.1f} {:>10.1f} {:>8.2f}\n", name, operation.name,
               rate(few.bytes() * passes, cached.work), rate(many.bytes(), streamed.work),
               streamed.read / streamed.work);
    std::fflush(stdout);
  }
  return Status::Ok();
}

int Main(int argc, char** argv) {
  CLI::App app("The reader's operations on one core, GiB/s of pixels");
  KernelOptions options;
  app.add_option("--types", options.types, "some of uint8, uint16, float32")->delimiter(',');
  app.add_option("--only", options.only, "names of operations")->delimiter(',');
  app.add_option("--target", options.target, "instruction set (default: the best)");
  app.add_option("--side", options.side, "pixels along an edge of the frame");
  app.add_option("--tile-frames", options.tile_frames);
  app.add_option("--tile-bytes", options.tile_bytes);
  app.add_option("--counts", options.counts, "in the mean of a pixel");
  app.add_option("--seconds", options.seconds, "per operation and situation");
  CLI11_PARSE(app, argc, argv);
  if (!options.target.empty()) kernels::UseTarget(options.target);
  fmt::print("instruction sets: {}\n{:<8} {:<18} {:>10} {:>10} {:>8}\n",
             fmt::join(kernels::AvailableTargets(), " "), "type", "operation", "in cache",
             "streamed", "share");
  for (const std::string& name : options.types) {
    const auto type = name == "uint8"    ? ElementType::kUint8
                      : name == "uint16" ? ElementType::kUint16
                                         : ElementType::kFloat32;
    const Status status = MeasureType(options, name, type);
    if (!status.ok()) {
      fmt::print(stderr, "{}\n", status.error().ToString());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::Main(argc, argv); }
