// Speed of the unpacking kernels against memcpy, in the cache and out of it, as a table. Rates are
// bytes of the source per second; the ratio is to a memcpy that reads and writes as many bytes in
// all, so that it does not depend on how much wider the pixels become.

#include "ingest/unpack/unpack.h"

#include <fmt/format.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "penstock/base/aligned_buffer.h"

namespace penstock::ingest {
namespace {

using Clock = std::chrono::steady_clock;

struct Kernel {
  std::string name;
  double expansion;  // destination bytes per source byte
  // Unpacks `bytes` of source.
  std::function<void(const std::byte* source, std::byte* destination, size_t bytes)> run;
};

// Best of several repetitions, in seconds for one call.
double Seconds(const std::function<void()>& work, double seconds_in_all) {
  double best = 1e9;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds_in_all);
  do {
    const auto start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  } while (Clock::now() < end);
  return best;
}

PixelRows OneRow(const std::byte* source, std::byte* destination, size_t pixels) {
  return {.source = source,
          .source_stride = 0,
          .destination = destination,
          .destination_stride = 0,
          .row_count = 1,
          .pixels_per_row = pixels};
}

// Rows of 256 pixels in a quad: every fourth of the source, half of the image's width.
PixelRows QuadRows(const std::byte* source, std::byte* destination, size_t rows, size_t row_bytes,
                   size_t pixel_bytes) {
  return {.source = source,
          .source_stride = 4 * row_bytes,
          .destination = destination,
          .destination_stride = static_cast<ptrdiff_t>(512 * pixel_bytes),
          .row_count = rows,
          .pixels_per_row = 256};
}

// Strips of 16 blocks with 930 rows of 16 pixels, as in a K2 IS sector, into an image of 2048
// columns; the rest in blocks of fewer rows.
void UnpackStrips(const std::byte* source, std::byte* destination, size_t bytes) {
  constexpr size_t kBlocks = 16;
  constexpr size_t kRows = 930;
  constexpr size_t kSectors = 8;
  constexpr size_t kImageRow = 4096;
  const size_t row_bytes = kBlocks * Uint12Blocks::kRowBytes;
  std::array<const std::byte*, kBlocks> blocks;
  for (size_t strip = 0; bytes >= row_bytes; ++strip) {
    const size_t rows = std::min(kRows, bytes / row_bytes);
    for (size_t i = 0; i < kBlocks; ++i) {
      blocks[i] = source + i * rows * Uint12Blocks::kRowBytes;
    }
    // The last strips of an image that is not filled lie one below the other.
    const bool whole = rows == kRows && bytes >= (kSectors - strip % kSectors) * kRows * row_bytes;
    UnpackUint12Blocks({.blocks = blocks.data(),
                        .block_count = kBlocks,
                        .row_count = rows,
                        .destination = destination + (whole ? strip % kSectors * 512 : 0),
                        .destination_stride = whole ? kImageRow : 512});
    source += rows * row_bytes;
    bytes -= rows * row_bytes;
    if (!whole) {
      destination += rows * 512;
    } else if (strip % kSectors == kSectors - 1) {
      destination += kRows * kImageRow;
    }
  }
}

std::vector<Kernel> Kernels() {
  using Raw = void (*)(const PixelRows&, PixelOrder);
  struct Depth {
    const char* name;
    Raw kernel;
    size_t row_bytes;  // of 256 packed pixels
    size_t pixel_bytes;
  };
  std::vector<Kernel> kernels = {
      {"swap 16", 1, [](auto* s, auto* d, size_t n) { SwapBytes16(s, d, n / 2); }},
      {"swap 32", 1, [](auto* s, auto* d, size_t n) { SwapBytes32(s, d, n / 4); }},
      {"uint12", 4.0 / 3, [](auto* s, auto* d, size_t n) { UnpackUint12(s, d, n / 3 * 2); }},
      {"uint12 K2 IS", 4.0 / 3, UnpackStrips},
      {"R64 24 bit", 2,
       [](auto* s, auto* d, size_t n) {
         UnpackR64Depth24(OneRow(s, d, n / 4), s + n / 2, PixelOrder::kForward);
       }},
  };
  for (const Depth& depth :
       {Depth{"R64 1 bit", UnpackR64Depth1, 32, 1}, Depth{"R64 6 bit", UnpackR64Depth6, 256, 1},
        Depth{"R64 12 bit", UnpackR64Depth12, 512, 2}}) {
    const double expansion =
        256.0 * static_cast<double>(depth.pixel_bytes) / static_cast<double>(depth.row_bytes);
    kernels.push_back({depth.name, expansion, [depth](auto* s, auto* d, size_t n) {
                         depth.kernel(OneRow(s, d, n / depth.row_bytes * 256),
                                      PixelOrder::kForward);
                       }});
    kernels.push_back(
        {std::string(depth.name) + " quad", expansion, [depth](auto* s, auto* d, size_t n) {
           const size_t rows = n / depth.row_bytes / 4;
           const size_t image_row = 512 * depth.pixel_bytes;
           for (size_t slot = 0; slot < 4; ++slot) {
             depth.kernel(
                 QuadRows(s + slot * depth.row_bytes,
                          d + slot / 2 * rows * image_row + slot % 2 * 256 * depth.pixel_bytes,
                          rows, depth.row_bytes, depth.pixel_bytes),
                 slot < 2 ? PixelOrder::kReversed : PixelOrder::kForward);
           }
         }});
  }
  return kernels;
}

int Run() {
  constexpr size_t kCached = size_t{192} << 10;
  constexpr size_t kStreamed = size_t{192} << 20;
  constexpr double kSeconds = 0.3;
  fmt::print("instruction set: {}\n",
             hwy::TargetName(hwy::SupportedTargets() & -hwy::SupportedTargets()));
  fmt::print("{:<18}{:>16}{:>10}{:>16}{:>10}\n", "kernel", "in cache GiB/s", "ratio",
             "streamed GiB/s", "ratio");
  for (const Kernel& kernel : Kernels()) {
    std::string line = fmt::format("{:<18}", kernel.name);
    for (const size_t traffic : {kCached, kStreamed}) {
      // Source and destination together move as many bytes as the memcpy does.
      const auto wanted =
          static_cast<size_t>(2.0 * static_cast<double>(traffic) / (1 + kernel.expansion));
      const size_t source_bytes = wanted / 6144 * 6144;  // whole rows of every kernel
      const auto out_bytes =
          static_cast<size_t>(static_cast<double>(source_bytes) * kernel.expansion) + 64;
      auto source = AlignedBuffer::Allocate(std::max(source_bytes, traffic));
      auto destination = AlignedBuffer::Allocate(std::max(out_bytes, traffic));
      if (!source.ok() || !destination.ok()) {
        fmt::print(stderr, "not enough memory\n");
        return 1;
      }
      std::memset(source->data(), 0x5A, source->size());
      std::memset(destination->data(), 1, destination->size());
      const double copy =
          Seconds([&] { std::memcpy(destination->data(), source->data(), traffic); }, kSeconds);
      const double unpack =
          Seconds([&] { kernel.run(source->data(), destination->data(), source_bytes); }, kSeconds);
      const double rate = static_cast<double>(source_bytes) / unpack / (1U << 30);
      const double moved = static_cast<double>(source_bytes) * (1 + kernel.expansion) / unpack;
      const double copied = 2.0 * static_cast<double>(traffic) / copy;
      line += fmt::format("{:>16.1f}{:>10.2f}", rate, moved / copied);
    }
    fmt::print("{}\n", line);
  }
  return 0;
}

}  // namespace
}  // namespace penstock::ingest

int main() { return penstock::ingest::Run(); }
