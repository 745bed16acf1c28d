// SIMD kernels for whole bytes: processed MIB data and packed uint12.

#include "ingest/unpack/unpack.h"
#include "ingest/unpack/unpack_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ingest/unpack/unpack_words.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "ingest/unpack/uint12-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::ingest::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void SwapBytes16(const std::byte* source, std::byte* destination, size_t pixels) {
  scalar::SwapBytes16(source, destination, pixels);
}
void SwapBytes32(const std::byte* source, std::byte* destination, size_t pixels) {
  scalar::SwapBytes32(source, destination, pixels);
}
void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels) {
  scalar::UnpackUint12(source, destination, pixels);
}

#else

using ByteTag = hn::CappedTag<uint8_t, 64>;

// Applies one permutation to every 16 bytes; returns the number of bytes done, the largest multiple
// of the vector length.
size_t PermuteBlocks(const std::byte* source, std::byte* destination, size_t bytes,
                     const uint8_t* permutation) {
  const ByteTag d;
  const size_t lanes = hn::Lanes(d);
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(destination);
  const auto order = hn::LoadDup128(d, permutation);
  size_t i = 0;
  for (; i + 4 * lanes <= bytes; i += 4 * lanes) {
    const auto a = hn::LoadU(d, from + i);
    const auto b = hn::LoadU(d, from + i + lanes);
    const auto c = hn::LoadU(d, from + i + 2 * lanes);
    const auto e = hn::LoadU(d, from + i + 3 * lanes);
    hn::StoreU(hn::TableLookupBytes(a, order), d, to + i);
    hn::StoreU(hn::TableLookupBytes(b, order), d, to + i + lanes);
    hn::StoreU(hn::TableLookupBytes(c, order), d, to + i + 2 * lanes);
    hn::StoreU(hn::TableLookupBytes(e, order), d, to + i + 3 * lanes);
  }
  for (; i + lanes <= bytes; i += lanes) {
    hn::StoreU(hn::TableLookupBytes(hn::LoadU(d, from + i), order), d, to + i);
  }
  return i;
}

void SwapBytes16(const std::byte* source, std::byte* destination, size_t pixels) {
  HWY_ALIGN static constexpr uint8_t kSwap[16] = {1, 0, 3,  2,  5,  4,  7,  6,
                                                  9, 8, 11, 10, 13, 12, 15, 14};
  const size_t done = PermuteBlocks(source, destination, 2 * pixels, kSwap);
  scalar::SwapBytes16(source + done, destination + done, pixels - done / 2);
}

void SwapBytes32(const std::byte* source, std::byte* destination, size_t pixels) {
  HWY_ALIGN static constexpr uint8_t kSwap[16] = {3,  2,  1, 0, 7,  6,  5,  4,
                                                  11, 10, 9, 8, 15, 14, 13, 12};
  const size_t done = PermuteBlocks(source, destination, 4 * pixels, kSwap);
  scalar::SwapBytes32(source + done, destination + done, pixels - done / 4);
}

#if HWY_TARGET == HWY_AVX2

// Vectors of two blocks. One load that begins four bytes early puts the 12 bytes of the first
// block at the end of the lower half and those of the second at the beginning of the upper half,
// so that nothing has to cross the halves.
size_t UnpackWholeVectors(const uint8_t* HWY_RESTRICT from, uint8_t* HWY_RESTRICT to,
                          size_t source_bytes) {
  const hn::FixedTag<uint8_t, 32> d8;
  constexpr size_t kStep = 24;
  if (source_bytes < kStep) return 0;
  scalar::UnpackUint12(reinterpret_cast<const std::byte*>(from), reinterpret_cast<std::byte*>(to),
                       kStep / 3 * 2);
  const auto pairs = hn::Load(d8, kPairsAround);
  size_t at = kStep;
  size_t written = 32;
  const auto unpack = [&](size_t step) HWY_ATTR {
    const auto packed = hn::LoadU(d8, from + at + step * kStep - 4);
    hn::StoreU(PixelsOfPairs(d8, hn::TableLookupBytes(packed, pairs)), d8,
               to + written + step * 32);
  };
  for (; at + 4 * kStep + 4 <= source_bytes; at += 4 * kStep, written += 4 * 32) {
    unpack(0);
    unpack(1);
    unpack(2);
    unpack(3);
  }
  for (; at + kStep + 4 <= source_bytes; at += kStep, written += 32) unpack(0);
  return written / 2;
}

#else

// Returns the number of pixels done. A step loads a whole vector, of which it uses three quarters.
size_t UnpackWholeVectors(const uint8_t* HWY_RESTRICT from, uint8_t* HWY_RESTRICT to,
                          size_t source_bytes) {
  const ByteTag d8;
  const hn::Repartition<uint32_t, ByteTag> d32;
  HWY_ALIGN uint32_t spread[16] = {};
  const size_t lanes32 = hn::Lanes(d32);
  for (size_t i = 0; i < lanes32; ++i) {
    spread[i] = static_cast<uint32_t>(i / 4 * 3 + i % 4);  // at most 12 of 16, 3 of 4
  }
  const auto indices = hn::SetTableIndices(d32, spread);
  const auto pairs = hn::LoadDup128(d8, kPairs);
  const size_t lanes = hn::Lanes(d8);
  // What comes from memory has come by then: a pass over K2 IS 10 GiB/s of pixels instead of 8.
  constexpr size_t kAheadBytes = 4096;
  size_t at = 0;
  size_t written = 0;
  for (; at + lanes <= source_bytes; at += lanes / 4 * 3, written += lanes) {
    __builtin_prefetch(from + at + kAheadBytes, /*to write*/ 0, /*into the L2 cache*/ 2);
    const auto packed = hn::BitCast(d32, hn::LoadU(d8, from + at));
    const auto blocks = hn::BitCast(d8, hn::TableLookupLanes(packed, indices));
    hn::StoreU(PixelsOfPairs(d8, hn::TableLookupBytes(blocks, pairs)), d8, to + written);
  }
  return written / 2;
}

#endif

void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels) {
  const size_t done =
      UnpackWholeVectors(reinterpret_cast<const uint8_t*>(source),
                         reinterpret_cast<uint8_t*>(destination), (3 * pixels + 1) / 2);
  scalar::UnpackUint12(source + done / 2 * 3, destination + 2 * done, pixels - done);
}

#endif

}  // namespace penstock::ingest::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::ingest {

HWY_EXPORT(SwapBytes16);
HWY_EXPORT(SwapBytes32);
HWY_EXPORT(UnpackUint12);

void SwapBytes16(const std::byte* source, std::byte* destination, size_t pixels) {
  HWY_DYNAMIC_DISPATCH(SwapBytes16)(source, destination, pixels);
}

void SwapBytes32(const std::byte* source, std::byte* destination, size_t pixels) {
  HWY_DYNAMIC_DISPATCH(SwapBytes32)(source, destination, pixels);
}

void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels) {
  HWY_DYNAMIC_DISPATCH(UnpackUint12)(source, destination, pixels);
}

}  // namespace penstock::ingest
#endif
