// The meaning of each kernel of kernels.h in plain C++: the reference of the tests, the path of
// machines without vectors and of the element types that have no kernel of their own.

#ifndef PENSTOCK_READER_KERNELS_SCALAR_KERNELS_H_
#define PENSTOCK_READER_KERNELS_SCALAR_KERNELS_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "reader/kernels/kernels.h"

namespace penstock::kernels::scalar {

// totals += sum((pixel - bias) * mask value), computed in Total.
template <typename Pixel, typename MaskValue, typename Total>
void MaskProduct(const FramePixels<Pixel>& frames, const MaskRun<MaskValue, Total>& run,
                 Total bias = 0) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t k = 0; k < run.mask_count; ++k) {
      const MaskValue* const mask = run.masks[k];
      Total sum = 0;
      for (size_t p = 0; p < frames.pixels; ++p) {
        sum += (static_cast<Total>(frame[p]) - bias) * static_cast<Total>(mask[p]);
      }
      run.totals[f * run.total_stride + k] += sum;
    }
  }
}

// Masks whose values are all bits or none.
template <typename Pixel>
void SelectProduct(const FramePixels<Pixel>& frames, const MaskRun<Pixel, int64_t>& run) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t k = 0; k < run.mask_count; ++k) {
      const Pixel* const mask = run.masks[k];
      int64_t sum = 0;
      for (size_t p = 0; p < frames.pixels; ++p) sum += frame[p] & mask[p];
      run.totals[f * run.total_stride + k] += sum;
    }
  }
}

template <typename Pixel, typename Sum>
void AddFrames(const FramePixels<Pixel>& frames, Sum* sums) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t p = 0; p < frames.pixels; ++p) sums[p] += static_cast<Sum>(frame[p]);
  }
}

template <typename Pixel, typename Sum, typename Square>
void AddMoments(const FramePixels<Pixel>& frames, Sum* sums, Square* squares) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t p = 0; p < frames.pixels; ++p) {
      sums[p] += static_cast<Sum>(frame[p]);
      squares[p] += static_cast<Square>(frame[p]) * static_cast<Square>(frame[p]);
    }
  }
}

template <typename Pixel>
void AddShiftedMoments(const FramePixels<Pixel>& frames, const double* shift, double* sums,
                       double* squares) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t p = 0; p < frames.pixels; ++p) {
      const double difference = static_cast<double>(frame[p]) - shift[p];
      sums[p] += difference;
      squares[p] += difference * difference;
    }
  }
}

template <typename Pixel>
void TakeExtremes(const FramePixels<Pixel>& frames, Pixel* minima, Pixel* maxima) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t p = 0; p < frames.pixels; ++p) {
      if (frame[p] < minima[p]) minima[p] = frame[p];
      if (frame[p] > maxima[p]) maxima[p] = frame[p];
    }
  }
}

template <typename Pixel>
void CountValues(const Pixel* pixels, size_t count, uint32_t* counts) {
  for (size_t p = 0; p < count; ++p) ++counts[pixels[p]];
}

inline void CountBins(const float* pixels, size_t count, const UniformBins& bins,
                      uint32_t* counts) {
  for (size_t p = 0; p < count; ++p) {
    const float x = pixels[p];
    if (std::isnan(x)) {
      ++counts[bins.count + 2];
    } else if (x < bins.edges[0]) {
      ++counts[0];
    } else if (x >= bins.edges[bins.count]) {
      ++counts[bins.count + 1];
    } else {
      // Rounding puts the guess at most a few bins aside.
      const float guess = (x - bins.low) * bins.scale;
      const auto most = static_cast<float>(bins.count - 1);
      auto bin = static_cast<size_t>(guess < 0 ? 0.0f : guess > most ? most : guess);
      while (x < bins.edges[bin]) --bin;
      while (x >= bins.edges[bin + 1]) ++bin;
      ++counts[1 + bin];
    }
  }
}

template <typename Pixel, typename Total>
void AddToBins(const FramePixels<Pixel>& frames, const uint32_t* bins, Total* totals,
               size_t total_stride) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    Total* const sums = totals + f * total_stride;
    for (size_t p = 0; p < frames.pixels; ++p) sums[bins[p]] += static_cast<Total>(frame[p]);
  }
}

inline uint64_t LoadAndDiscard(const std::byte* bytes, size_t size) {
  uint64_t seen = 0;
  size_t at = 0;
  for (; at + sizeof seen <= size; at += sizeof seen) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + at, sizeof word);
    seen ^= word;
  }
  uint64_t rest = 0;
  if (at < size)
    std::memcpy(&rest, bytes + at, size - at);  // no memory at all may be a null pointer
  return seen ^ rest;
}

}  // namespace penstock::kernels::scalar

#endif  // PENSTOCK_READER_KERNELS_SCALAR_KERNELS_H_
