// SIMD kernels for whole bytes: processed MIB data and packed uint12.

#include "ingest/unpack/unpack.h"
#include "ingest/unpack/unpack_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ingest/unpack/unpack_words.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

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

// 12 packed bytes make 8 pixels = 16 bytes. Each 16-byte block of the vector gets its own 12 source
// bytes by 32-bit lanes, then every pixel the two bytes that hold it.
void UnpackUint12(const std::byte* source, std::byte* destination, size_t pixels) {
  const ByteTag d8;
  const hn::Repartition<uint16_t, ByteTag> d16;
  const hn::Repartition<uint32_t, ByteTag> d32;
  HWY_ALIGN static constexpr uint8_t kPairs[16] = {0, 1, 1, 2, 3, 4,  4,  5,
                                                   6, 7, 7, 8, 9, 10, 10, 11};
  HWY_ALIGN uint32_t spread[16] = {};
  const size_t lanes32 = hn::Lanes(d32);
  for (size_t i = 0; i < lanes32; ++i) {
    spread[i] = static_cast<uint32_t>(i / 4 * 3 + i % 4);  // at most 12 of 16, 6 of 8, 3 of 4
  }
  const auto indices = hn::SetTableIndices(d32, spread);
  const auto pairs = hn::LoadDup128(d8, kPairs);
  const auto low_bits = hn::Set(d16, uint16_t{0x0FFF});

  const size_t lanes = hn::Lanes(d8);
  const size_t consumed = lanes / 4 * 3;
  const size_t pixels_per_step = lanes / 2;
  const size_t source_bytes = (3 * pixels + 1) / 2;
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(destination);
  size_t done = 0;
  // A step loads a whole vector, of which it uses three quarters.
  for (size_t at = 0; at + lanes <= source_bytes; at += consumed, done += pixels_per_step) {
    const auto packed = hn::BitCast(d32, hn::LoadU(d8, from + at));
    const auto blocks = hn::BitCast(d8, hn::TableLookupLanes(packed, indices));
    const auto words = hn::BitCast(d16, hn::TableLookupBytes(blocks, pairs));
    const auto result = hn::OddEven(hn::ShiftRight<4>(words), hn::And(words, low_bits));
    hn::StoreU(hn::BitCast(d8, result), d8, to + 2 * done);
  }
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
