#include "ingest/simulate/frame_simulator.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace penstock::ingest::simulate {

namespace {

constexpr int kFractionBits = 6;  // places are computed in 1/64 pixel
constexpr double kFraction = 1 << kFractionBits;
constexpr size_t kDiskPlaces = size_t{1} << 16;
constexpr int kRingBits = 12;
constexpr size_t kRingPlaces = size_t{1} << kRingBits;

// Radii at equal steps of the distribution function of density(r) * r on [0, limit].
template <typename Density>
std::vector<float> InverseRadii(double limit, Density density) {
  constexpr size_t kSteps = 1 << 14;
  std::vector<double> cumulative(kSteps + 1, 0.0);
  for (size_t i = 0; i < kSteps; ++i) {
    const double r = limit * (static_cast<double>(i) + 0.5) / kSteps;
    cumulative[i + 1] = cumulative[i] + density(r) * r;
  }
  std::vector<float> radii(kRingPlaces);
  size_t step = 0;
  for (size_t i = 0; i < kRingPlaces; ++i) {
    const double wanted = cumulative[kSteps] * (static_cast<double>(i) + 0.5) / kRingPlaces;
    while (cumulative[step + 1] < wanted) ++step;
    const double inside = (wanted - cumulative[step]) / (cumulative[step + 1] - cumulative[step]);
    radii[i] = static_cast<float>(limit * (static_cast<double>(step) + inside) / kSteps);
  }
  return radii;
}

}  // namespace

FrameSimulator::FrameSimulator(const SimulationOptions& options)
    : options_(options),
      specimen_(options),
      electrons_per_frame_(options.mean_counts *
                           static_cast<double>(options.signal.pixel_count())) {
  const Optics& optics = specimen_.optics();
  // The R2 sequence (Roberts 2018), which leaves neither gaps nor clusters.
  disk_.reserve(kDiskPlaces);
  for (size_t i = 0; i < kDiskPlaces; ++i) {
    const double first = std::fmod(0.5 + 0.75487766624669276 * static_cast<double>(i), 1.0);
    const double second = std::fmod(0.5 + 0.56984029099805327 * static_cast<double>(i), 1.0);
    const double radius = optics.disk_radius * std::sqrt(first) * kFraction;
    const double angle = 2 * std::numbers::pi * second;
    disk_.push_back({static_cast<int16_t>(std::lround(radius * std::sin(angle))),
                     static_cast<int16_t>(std::lround(radius * std::cos(angle)))});
  }
  const double width = 0.16 * optics.side;
  diffuse_radii_ = InverseRadii(
      optics.diffuse_radius, [width](double r) { return std::exp(-r * r / (2 * width * width)); });
  const double ring = 0.19 * optics.side;
  const double ring_width = 0.035 * optics.side;
  halo_radii_ = InverseRadii(optics.diffuse_radius, [ring, ring_width](double r) {
    const double distance = (r - ring) / ring_width;
    return std::exp(-distance * distance / 2);
  });
  directions_.reserve(kRingPlaces);
  for (size_t i = 0; i < kRingPlaces; ++i) {
    const double angle = 2 * std::numbers::pi * (static_cast<double>(i) + 0.5) / kRingPlaces;
    directions_.push_back(
        {static_cast<float>(std::sin(angle)), static_cast<float>(std::cos(angle))});
  }
}

uint64_t FrameSimulator::Draw(int64_t frame, std::span<uint16_t> counts,
                              Scattering& scattering) const {
  std::ranges::fill(counts, uint16_t{0});
  specimen_.At(frame / options_.scan.columns, frame % options_.scan.columns, scattering);
  Random random(options_.seed, static_cast<uint64_t>(frame));
  uint64_t electrons = 0;
  for (const Disk& disk : scattering.disks) {
    electrons += DrawDisk(scattering, disk, random, counts);
  }
  electrons += DrawRings(scattering, scattering.diffuse, diffuse_radii_, random, counts);
  electrons += DrawRings(scattering, scattering.halo, halo_radii_, random, counts);
  return electrons;
}

// Specimen keeps every disk and the cut-off radius on the detector: no place needs a check.
uint64_t FrameSimulator::DrawDisk(const Scattering& scattering, const Disk& disk, Random& random,
                                  std::span<uint16_t> counts) const {
  const uint64_t electrons = random.Poisson(electrons_per_frame_ * disk.weight);
  const auto row = static_cast<int32_t>(std::lround((disk.row + scattering.shift_row) * kFraction));
  const auto column =
      static_cast<int32_t>(std::lround((disk.column + scattering.shift_column) * kFraction));
  const auto columns = static_cast<uint32_t>(options_.signal.columns);
  uint16_t* const pixels = counts.data();
  const Offset* const places = disk_.data();
  const auto put = [=](uint64_t bits) {
    const Offset offset = places[bits & (kDiskPlaces - 1)];
    const auto y = static_cast<uint32_t>((row + offset.row) >> kFractionBits);
    const auto x = static_cast<uint32_t>((column + offset.column) >> kFractionBits);
    ++pixels[y * columns + x];
  };
  uint64_t left = electrons;
  for (; left >= 4; left -= 4) {
    const uint64_t bits = random.Bits();
    put(bits);
    put(bits >> 16);
    put(bits >> 32);
    put(bits >> 48);
  }
  for (; left > 0; --left) put(random.Bits());
  return electrons;
}

uint64_t FrameSimulator::DrawRings(const Scattering& scattering, double weight,
                                   const std::vector<float>& radii, Random& random,
                                   std::span<uint16_t> counts) const {
  const uint64_t electrons = random.Poisson(electrons_per_frame_ * weight);
  const Optics& optics = specimen_.optics();
  const auto row = static_cast<float>(optics.centre_row + scattering.shift_row);
  const auto column = static_cast<float>(optics.centre_column + scattering.shift_column);
  const auto columns = static_cast<uint32_t>(options_.signal.columns);
  for (uint64_t i = 0; i < electrons; ++i) {
    const uint64_t bits = random.Bits();
    const float radius = radii[bits & (kRingPlaces - 1)];
    const Direction direction = directions_[(bits >> kRingBits) & (kRingPlaces - 1)];
    const auto y = static_cast<uint32_t>(row + radius * direction.row);
    const auto x = static_cast<uint32_t>(column + radius * direction.column);
    ++counts[y * columns + x];
  }
  return electrons;
}

}  // namespace penstock::ingest::simulate
