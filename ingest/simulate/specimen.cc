#include "ingest/simulate/specimen.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace penstock::ingest::simulate {

namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// The scene, in fractions of the scan: u along the fast axis, v along the slow one.
constexpr double kVacuumEnd = 0.1;
constexpr double kAmorphousEnd = 0.2;
constexpr double kBoundary = 0.55;  // between the grains, at mid height
constexpr double kBoundarySlope = 0.25;
constexpr double kStrainWidth = 0.08;
constexpr double kLargestStrain = 0.03;
constexpr double kLeftRotation = 0.12;  // rad
constexpr double kRightRotation = 0.58;
constexpr double kFieldU = 0.78;
constexpr double kFieldV = 0.65;
constexpr double kFieldRadius = 0.18;

double Fraction(int64_t index, int64_t size) {
  return size > 1 ? static_cast<double>(index) / static_cast<double>(size - 1) : 0.5;
}

// Second vector of the reciprocal lattice as seen from the first.
double LatticeAngle(SimulatedLattice lattice) {
  return lattice == SimulatedLattice::kSquare ? std::numbers::pi / 2 : std::numbers::pi / 3;
}

}  // namespace

Optics::Optics(const SignalShape& signal)
    : side(static_cast<double>(std::min(signal.rows, signal.columns))),
      centre_row(static_cast<double>(signal.rows) / 2),
      centre_column(static_cast<double>(signal.columns) / 2),
      disk_radius(0.07 * side),
      reciprocal_vector(0.155 * side),
      largest_shift(0.012 * side),
      diffuse_radius(0.47 * side) {}

Specimen::Specimen(const SimulationOptions& options) : options_(options), optics_(options.signal) {
  const double angle = LatticeAngle(options.lattice);
  const double reach = (optics_.side / 2 - optics_.disk_radius - optics_.largest_shift - 1) /
                       (optics_.reciprocal_vector * (1 + kLargestStrain));
  for (int h = -3; h <= 3; ++h) {
    for (int k = -3; k <= 3; ++k) {
      const double length = std::hypot(h + k * std::cos(angle), k * std::sin(angle));
      if ((h == 0 && k == 0) || length > reach) continue;
      reflections_.push_back({h, k, std::exp(-length * length / 4.5)});
    }
  }
}

void Specimen::At(int64_t row, int64_t column, Scattering& scattering) const {
  const double u = Fraction(column, options_.scan.columns);
  const double v = Fraction(row, options_.scan.rows);
  scattering.disks.assign(1, {optics_.centre_row, optics_.centre_column, 1});
  scattering.diffuse = 0;
  scattering.halo = 0;
  scattering.shift_row = 0;
  scattering.shift_column = 0;
  if (u < kVacuumEnd) return;
  if (u < kAmorphousEnd) {
    scattering.halo = 0.3;
    scattering.disks[0].weight = 0.7;
    return;
  }
  const double from_boundary = u + kBoundarySlope * (v - 0.5) - kBoundary;
  const double strain =
      kLargestStrain * std::exp(-(from_boundary * from_boundary) / (kStrainWidth * kStrainWidth));
  const bool left = from_boundary < 0;
  // The right grain is off its zone axis: weaker channelling along the columns.
  AddCrystal(static_cast<double>(row), static_cast<double>(column),
             left ? kLeftRotation : kRightRotation, left ? strain : -strain, left ? 1.0 : 0.4,
             scattering);
  AddField(u, v, scattering);
}

// On an atomic column the electrons go from the central disk to high angles; the Bragg disks
// interfere with each other at the period of the columns. Opposite reflections are equally strong,
// so that the lattice itself shifts no centre of mass.
void Specimen::AddCrystal(double row, double column, double rotation, double strain,
                          double channelling, Scattering& scattering) const {
  const double second = rotation + LatticeAngle(options_.lattice);
  const double row_1 = std::sin(rotation);
  const double column_1 = std::cos(rotation);
  const double row_2 = std::sin(second);
  const double column_2 = std::cos(second);
  const double phase_1 = kTwoPi * (row * row_1 + column * column_1) / options_.lattice_period;
  const double phase_2 = kTwoPi * (row * row_2 + column * column_2) / options_.lattice_period;
  const double on_column =
      channelling * (0.5 + 0.5 * std::cos(phase_1)) * (0.5 + 0.5 * std::cos(phase_2));
  scattering.disks[0].weight = 0.6 - 0.25 * on_column;
  scattering.diffuse = 0.08 + 0.25 * on_column;
  const double to_bragg = 1 - scattering.disks[0].weight - scattering.diffuse;

  const double length = optics_.reciprocal_vector * (1 + strain);
  double sum = 0;
  for (const Reflection& reflection : reflections_) {
    const double weight = reflection.amplitude *
                          (1 + 0.5 * std::cos(reflection.h * phase_1 + reflection.k * phase_2));
    scattering.disks.push_back(
        {optics_.centre_row + length * (reflection.h * row_1 + reflection.k * row_2),
         optics_.centre_column + length * (reflection.h * column_1 + reflection.k * column_2),
         weight});
    sum += weight;
  }
  if (sum == 0) {  // a detector too small for any reflection
    scattering.disks[0].weight += to_bragg;
    return;
  }
  for (size_t i = 1; i < scattering.disks.size(); ++i) {
    scattering.disks[i].weight *= to_bragg / sum;
  }
}

// A vortex: the shift runs around the centre of the region and is largest half-way out.
void Specimen::AddField(double u, double v, Scattering& scattering) const {
  const double du = u - kFieldU;
  const double dv = v - kFieldV;
  const double distance = std::hypot(du, dv);
  if (distance >= kFieldRadius || distance == 0) return;
  const double shift = optics_.largest_shift * std::sin(std::numbers::pi * distance / kFieldRadius);
  scattering.shift_row = shift * du / distance;
  scattering.shift_column = -shift * dv / distance;
}

}  // namespace penstock::ingest::simulate
