// Speed of the unpacking kernels against memcpy on one core, as a table. Rates are bytes written
// per second, and so is memcpy's that they are compared with. Three situations: everything in the
// second-level cache; the source streamed from memory into one tile that stays in the cache, as the
// ingest decodes; and from memory to memory, where memcpy has the advantage of stores that bypass
// the cache, which nothing in the ingest would gain from.

#include "ingest/unpack/unpack.h"

#include <fmt/format.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "ingest/formats/mib/mib_geometry.h"
#include "penstock/base/aligned_buffer.h"

namespace penstock::ingest {
namespace {

using Clock = std::chrono::steady_clock;

struct Kernel {
  std::string name;
  double expansion;  // destination bytes per source byte
  size_t unit;       // source bytes that one call works on, or a multiple
  // Unpacks `bytes` of source.
  std::function<void(const std::byte* source, std::byte* destination, size_t bytes)> run;
};

// The best time of each of two pieces of work done in turn, so that both meet the same machine.
struct Pair {
  double copy = 1e9;
  double unpack = 1e9;
};
Pair BestOfTurns(const std::function<void()>& copy, const std::function<void()>& unpack,
                 double seconds_in_all) {
  const auto seconds = [](const std::function<void()>& work) {
    const auto start = Clock::now();
    work();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  Pair best;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds_in_all);
  do {
    best.copy = std::min(best.copy, seconds(copy));
    best.unpack = std::min(best.unpack, seconds(unpack));
  } while (Clock::now() < end);
  return best;
}

using RawKernel = void (*)(std::span<const PixelRows>);

// The bytes of one chip as one long row.
void UnpackOneRow(RawKernel kernel, const std::byte* source, std::byte* destination, size_t pixels,
                  const std::byte* lower_source = nullptr) {
  const PixelRows row{.source = source,
                      .source_stride = 0,
                      .destination = destination,
                      .destination_stride = 0,
                      .row_count = 1,
                      .pixels_per_row = pixels,
                      .order = PixelOrder::kForward,
                      .lower_source = lower_source};
  kernel(std::span(&row, 1));
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

// Whole frames of four chips, as the MIB source decodes them.
Kernel Quad(int depth) {
  MibFrameLayout layout;
  layout.chips = 4;
  layout.width = kMedipixSide * (depth == 24 ? 8 : 4);
  layout.rows = kMedipixSide;
  layout.type = MibPixelType::kR64;
  layout.assembly = "2x2";
  layout.chip_mask = 15;
  layout.counter_depth = depth;
  const auto geometry = MibGeometryOf(layout);
  if (!geometry.ok()) {
    fmt::print(stderr, "{}\n", geometry.error().ToString());
    std::exit(1);
  }
  const auto payload = static_cast<size_t>(geometry->payload_bytes);
  const auto image = static_cast<size_t>(geometry->image_bytes());
  return {.name = fmt::format("R64 {} bit quad", depth),
          .expansion = static_cast<double>(image) / static_cast<double>(payload),
          .unit = payload,
          .run = [geometry = *geometry, payload, image](auto* source, auto* to, size_t bytes) {
            for (size_t at = 0; at < bytes; at += payload, to += image) {
              DecodeMibPayload(geometry, {source + at, payload}, {to, image});
            }
          }};
}

std::vector<Kernel> Kernels() {
  constexpr size_t kRow = 6144;  // a multiple of every row below
  return {
      {"swap 16", 1, kRow, [](auto* s, auto* d, size_t n) { SwapBytes16(s, d, n / 2); }},
      {"swap 32", 1, kRow, [](auto* s, auto* d, size_t n) { SwapBytes32(s, d, n / 4); }},
      {"uint12", 4.0 / 3, kRow, [](auto* s, auto* d, size_t n) { UnpackUint12(s, d, n / 3 * 2); }},
      {"uint12 K2 IS", 4.0 / 3, kRow, UnpackStrips},
      {"R64 1 bit", 8, kRow,
       [](auto* s, auto* d, size_t n) { UnpackOneRow(UnpackR64Depth1, s, d, n * 8); }},
      {"R64 6 bit", 1, kRow,
       [](auto* s, auto* d, size_t n) { UnpackOneRow(UnpackR64Depth6, s, d, n); }},
      {"R64 12 bit", 1, kRow,
       [](auto* s, auto* d, size_t n) { UnpackOneRow(UnpackR64Depth12, s, d, n / 2); }},
      {"R64 24 bit", 1, kRow,
       [](auto* s, auto* d, size_t n) { UnpackOneRow(UnpackR64Depth24, s, d, n / 4, s + n / 2); }},
      Quad(1),
      Quad(6),
      Quad(12),
      Quad(24),
  };
}

struct Situation {
  const char* name;
  size_t written;  // bytes
  size_t tile;     // bytes of the destination, written over and over
};

// Rate of the kernel in bytes written per second, and that of memcpy.
Result<Pair> Measure(const Kernel& kernel, const Situation& situation, double seconds) {
  const auto wanted = static_cast<size_t>(static_cast<double>(situation.tile) / kernel.expansion);
  const size_t source_tile = std::max<size_t>(1, wanted / kernel.unit) * kernel.unit;
  const auto tile = static_cast<size_t>(static_cast<double>(source_tile) * kernel.expansion);
  const size_t tiles = std::max<size_t>(1, situation.written / tile);
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer source,
                            AlignedBuffer::Allocate(tiles * std::max(source_tile, tile)));
  PENSTOCK_ASSIGN_OR_RETURN(AlignedBuffer destination, AlignedBuffer::Allocate(tile + 64));
  std::memset(source.data(), 0x5A, source.size());
  std::memset(destination.data(), 1, destination.size());
  const Pair best = BestOfTurns(
      [&] {
        for (size_t i = 0; i < tiles; ++i) {
          std::memcpy(destination.data(), source.data() + i * tile, tile);
        }
      },
      [&] {
        for (size_t i = 0; i < tiles; ++i) {
          kernel.run(source.data() + i * source_tile, destination.data(), source_tile);
        }
      },
      seconds);
  const auto bytes = static_cast<double>(tiles * tile);
  return Pair{.copy = bytes / best.copy, .unpack = bytes / best.unpack};
}

int Run() {
  constexpr double kSeconds = 0.5;
  constexpr size_t kKib = 1024;
  constexpr std::array kSituations = {
      Situation{"in cache", 160 * kKib, 160 * kKib},
      Situation{"into a tile", 256 * kKib * kKib, 128 * kKib},
      Situation{"to memory", 192 * kKib * kKib, 192 * kKib * kKib},
  };
  fmt::print("instruction set: {}; GiB/s written, and the share of memcpy's rate\n{:<16}",
             hwy::TargetName(hwy::SupportedTargets() & -hwy::SupportedTargets()), "kernel");
  for (const Situation& situation : kSituations) fmt::print("{:>18}", situation.name);
  fmt::print("\n");
  for (const Kernel& kernel : Kernels()) {
    fmt::print("{:<16}", kernel.name);
    for (const Situation& situation : kSituations) {
      const auto rate = Measure(kernel, situation, kSeconds);
      if (!rate.ok()) {
        fmt::print(stderr, "{}\n", rate.error().ToString());
        return 1;
      }
      fmt::print("{:>11.1f} {:>6.2f}", rate->unpack / (1U << 30), rate->unpack / rate->copy);
    }
    fmt::print("\n");
  }
  return 0;
}

}  // namespace
}  // namespace penstock::ingest

int main() { return penstock::ingest::Run(); }
