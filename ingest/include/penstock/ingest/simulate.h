// A 4D-STEM scan that looks like one from a microscope, written as a Merlin MIB file: for trying
// out and measuring the whole chain without instrument data.
//
// The specimen, from left to right: vacuum, an amorphous edge, and two crystalline grains with a
// strained boundary between them; the right one has a round region with a vortex of an in-plane
// field, which shifts the pattern as a whole. Convergent-beam disks whose intensities follow the
// atomic columns, thermal diffuse background, and counting noise: electrons are drawn one by one,
// so that every pixel is Poisson-distributed.

#ifndef PENSTOCK_INGEST_SIMULATE_H_
#define PENSTOCK_INGEST_SIMULATE_H_

#include <cstdint>
#include <filesystem>
#include <stop_token>

#include "penstock/base/progress.h"
#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"

namespace penstock::ingest {

enum class SimulatedLattice : uint8_t { kSquare, kHexagonal };

struct SimulationOptions {
  ScanShape scan{256, 256, false};
  SignalShape signal{256, 256};  // 512, 512 is written as a quad detector, others as one chip
  double mean_counts = 1.0;      // electrons per pixel and frame, averaged; at most 500
  uint64_t seed = 1;
  int bit_depth = 12;          // 1 and 6: U08, 12: U16, 24: U32; higher counts are clipped
  double lattice_period = 12;  // scan positions per atomic column
  SimulatedLattice lattice = SimulatedLattice::kSquare;
  unsigned threads = 0;  // 0: one per core
  bool replace = false;  // an existing file is otherwise refused
};

struct SimulationSummary {
  int64_t frames = 0;
  uint64_t bytes = 0;
  uint64_t electrons = 0;
  uint64_t clipped_pixels = 0;  // saturated at the counter depth
};

// Writes `path` and, beside it, the .hdr file with the scan size. The file is written under a
// temporary name and renamed when complete; nothing is left behind on error or cancellation
// (kCancelled). The bytes depend on the options alone, not on the number of threads.
Result<SimulationSummary> SimulateMib(const std::filesystem::path& path,
                                      const SimulationOptions& options, ProgressSink& progress,
                                      std::stop_token stop);

}  // namespace penstock::ingest

#endif  // PENSTOCK_INGEST_SIMULATE_H_
