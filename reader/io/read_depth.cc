#include "reader/io/read_depth.h"

#include <algorithm>
#include <utility>

namespace penstock {

namespace {

constexpr uint64_t kWindowBytes = uint64_t{64} << 20;
constexpr double kWorthIt = 1.1;
// After so many windows (16 GiB) more is tried once again.
constexpr int kTryAgainAfter = 256;

}  // namespace

ReadDepth::ReadDepth(int initial, int most, bool fixed)
    : initial_(std::clamp(initial, 1, std::max(most, 1))),
      most_(std::max(most, 1)),
      fixed_(fixed),
      depth_(initial_) {}

void ReadDepth::Observe(uint64_t bytes, double seconds, bool waited) {
  if (fixed_) return;
  if (!waited) {
    // The caller is slower than the disk: there is nothing to be gained, and nothing to be learnt.
    bytes_ = 0;
    seconds_ = 0;
    return;
  }
  bytes_ += bytes;
  seconds_ += seconds;
  if (bytes_ < kWindowBytes || seconds_ <= 0) return;
  const double rate = static_cast<double>(bytes_) / seconds_;
  bytes_ = 0;
  seconds_ = 0;
  if (!std::exchange(warm_, true)) return;
  Finish(rate);
}

void ReadDepth::Finish(double rate) {
  if (trying_) {
    trying_ = false;
    if (rate < settled_rate_ * kWorthIt) {
      depth_ /= 2;
      windows_settled_ = 0;
      warm_ = false;
      return;
    }
  } else if (settled_rate_ != 0 && ++windows_settled_ < kTryAgainAfter) {
    return;
  }
  settled_rate_ = rate;
  windows_settled_ = 0;
  if (depth_ * 2 > most_) return;
  depth_ *= 2;
  trying_ = true;
  warm_ = false;
}

}  // namespace penstock
