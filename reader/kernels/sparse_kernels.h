// Sums of few pixels with weights. In the manner of kernels.h: run-time dispatch, thread-safe, no
// allocation; scalar::SparseProduct has the meaning in plain C++.

#ifndef PENSTOCK_READER_KERNELS_SPARSE_KERNELS_H_
#define PENSTOCK_READER_KERNELS_SPARSE_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "reader/kernels/kernels.h"

namespace penstock::kernels {

inline constexpr size_t kSparseFrames = 8;        // that a kernel takes at once
inline constexpr size_t kSparseBlockPixels = 8;   // that it loads at once
inline constexpr size_t kMostSparseBlocks = 128;  // in one chunk

// Of one chunk of pixels: which blocks of eight are used, and the masks that have pixels there.
struct SparseChunk {
  const uint32_t* blocks = nullptr;  // the first pixel of each block within the run of pixels
  size_t block_count = 0;            // at most kMostSparseBlocks
  // Row r belongs to mask row_masks[r] and has the entries [row_starts[r], row_starts[r + 1]).
  const uint32_t* row_masks = nullptr;
  const uint32_t* row_starts = nullptr;
  size_t row_count = 0;
  // Of every entry: block * kSparseBlockPixels + pixel within the block, and the weight.
  const uint16_t* places = nullptr;
  const double* weights = nullptr;
};

// totals[f * total_stride + mask] += sum of pixel * weight over the entries, in float64: exact for
// integer weights as long as no sum of absolute terms leaves 2^53. Pixels behind the end of the run
// are not read.
void SparseProduct(const FramePixels<uint8_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride);
void SparseProduct(const FramePixels<int8_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride);
void SparseProduct(const FramePixels<uint16_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride);
void SparseProduct(const FramePixels<int16_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride);
void SparseProduct(const FramePixels<float>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride);

namespace scalar {

// Computed in Total.
template <typename Pixel, typename Total>
void SparseProduct(const FramePixels<Pixel>& frames, const SparseChunk& chunk, Total* totals,
                   size_t total_stride) {
  for (size_t f = 0; f < frames.frames; ++f) {
    const Pixel* const frame = frames.first + f * frames.frame_stride;
    for (size_t r = 0; r < chunk.row_count; ++r) {
      Total sum = 0;
      for (uint32_t e = chunk.row_starts[r]; e < chunk.row_starts[r + 1]; ++e) {
        const size_t place = chunk.places[e];
        const size_t pixel = chunk.blocks[place / kSparseBlockPixels] + place % kSparseBlockPixels;
        sum += static_cast<Total>(frame[pixel]) * static_cast<Total>(chunk.weights[e]);
      }
      totals[f * total_stride + chunk.row_masks[r]] += sum;
    }
  }
}

}  // namespace scalar

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_SPARSE_KERNELS_H_
