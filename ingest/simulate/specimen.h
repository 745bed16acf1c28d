// Specimen: how the beam is scattered at each scan position.

#ifndef PENSTOCK_INGEST_SIMULATE_SPECIMEN_H_
#define PENSTOCK_INGEST_SIMULATE_SPECIMEN_H_

#include <cstdint>
#include <vector>

#include "penstock/ingest/simulate.h"

namespace penstock::ingest::simulate {

// Lengths on the detector, in pixels.
struct Optics {
  explicit Optics(const SignalShape& signal);

  double side;        // the shorter side of the detector
  double centre_row;  // of the unscattered beam; pixel i covers [i, i + 1)
  double centre_column;
  double disk_radius;
  double reciprocal_vector;  // distance from the central disk to the nearest Bragg disks
  double largest_shift;      // by the field
  double diffuse_radius;     // where the diffuse background is cut off
};

struct Disk {
  double row = 0;  // of the centre, in pixels
  double column = 0;
  double weight = 0;
};

// What one beam position gives. The weights of disks, diffuse background and halo add up to 1, and
// all of it falls on the detector.
struct Scattering {
  std::vector<Disk> disks;  // the first is the central one
  double diffuse = 0;       // thermal diffuse scattering
  double halo = 0;          // ring of amorphous material
  double shift_row = 0;     // of the whole pattern, by the field
  double shift_column = 0;
};

// Thread-safe.
class Specimen {
 public:
  explicit Specimen(const SimulationOptions& options);

  const Optics& optics() const { return optics_; }
  // `scattering` is reused from call to call, so that nothing is allocated.
  void At(int64_t row, int64_t column, Scattering& scattering) const;

 private:
  struct Reflection {
    int h = 0;
    int k = 0;
    double amplitude = 0;
  };

  void AddCrystal(double row, double column, double rotation, double strain, double channelling,
                  Scattering& scattering) const;
  void AddField(double u, double v, Scattering& scattering) const;

  SimulationOptions options_;
  Optics optics_;
  std::vector<Reflection> reflections_;
};

}  // namespace penstock::ingest::simulate

#endif  // PENSTOCK_INGEST_SIMULATE_SPECIMEN_H_
