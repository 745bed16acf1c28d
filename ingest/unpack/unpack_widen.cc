// SIMD kernels for pixels that are smaller in the file than any type in memory: 4-bit integers and
// float16.

#include "ingest/unpack/unpack.h"
#include "ingest/unpack/unpack_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ingest/unpack/unpack_widen.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace penstock::ingest::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void UnpackUint4(const std::byte* source, std::byte* destination, size_t pixels) {
  scalar::UnpackUint4(source, destination, pixels);
}
void WidenFloat16(const std::byte* source, std::byte* destination, size_t pixels, bool big_endian) {
  scalar::WidenFloat16(source, destination, pixels, big_endian);
}

#else

void UnpackUint4(const std::byte* source, std::byte* destination, size_t pixels) {
  const hn::CappedTag<uint8_t, 64> d;
  const size_t lanes = hn::Lanes(d);
  const auto low_bits = hn::Set(d, uint8_t{0x0F});
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(destination);
  size_t done = 0;
  for (; done + 2 * lanes <= pixels; done += 2 * lanes) {
    const auto pairs = hn::LoadU(d, from + done / 2);
    hn::StoreInterleaved2(hn::And(pairs, low_bits), hn::ShiftRight<4>(pairs), d, to + done);
  }
  scalar::UnpackUint4(source + done / 2, destination + done, pixels - done);
}

// Exponent and mantissa move to their places, which makes a float32 that is 2^112 too small; what
// was infinite or no number gets the largest exponent instead. Exact, subnormal numbers included.
void WidenFloat16(const std::byte* source, std::byte* destination, size_t pixels, bool big_endian) {
  const hn::ScalableTag<float> df;
  const hn::RebindToUnsigned<decltype(df)> d32;
  const hn::Rebind<uint16_t, decltype(df)> d16;
  const size_t lanes = hn::Lanes(df);
  const auto exponent = hn::Set(d32, uint32_t{0x7C00});
  const auto largest = hn::Set(d32, uint32_t{0x7F800000});
  const auto scale = hn::BitCast(df, hn::Set(d32, uint32_t{(127 + 112) << 23}));
  size_t done = 0;
  for (; done + lanes <= pixels; done += lanes) {
    auto halves = hn::LoadU(d16, reinterpret_cast<const uint16_t*>(source) + done);
    if (big_endian) halves = hn::Or(hn::ShiftLeft<8>(halves), hn::ShiftRight<8>(halves));
    const auto bits = hn::PromoteTo(d32, halves);
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(d32, uint32_t{0x7FFF})));
    const auto scaled = hn::BitCast(d32, hn::Mul(hn::BitCast(df, magnitude), scale));
    const auto special = hn::IfThenElseZero(hn::Eq(hn::And(bits, exponent), exponent), largest);
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(d32, uint32_t{0x8000})));
    const auto result = hn::Or(hn::Or(scaled, special), sign);
    hn::StoreU(result, d32, reinterpret_cast<uint32_t*>(destination) + done);
  }
  scalar::WidenFloat16(source + 2 * done, destination + 4 * done, pixels - done, big_endian);
}

#endif

}  // namespace penstock::ingest::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::ingest {

HWY_EXPORT(UnpackUint4);
HWY_EXPORT(WidenFloat16);

void UnpackUint4(const std::byte* source, std::byte* destination, size_t pixels) {
  HWY_DYNAMIC_DISPATCH(UnpackUint4)(source, destination, pixels);
}

void WidenFloat16(const std::byte* source, std::byte* destination, size_t pixels, bool big_endian) {
  HWY_DYNAMIC_DISPATCH(WidenFloat16)(source, destination, pixels, big_endian);
}

}  // namespace penstock::ingest
#endif
