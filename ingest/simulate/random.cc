#include "ingest/simulate/random.h"

#include <cmath>

namespace penstock::ingest::simulate {

namespace {

// SplitMix64, which the authors of xoshiro recommend for seeding it.
uint64_t SplitMix(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// log(k!), by Stirling's series beyond the table; std::lgamma is not thread-safe.
double LogFactorial(double k) {
  static constexpr double kSmall[] = {0,
                                      0,
                                      0.693147180559945309,
                                      1.791759469228055001,
                                      3.178053830347945620,
                                      4.787491742782045994,
                                      6.579251212010100995,
                                      8.525161361065414300,
                                      10.604602902745250228,
                                      12.801827480081469611};
  if (k < 10) return kSmall[static_cast<int>(k)];
  constexpr double kHalfLogTwoPi = 0.918938533204672742;
  const double n = k + 1;
  const double inverse = 1 / n;
  const double square = inverse * inverse;
  return (n - 0.5) * std::log(n) - n + kHalfLogTwoPi +
         inverse * (1.0 / 12 - square * (1.0 / 360 - square / 1260));
}

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) {
  uint64_t state = seed;
  state = SplitMix(state) ^ stream;
  for (uint64_t& word : state_) word = SplitMix(state);
}

uint64_t Random::Poisson(double mean) {
  if (mean <= 0) return 0;
  if (mean < 12) {
    const double limit = std::exp(-mean);
    double product = Uniform();
    uint64_t count = 0;
    while (product > limit) {
      product *= Uniform();
      ++count;
    }
    return count;
  }
  const double b = 0.931 + 2.53 * std::sqrt(mean);
  const double a = -0.059 + 0.02483 * b;
  const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_r = 0.9277 - 3.6224 / (b - 2);
  const double log_mean = std::log(mean);
  for (;;) {
    const double u = Uniform() - 0.5;
    const double v = Uniform();
    const double us = 0.5 - std::abs(u);
    const double k = std::floor((2 * a / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= v_r) return static_cast<uint64_t>(k);
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v * inverse_alpha / (a / (us * us) + b)) <=
        k * log_mean - mean - LogFactorial(k)) {
      return static_cast<uint64_t>(k);
    }
  }
}

}  // namespace penstock::ingest::simulate
