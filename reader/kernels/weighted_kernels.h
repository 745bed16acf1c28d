// Sums of frames with weights. In the manner of kernels.h: run-time dispatch, thread-safe, no
// allocation; scalar::AddWeighted has the meaning in plain C++.

#ifndef PENSTOCK_READER_KERNELS_WEIGHTED_KERNELS_H_
#define PENSTOCK_READER_KERNELS_WEIGHTED_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "reader/kernels/kernels.h"

namespace penstock::kernels {

// weights[frame * count + j], sums[j * stride + pixel].
struct WeightedSums {
  const double* weights = nullptr;
  size_t count = 0;
  double* sums = nullptr;
  size_t stride = 0;
};

// sums[j][p] += sum over the frames of weights[f][j] * pixel p, in float64.
void AddWeighted(const FramePixels<uint8_t>& frames, const WeightedSums& to);
void AddWeighted(const FramePixels<int8_t>& frames, const WeightedSums& to);
void AddWeighted(const FramePixels<uint16_t>& frames, const WeightedSums& to);
void AddWeighted(const FramePixels<int16_t>& frames, const WeightedSums& to);
void AddWeighted(const FramePixels<float>& frames, const WeightedSums& to);

namespace scalar {

template <typename Pixel>
void AddWeighted(const FramePixels<Pixel>& frames, const WeightedSums& to) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t j = 0; j < to.count; ++j) {
      const double weight = to.weights[f * to.count + j];
      double* const sums = to.sums + j * to.stride;
      for (size_t p = 0; p < frames.pixels; ++p) sums[p] += weight * static_cast<double>(frame[p]);
    }
  }
}

}  // namespace scalar

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_WEIGHTED_KERNELS_H_
