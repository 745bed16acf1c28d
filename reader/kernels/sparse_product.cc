// Sums of few pixels for eight frames at once: blocks of eight pixels that any mask uses are turned
// so that the same pixel of all frames lies together; every entry of every mask is then one
// multiply-add of whole vectors, whatever the pattern of the mask.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/sparse_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/sparse_kernels.h"
#include "reader/kernels/transpose-inl.h"
#include "reader/kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <typename Pixel>
void Sparse(const FramePixels<Pixel>& frames, const SparseChunk& chunk, double* totals,
            size_t total_stride) {
  scalar::SparseProduct(frames, chunk, totals, total_stride);
}

#else

template <typename Pixel>
HWY_INLINE void FillBlock(const FramePixels<Pixel>& frames, const Pixel* first, size_t block,
                          float* room) {
  if (block + kSparseBlockPixels <= frames.pixels) {
    TransposeEight(first + block, frames.frame_stride, room);
    return;
  }
  for (size_t p = 0; block + p < frames.pixels; ++p) {
    for (size_t f = 0; f < kSparseFrames; ++f) {
      room[p * kSparseFrames + f] = static_cast<float>(first[f * frames.frame_stride + block + p]);
    }
  }
}

template <typename Pixel>
HWY_NOINLINE void SparseEight(const FramePixels<Pixel>& frames, const Pixel* first,
                              const SparseChunk& chunk, double* totals, size_t total_stride) {
  HWY_ALIGN float room[kMostSparseBlocks * kSparseBlockPixels * kSparseFrames];
  for (size_t b = 0; b < chunk.block_count; ++b) {
    FillBlock(frames, first, chunk.blocks[b], room + b * kSparseBlockPixels * kSparseFrames);
  }
  const hn::CappedTag<double, kSparseFrames> d;
  const hn::Rebind<float, decltype(d)> d_float;
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kVectors = kSparseFrames / kLanes;
  for (size_t r = 0; r < chunk.row_count; ++r) {
    // Two sums take turns, so that one addition need not wait for the other.
    hn::Vec<decltype(d)> even[kVectors];
    hn::Vec<decltype(d)> odd[kVectors];
    PENSTOCK_UNROLL
    for (size_t v = 0; v < kVectors; ++v) even[v] = odd[v] = hn::Zero(d);
    uint32_t e = chunk.row_starts[r];
    const uint32_t end = chunk.row_starts[r + 1];
    for (; e + 2 <= end; e += 2) {
      const float* const from0 = room + size_t{chunk.places[e]} * kSparseFrames;
      const float* const from1 = room + size_t{chunk.places[e + 1]} * kSparseFrames;
      const auto weight0 = hn::Set(d, chunk.weights[e]);
      const auto weight1 = hn::Set(d, chunk.weights[e + 1]);
      PENSTOCK_UNROLL
      for (size_t v = 0; v < kVectors; ++v) {
        even[v] =
            hn::MulAdd(hn::PromoteTo(d, hn::LoadU(d_float, from0 + v * kLanes)), weight0, even[v]);
        odd[v] =
            hn::MulAdd(hn::PromoteTo(d, hn::LoadU(d_float, from1 + v * kLanes)), weight1, odd[v]);
      }
    }
    if (e < end) {
      const float* const from = room + size_t{chunk.places[e]} * kSparseFrames;
      const auto weight = hn::Set(d, chunk.weights[e]);
      PENSTOCK_UNROLL
      for (size_t v = 0; v < kVectors; ++v) {
        even[v] =
            hn::MulAdd(hn::PromoteTo(d, hn::LoadU(d_float, from + v * kLanes)), weight, even[v]);
      }
    }
    HWY_ALIGN double sums[kSparseFrames];
    PENSTOCK_UNROLL
    for (size_t v = 0; v < kVectors; ++v)
      hn::StoreU(hn::Add(even[v], odd[v]), d, sums + v * kLanes);
    double* const to = totals + chunk.row_masks[r];
    for (size_t f = 0; f < kSparseFrames; ++f) to[f * total_stride] += sums[f];
  }
}

template <typename Pixel>
void Sparse(const FramePixels<Pixel>& frames, const SparseChunk& chunk, double* totals,
            size_t total_stride) {
  size_t f = 0;
  for (; f + kSparseFrames <= frames.frames; f += kSparseFrames) {
    SparseEight(frames, frames.first + f * frames.frame_stride, chunk, totals + f * total_stride,
                total_stride);
  }
  scalar::SparseProduct(FramePixels<Pixel>{frames.first + f * frames.frame_stride,
                                           frames.frame_stride, frames.frames - f, frames.pixels},
                        chunk, totals + f * total_stride, total_stride);
}

#endif  // HWY_TARGET == HWY_SCALAR

void SparseU8(const FramePixels<uint8_t>& frames, const SparseChunk& chunk, double* totals,
              size_t total_stride) {
  Sparse(frames, chunk, totals, total_stride);
}
void SparseI8(const FramePixels<int8_t>& frames, const SparseChunk& chunk, double* totals,
              size_t total_stride) {
  Sparse(frames, chunk, totals, total_stride);
}
void SparseU16(const FramePixels<uint16_t>& frames, const SparseChunk& chunk, double* totals,
               size_t total_stride) {
  Sparse(frames, chunk, totals, total_stride);
}
void SparseI16(const FramePixels<int16_t>& frames, const SparseChunk& chunk, double* totals,
               size_t total_stride) {
  Sparse(frames, chunk, totals, total_stride);
}
void SparseF32(const FramePixels<float>& frames, const SparseChunk& chunk, double* totals,
               size_t total_stride) {
  Sparse(frames, chunk, totals, total_stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(SparseU8);
HWY_EXPORT(SparseI8);
HWY_EXPORT(SparseU16);
HWY_EXPORT(SparseI16);
HWY_EXPORT(SparseF32);

void SparseProduct(const FramePixels<uint8_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(SparseU8)(frames, chunk, totals, total_stride);
}
void SparseProduct(const FramePixels<int8_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(SparseI8)(frames, chunk, totals, total_stride);
}
void SparseProduct(const FramePixels<uint16_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(SparseU16)(frames, chunk, totals, total_stride);
}
void SparseProduct(const FramePixels<int16_t>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(SparseI16)(frames, chunk, totals, total_stride);
}
void SparseProduct(const FramePixels<float>& frames, const SparseChunk& chunk, double* totals,
                   size_t total_stride) {
  HWY_DYNAMIC_DISPATCH(SparseF32)(frames, chunk, totals, total_stride);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
