// Random: xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators",
// 2019), and the Poisson distribution. The standard library's distributions differ between
// implementations; these give the same bytes everywhere.

#ifndef PENSTOCK_INGEST_SIMULATE_RANDOM_H_
#define PENSTOCK_INGEST_SIMULATE_RANDOM_H_

#include <array>
#include <bit>
#include <cstdint>

namespace penstock::ingest::simulate {

// Not thread-safe; one per frame, seeded by the frame's number.
class Random {
 public:
  Random(uint64_t seed, uint64_t stream);

  uint64_t Bits() {
    const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, 1).
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }

  // Exact Poisson deviates: by inversion for small means, by transformed rejection (Hoermann, "The
  // transformed rejection method for generating Poisson random variables", 1993) for large ones.
  // Precondition: mean is finite and not negative.
  uint64_t Poisson(double mean);

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace penstock::ingest::simulate

#endif  // PENSTOCK_INGEST_SIMULATE_RANDOM_H_
