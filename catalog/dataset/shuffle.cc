// SIMD kernels for shuffled bytes and bits.
//
// Bits: eight planes are eight vectors; three rounds of masked exchanges between vectors transpose
// the 8x8 bit matrix of every byte column at once, three rounds of interleaving bring the eight
// bytes of a column together. Bytes of an element are then joined by UnshuffleBytes, from memory
// that is still in the first cache.

#include "penstock/dataset/shuffle.h"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "catalog/dataset/shuffle.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace penstock::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void UnshuffleBytes(const std::byte* source, std::byte* destination, size_t elements,
                    size_t element_size) {
  scalar::UnshuffleBytes(source, destination, elements, element_size);
}
void UntransposeBits(const std::byte* source, std::byte* destination, std::byte* scratch,
                     size_t elements, size_t element_size) {
  scalar::UntransposeBits(source, destination, scratch, elements, element_size);
}

#else

// Interleaving works within 16 bytes; two such blocks are still easy to put in order.
#if HWY_HAVE_SCALABLE
using BitTag = hn::FixedTag<uint8_t, 16>;
#else
using BitTag = hn::CappedTag<uint8_t, 32>;
#endif
using BlockTag = hn::FixedTag<uint8_t, 16>;
using WideTag = hn::CappedTag<uint8_t, 64>;

template <int kShift, class V>
HWY_INLINE void Exchange(V& low, V& high, V mask) {
  const hn::Repartition<uint16_t, BitTag> d16;
  const BitTag d;
  // The masks clear what a shift of 16 bits carries from one byte into the other.
  const auto moved = hn::BitCast(d, hn::ShiftRight<kShift>(hn::BitCast(d16, low)));
  const auto swap = hn::And(hn::Xor(moved, high), mask);
  high = hn::Xor(high, swap);
  low = hn::Xor(low, hn::BitCast(d, hn::ShiftLeft<kShift>(hn::BitCast(d16, swap))));
}

// `part` counts the 16-byte pieces of the 128 bytes that one block of columns becomes.
template <class V>
HWY_INLINE void StorePiece(V v, uint8_t* to, size_t part) {
  const BitTag d;
#if !HWY_HAVE_SCALABLE
  if constexpr (hn::MaxLanes(d) == 32) {
    const BlockTag block;
    hn::StoreU(hn::LowerHalf(block, v), block, to + 16 * part);
    hn::StoreU(hn::UpperHalf(block, v), block, to + 128 + 16 * part);
    return;
  }
#endif
  hn::StoreU(v, d, to + 16 * part);
}

template <class V>
HWY_INLINE void StoreColumns(V even, V odd, uint8_t* to, size_t part) {
  const BitTag d;
  StorePiece(hn::InterleaveLower(d, even, odd), to, part);
  StorePiece(hn::InterleaveUpper(d, even, odd), to, part + 1);
}

size_t UntransposeColumns(const uint8_t* HWY_RESTRICT planes, uint8_t* HWY_RESTRICT to,
                          size_t columns) {
  const BitTag d;
  const size_t lanes = hn::Lanes(d);
  const auto nibbles = hn::Set(d, uint8_t{0x0F});
  const auto pairs = hn::Set(d, uint8_t{0x33});
  const auto bits = hn::Set(d, uint8_t{0x55});
  size_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    auto v0 = hn::LoadU(d, planes + i);
    auto v1 = hn::LoadU(d, planes + columns + i);
    auto v2 = hn::LoadU(d, planes + 2 * columns + i);
    auto v3 = hn::LoadU(d, planes + 3 * columns + i);
    auto v4 = hn::LoadU(d, planes + 4 * columns + i);
    auto v5 = hn::LoadU(d, planes + 5 * columns + i);
    auto v6 = hn::LoadU(d, planes + 6 * columns + i);
    auto v7 = hn::LoadU(d, planes + 7 * columns + i);
    Exchange<4>(v0, v4, nibbles);
    Exchange<4>(v1, v5, nibbles);
    Exchange<4>(v2, v6, nibbles);
    Exchange<4>(v3, v7, nibbles);
    Exchange<2>(v0, v2, pairs);
    Exchange<2>(v1, v3, pairs);
    Exchange<2>(v4, v6, pairs);
    Exchange<2>(v5, v7, pairs);
    Exchange<1>(v0, v1, bits);
    Exchange<1>(v2, v3, bits);
    Exchange<1>(v4, v5, bits);
    Exchange<1>(v6, v7, bits);
    // Now vector k holds byte k of every column.
    const auto low04 = hn::InterleaveLower(d, v0, v4);
    const auto low15 = hn::InterleaveLower(d, v1, v5);
    const auto low26 = hn::InterleaveLower(d, v2, v6);
    const auto low37 = hn::InterleaveLower(d, v3, v7);
    const auto high04 = hn::InterleaveUpper(d, v0, v4);
    const auto high15 = hn::InterleaveUpper(d, v1, v5);
    const auto high26 = hn::InterleaveUpper(d, v2, v6);
    const auto high37 = hn::InterleaveUpper(d, v3, v7);
    uint8_t* const out = to + 8 * i;
    StoreColumns(hn::InterleaveLower(d, low04, low26), hn::InterleaveLower(d, low15, low37), out,
                 0);
    StoreColumns(hn::InterleaveUpper(d, low04, low26), hn::InterleaveUpper(d, low15, low37), out,
                 2);
    StoreColumns(hn::InterleaveLower(d, high04, high26), hn::InterleaveLower(d, high15, high37),
                 out, 4);
    StoreColumns(hn::InterleaveUpper(d, high04, high26), hn::InterleaveUpper(d, high15, high37),
                 out, 6);
  }
  return i;
}

void UnshuffleBytes(const std::byte* source, std::byte* destination, size_t elements,
                    size_t element_size) {
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(destination);
  size_t j = 0;
  if (element_size == 2) {
    const WideTag d;
    const size_t lanes = hn::Lanes(d);
    for (; j + lanes <= elements; j += lanes) {
      hn::StoreInterleaved2(hn::LoadU(d, from + j), hn::LoadU(d, from + elements + j), d,
                            to + 2 * j);
    }
  } else if (element_size == 4) {
    const WideTag d;
    const size_t lanes = hn::Lanes(d);
    for (; j + lanes <= elements; j += lanes) {
      hn::StoreInterleaved4(hn::LoadU(d, from + j), hn::LoadU(d, from + elements + j),
                            hn::LoadU(d, from + 2 * elements + j),
                            hn::LoadU(d, from + 3 * elements + j), d, to + 4 * j);
    }
  } else if (element_size == 8) {
    const BlockTag d;
    const hn::Repartition<uint16_t, BlockTag> d16;
    const auto plane = [&](size_t b) { return hn::LoadU(d, from + b * elements + j); };
    for (; j + 16 <= elements; j += 16) {
      const auto p0 = plane(0), p1 = plane(1), p2 = plane(2), p3 = plane(3);
      const auto p4 = plane(4), p5 = plane(5), p6 = plane(6), p7 = plane(7);
      auto* const out = reinterpret_cast<uint16_t*>(to + 8 * j);
      hn::StoreInterleaved4(hn::ZipLower(d16, p0, p1), hn::ZipLower(d16, p2, p3),
                            hn::ZipLower(d16, p4, p5), hn::ZipLower(d16, p6, p7), d16, out);
      hn::StoreInterleaved4(hn::ZipUpper(d16, p0, p1), hn::ZipUpper(d16, p2, p3),
                            hn::ZipUpper(d16, p4, p5), hn::ZipUpper(d16, p6, p7), d16, out + 32);
    }
  }
  if (j < elements) scalar::UnshuffleRest(source, destination, j, elements, element_size);
}

void UntransposeBits(const std::byte* source, std::byte* destination, std::byte* scratch,
                     size_t elements, size_t element_size) {
  const size_t columns = elements / 8;
  std::byte* const planes = element_size == 1 ? destination : scratch;
  for (size_t b = 0; b < element_size; ++b) {
    const std::byte* const from = source + b * elements;
    std::byte* const to = planes + b * elements;
    const size_t done = UntransposeColumns(reinterpret_cast<const uint8_t*>(from),
                                           reinterpret_cast<uint8_t*>(to), columns);
    if (done < columns) scalar::UntransposeColumns(from, to, done, columns);
  }
  if (element_size != 1) UnshuffleBytes(planes, destination, elements, element_size);
}

#endif

}  // namespace penstock::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock {

HWY_EXPORT(UnshuffleBytes);
HWY_EXPORT(UntransposeBits);

void UnshuffleBytes(const std::byte* source, std::byte* destination, size_t elements,
                    size_t element_size) {
  HWY_DYNAMIC_DISPATCH(UnshuffleBytes)(source, destination, elements, element_size);
}

void UntransposeBits(const std::byte* source, std::byte* destination, std::byte* scratch,
                     size_t elements, size_t element_size) {
  HWY_DYNAMIC_DISPATCH(UntransposeBits)(source, destination, scratch, elements, element_size);
}

}  // namespace penstock
#endif
