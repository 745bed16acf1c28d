// FrameSimulator: draws the electrons of one frame.

#ifndef PENSTOCK_INGEST_SIMULATE_FRAME_SIMULATOR_H_
#define PENSTOCK_INGEST_SIMULATE_FRAME_SIMULATOR_H_

#include <cstdint>
#include <span>
#include <vector>

#include "ingest/simulate/random.h"
#include "ingest/simulate/specimen.h"

namespace penstock::ingest::simulate {

// The number of electrons in each part of the pattern is a Poisson deviate, and each electron gets
// a place in it: together every pixel is Poisson-distributed, at a cost that grows with the
// electrons instead of the pixels. Places come from tables. Thread-safe.
class FrameSimulator {
 public:
  explicit FrameSimulator(const SimulationOptions& options);

  // Counts of one frame into `counts` (row-major, every pixel is written); returns their sum.
  // `scattering` is the caller's, reused from call to call.
  uint64_t Draw(int64_t frame, std::span<uint16_t> counts, Scattering& scattering) const;

  const Specimen& specimen() const { return specimen_; }

 private:
  // Offsets in 1/64 pixel.
  struct Offset {
    int16_t row = 0;
    int16_t column = 0;
  };
  struct Direction {
    float row = 0;
    float column = 0;
  };

  uint64_t DrawDisk(const Scattering& scattering, const Disk& disk, Random& random,
                    std::span<uint16_t> counts) const;
  uint64_t DrawRings(const Scattering& scattering, double weight, const std::vector<float>& radii,
                     Random& random, std::span<uint16_t> counts) const;

  SimulationOptions options_;
  Specimen specimen_;
  double electrons_per_frame_;
  std::vector<Offset> disk_;          // evenly spread over the disk
  std::vector<float> diffuse_radii_;  // inverse distribution functions of the radius, in pixels
  std::vector<float> halo_radii_;
  std::vector<Direction> directions_;  // unit vectors
};

}  // namespace penstock::ingest::simulate

#endif  // PENSTOCK_INGEST_SIMULATE_FRAME_SIMULATOR_H_
