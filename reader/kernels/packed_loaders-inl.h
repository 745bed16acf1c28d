// Vectors of packed pixels as vectors of 16 bits per pixel; included once per instruction set.
//
// A Loader has kScales (see ScaledLoader), kLargestSum, the most by which one step moves a sum at
// weights of 1, and Load, which reads a whole vector and uses three quarters of it: the first, or,
// where it was made with `in_front` = UnusedBytes(), the last.

#if defined(PENSTOCK_READER_KERNELS_PACKED_LOADERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_PACKED_LOADERS_INL_H_
#undef PENSTOCK_READER_KERNELS_PACKED_LOADERS_INL_H_
#else
#define PENSTOCK_READER_KERNELS_PACKED_LOADERS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "reader/kernels/vnni-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

namespace hn = hwy::HWY_NAMESPACE;

using PackedPixels = hn::Vec<hn::ScalableTag<int16_t>>;

// Bytes of a vector that are not used.
HWY_INLINE size_t UnusedBytes() { return hn::Lanes(hn::ScalableTag<uint8_t>()) / 4; }

// Every pixel gets the two bytes that hold it, the even ones with four bits too many above, the odd
// ones with four too many below. Multiplying the even ones by 16 and shifting all by 4 clears both.
class PackedLoader {
 public:
  static constexpr bool kScales = false;
  static constexpr int32_t kLargestSum = 2 * 4095;

  explicit PackedLoader(size_t in_front) {
    constexpr hn::ScalableTag<uint32_t> d32;
    HWY_ALIGN uint32_t spread[hn::MaxLanes(d32)];
    for (size_t i = 0; i < hn::Lanes(d32); ++i) {
      const size_t from = i / 4 * 3 + i % 4 + in_front / 4;  // 12 bytes to each 16
      spread[i] = static_cast<uint32_t>(std::min(from, hn::Lanes(d32) - 1));
    }
    spread_ = hn::Load(d32, spread);
    bytes_ = hn::LoadDup128(hn::ScalableTag<uint8_t>(), kBytes);
    shift_ = hn::LoadDup128(hn::ScalableTag<uint16_t>(), kShift);
  }

  HWY_INLINE PackedPixels Load(const uint8_t* from) const {
    constexpr hn::ScalableTag<uint8_t> d8;
    constexpr hn::ScalableTag<uint16_t> d16;
    constexpr hn::ScalableTag<uint32_t> d32;
    const auto packed = hn::BitCast(d32, hn::LoadU(d8, from));
    const auto spread = hn::TableLookupLanes(packed, hn::IndicesFromVec(d32, spread_));
    const auto words = hn::TableLookupBytes(hn::BitCast(d8, spread), bytes_);
    return hn::BitCast(hn::ScalableTag<int16_t>(),
                       hn::ShiftRight<4>(hn::Mul(hn::BitCast(d16, words), shift_)));
  }

 private:
  HWY_ALIGN static constexpr uint8_t kBytes[16] = {0, 1, 1, 2, 3, 4,  4,  5,
                                                   6, 7, 7, 8, 9, 10, 10, 11};
  HWY_ALIGN static constexpr uint16_t kShift[8] = {16, 1, 16, 1, 16, 1, 16, 1};

  hn::Vec<hn::ScalableTag<uint32_t>> spread_;
  hn::Vec<hn::ScalableTag<uint8_t>> bytes_;
  hn::Vec<hn::ScalableTag<uint16_t>> shift_;
};

#if PENSTOCK_KERNELS_WITH_VNNI

// As text, since the compiler has this instruction only for code that always requires it.
HWY_INLINE __m512i BytesInOrder(__m512i order, const uint8_t* from) {
  __m512i bytes;
  __asm__("vpermb %1, %2, %0"
          : "=v"(bytes)
          : "m"(*reinterpret_cast<const __m512i_u*>(from)), "v"(order));
  return bytes;
}

// Three bytes, two pixels: eight bits at any place of eight bytes in one instruction.
class VbmiLoader {
 public:
  static constexpr bool kScales = false;
  static constexpr int32_t kLargestSum = 2 * 4095;

  explicit VbmiLoader(size_t in_front) {
    HWY_ALIGN uint8_t bytes[64];
    HWY_ALIGN uint8_t bits[64];
    for (uint8_t i = 0; i < 64; ++i) {
      bytes[i] = static_cast<uint8_t>(in_front + i / 8 * 6 + i % 8);  // modulo 64
      bits[i] = static_cast<uint8_t>(i % 8 / 2 * 12 + i % 2 * 8);
    }
    bytes_ = _mm512_load_si512(bytes);
    bits_ = _mm512_load_si512(bits);
    pixel_ = _mm512_set1_epi16(4095);
  }

  HWY_INLINE PackedPixels Load(const uint8_t* from) const {
    __m512i words;
    __asm__("vpmultishiftqb %1, %2, %0"
            : "=v"(words)
            : "v"(BytesInOrder(bytes_, from)), "v"(bits_));
    return PackedPixels{_mm512_and_si512(words, pixel_)};
  }

 private:
  __m512i bytes_, bits_, pixel_;
};

// Odd pixels remain multiplied by kEvenScale, as the weights of the even ones have to be, and less
// 32768, so that they are signed: with instructions so few the processor sees further ahead, and a
// pass over memory is quicker (AMD Zen 4, a loop by itself with one mask, share of a linear read:
// 0.85 as in the loader above, 0.91 as here).
class ScaledLoader {
 public:
  static constexpr bool kScales = true;
  static constexpr int32_t kLargestSum = 16 * 4095 + 32768;

  explicit ScaledLoader(size_t in_front) {
    HWY_ALIGN uint8_t bytes[64];
    for (uint8_t i = 0; i < 64; ++i) {
      bytes[i] = static_cast<uint8_t>(in_front + i / 4 * 3 + (i % 4 + 1) / 2);
    }
    bytes_ = _mm512_load_si512(bytes);
    bits_ = _mm512_set1_epi32(static_cast<int32_t>(0xFFF00FFF));
    sign_ = _mm512_set1_epi32(static_cast<int32_t>(0x80000000));
  }

  HWY_INLINE PackedPixels Load(const uint8_t* from) const {
    constexpr int kAndThenXor = 0x6A;
    return PackedPixels{
        _mm512_ternarylogic_epi32(BytesInOrder(bytes_, from), bits_, sign_, kAndThenXor)};
  }

 private:
  __m512i bytes_, bits_, sign_;
};

#endif  // PENSTOCK_KERNELS_WITH_VNNI

#endif  // HWY_TARGET != HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
