// The few instructions that a device has and C++ has not, each with its meaning in C++.

#ifndef PENSTOCK_READER_DEVICE_KERNELS_INTRINSICS_H_
#define PENSTOCK_READER_DEVICE_KERNELS_INTRINSICS_H_

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "reader/device/kernels/execution.h"

namespace penstock::device_kernels {

// What a thread loads at once.
struct alignas(16) Vector16 {
  uint32_t words[4];
};

// Pixels are read once: they need not push the weights out of the cache.
PENSTOCK_ON_DEVICE Vector16 LoadOnce(const std::byte* from) {
#ifdef __CUDA_ARCH__
  const uint4 loaded = __ldcs(reinterpret_cast<const uint4*>(from));
  return {{loaded.x, loaded.y, loaded.z, loaded.w}};
#else
  Vector16 loaded;
  std::memcpy(&loaded, from, sizeof loaded);
  return loaded;
#endif
}

template <typename Pixel>
PENSTOCK_ON_DEVICE Pixel LoadPixel(const std::byte* from) {
#ifdef __CUDA_ARCH__
  return *reinterpret_cast<const Pixel*>(from);
#else
  Pixel pixel;
  std::memcpy(&pixel, from, sizeof pixel);
  return pixel;
#endif
}

// Pixel `index` of what was loaded.
template <typename Pixel, typename Loaded>
PENSTOCK_ON_DEVICE Pixel PixelOf(const Loaded& loaded, int index) {
  if constexpr (sizeof(Pixel) == 1) {
    return static_cast<Pixel>(loaded.words[index / 4] >> (8 * (index % 4)));
  } else if constexpr (sizeof(Pixel) == 2) {
    return static_cast<Pixel>(loaded.words[index / 2] >> (16 * (index % 2)));
  } else {
    Pixel pixel;
    memcpy(&pixel, &loaded.words[index * (sizeof(Pixel) / 4)], sizeof pixel);
    return pixel;
  }
}

// sum + four pixels of 8 bits times four weights; one pixel and weight in each byte.
template <typename Pixel>
PENSTOCK_ON_DEVICE int32_t DotOfFour(uint32_t pixels, uint32_t weights, int32_t sum) {
#ifdef __CUDA_ARCH__
  int32_t result;
  if constexpr (static_cast<Pixel>(-1) < 0) {
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(pixels), "r"(weights), "r"(sum));
  } else {
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(pixels), "r"(weights), "r"(sum));
  }
  return result;
#else
  for (int i = 0; i < 4; ++i) {
    sum += static_cast<int32_t>(static_cast<Pixel>(pixels >> (8 * i))) *
           static_cast<int8_t>(weights >> (8 * i));
  }
  return sum;
#endif
}

// sum + two pixels of 16 bits times the lower (kHigh: the upper) two of four weights.
template <typename Pixel, bool kHigh>
PENSTOCK_ON_DEVICE int32_t DotOfTwo(uint32_t pixels, uint32_t weights, int32_t sum) {
#ifdef __CUDA_ARCH__
  int32_t result;
  if constexpr (static_cast<Pixel>(-1) < 0) {
    if constexpr (kHigh) {
      asm("dp2a.hi.s32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(pixels), "r"(weights), "r"(sum));
    } else {
      asm("dp2a.lo.s32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(pixels), "r"(weights), "r"(sum));
    }
  } else {
    if constexpr (kHigh) {
      asm("dp2a.hi.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(pixels), "r"(weights), "r"(sum));
    } else {
      asm("dp2a.lo.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(pixels), "r"(weights), "r"(sum));
    }
  }
  return result;
#else
  for (int i = 0; i < 2; ++i) {
    sum += static_cast<int32_t>(static_cast<Pixel>(pixels >> (16 * i))) *
           static_cast<int8_t>(weights >> (8 * (i + (kHigh ? 2 : 0))));
  }
  return sum;
#endif
}

// a * b + c, rounded once where it is rounded at all.
PENSTOCK_ON_DEVICE float MultiplyAdd(float a, float b, float c) { return ::fmaf(a, b, c); }
PENSTOCK_ON_DEVICE double MultiplyAdd(double a, double b, double c) { return ::fma(a, b, c); }
PENSTOCK_ON_DEVICE int64_t MultiplyAdd(int64_t a, int64_t b, int64_t c) { return a * b + c; }

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_DEVICE_KERNELS_INTRINSICS_H_
