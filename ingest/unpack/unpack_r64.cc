// SIMD kernels for raw Merlin data (R64).
//
// Forward rows need the 8 bytes of each word reversed. Reversed rows take the words in reverse
// order and leave the bytes inside as they are (depth 6), swap each 16-bit value (depth 12), or
// take the bits from the top (depth 1).

#include "ingest/unpack/unpack.h"
#include "ingest/unpack/unpack_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ingest/unpack/unpack_r64.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace penstock::ingest::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void UnpackR64Depth1(const PixelRows& rows, PixelOrder order) {
  scalar::UnpackR64Depth1(rows, order);
}
void UnpackR64Depth6(const PixelRows& rows, PixelOrder order) {
  scalar::UnpackR64Depth6(rows, order);
}
void UnpackR64Depth12(const PixelRows& rows, PixelOrder order) {
  scalar::UnpackR64Depth12(rows, order);
}
void UnpackR64Depth24(const PixelRows& rows, const std::byte* lower_source, PixelOrder order) {
  scalar::UnpackR64Depth24(rows, lower_source, order);
}

#else

using ByteTag = hn::CappedTag<uint8_t, 64>;

// Within every 16 bytes: reverse each word; exchange the two words; both words exchanged and each
// 16-bit value swapped.
HWY_ALIGN constexpr uint8_t kReverseWords[16] = {7,  6,  5,  4,  3,  2,  1, 0,
                                                 15, 14, 13, 12, 11, 10, 9, 8};
HWY_ALIGN constexpr uint8_t kExchangeWords[16] = {8, 9, 10, 11, 12, 13, 14, 15,
                                                  0, 1, 2,  3,  4,  5,  6,  7};
HWY_ALIGN constexpr uint8_t kExchangeWordsSwap16[16] = {9, 8, 11, 10, 13, 12, 15, 14,
                                                        1, 0, 3,  2,  5,  4,  7,  6};

struct Row {
  const std::byte* source;
  std::byte* destination;
};

Row RowAt(const PixelRows& rows, size_t row) {
  return {rows.source + row * rows.source_stride,
          rows.destination + static_cast<ptrdiff_t>(row) * rows.destination_stride};
}

// The part of a row that does not fill a vector, as a job for the scalar twin. In a reversed row
// the first source pixels are written last, so `skip` applies to either side alone.
PixelRows Rest(const std::byte* source, std::byte* destination, size_t pixels) {
  return {.source = source,
          .source_stride = 0,
          .destination = destination,
          .destination_stride = 0,
          .row_count = 1,
          .pixels_per_row = pixels};
}

// Depths 6 and 12, whose pixels keep their width: `bytes` is the length of the row on both sides.
// Returns the number of bytes done from the start of the destination.
size_t MoveWords(Row row, size_t bytes, PixelOrder order, const uint8_t* permutation) {
  const ByteTag d;
  const size_t lanes = hn::Lanes(d);
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(row.source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
  const auto table = hn::LoadDup128(d, permutation);
  size_t i = 0;
  if (order == PixelOrder::kForward) {
    for (; i + lanes <= bytes; i += lanes) {
      hn::StoreU(hn::TableLookupBytes(hn::LoadU(d, from + i), table), d, to + i);
    }
    return i;
  }
  for (; i + lanes <= bytes; i += lanes) {
    const auto words = hn::ReverseBlocks(d, hn::LoadU(d, from + bytes - lanes - i));
    hn::StoreU(hn::TableLookupBytes(words, table), d, to + i);
  }
  return i;
}

void UnpackR64Depth6(const PixelRows& rows, PixelOrder order) {
  const bool forward = order == PixelOrder::kForward;
  for (size_t r = 0; r < rows.row_count; ++r) {
    const Row row = RowAt(rows, r);
    const size_t bytes = rows.pixels_per_row;
    const size_t done = MoveWords(row, bytes, order, forward ? kReverseWords : kExchangeWords);
    if (done == bytes) continue;
    scalar::UnpackR64Depth6(
        Rest(forward ? row.source + done : row.source, row.destination + done, bytes - done),
        order);
  }
}

void UnpackR64Depth12(const PixelRows& rows, PixelOrder order) {
  const bool forward = order == PixelOrder::kForward;
  for (size_t r = 0; r < rows.row_count; ++r) {
    const Row row = RowAt(rows, r);
    const size_t bytes = 2 * rows.pixels_per_row;
    const size_t done =
        MoveWords(row, bytes, order, forward ? kReverseWords : kExchangeWordsSwap16);
    if (done == bytes) continue;
    scalar::UnpackR64Depth12(
        Rest(forward ? row.source + done : row.source, row.destination + done, (bytes - done) / 2),
        order);
  }
}

// For each of 128 pixels, the byte among 16 source bytes that holds its bit.
struct BitTable {
  uint8_t byte_of_pixel[128];
  uint8_t bit_of_pixel[128];
};

constexpr BitTable MakeForwardBits() {
  BitTable table{};
  for (int pixel = 0; pixel < 128; ++pixel) {
    table.byte_of_pixel[pixel] = static_cast<uint8_t>(pixel / 64 * 8 + 7 - pixel % 64 / 8);
    table.bit_of_pixel[pixel] = static_cast<uint8_t>(1 << (pixel % 8));
  }
  return table;
}

constexpr BitTable MakeReversedBits() {
  BitTable table{};
  for (int pixel = 0; pixel < 128; ++pixel) {
    table.byte_of_pixel[pixel] = static_cast<uint8_t>((1 - pixel / 64) * 8 + pixel % 64 / 8);
    table.bit_of_pixel[pixel] = static_cast<uint8_t>(0x80 >> (pixel % 8));
  }
  return table;
}

HWY_ALIGN constexpr BitTable kForwardBits = MakeForwardBits();
HWY_ALIGN constexpr BitTable kReversedBits = MakeReversedBits();

void UnpackR64Depth1(const PixelRows& rows, PixelOrder order) {
  constexpr size_t kStepPixels = 128;
  constexpr size_t kStepBytes = kStepPixels / 8;
  const ByteTag d;
  const size_t lanes = hn::Lanes(d);
  const bool forward = order == PixelOrder::kForward;
  const BitTable& table = forward ? kForwardBits : kReversedBits;
  const auto one = hn::Set(d, uint8_t{1});
  const auto bits = hn::LoadU(d, table.bit_of_pixel);  // period 8, the same for every vector
  for (size_t r = 0; r < rows.row_count; ++r) {
    const Row row = RowAt(rows, r);
    const size_t bytes = rows.pixels_per_row / 8;
    auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
    size_t done = 0;  // source bytes
    for (; done + kStepBytes <= bytes; done += kStepBytes) {
      const std::byte* from = row.source + (forward ? done : bytes - kStepBytes - done);
      const auto words = hn::LoadDup128(d, reinterpret_cast<const uint8_t*>(from));
      for (size_t pixel = 0; pixel < kStepPixels; pixel += lanes) {
        const auto source_byte = hn::LoadU(d, table.byte_of_pixel + pixel);
        const auto selected = hn::And(hn::TableLookupBytes(words, source_byte), bits);
        hn::StoreU(hn::Min(selected, one), d, to + done * 8 + pixel);
      }
    }
    if (done == bytes) continue;
    scalar::UnpackR64Depth1(Rest(forward ? row.source + done : row.source,
                                 row.destination + done * 8, (bytes - done) * 8),
                            order);
  }
}

void UnpackR64Depth24(const PixelRows& rows, const std::byte* lower_source, PixelOrder order) {
  const ByteTag d8;
  const hn::Repartition<uint16_t, ByteTag> d16;
  const hn::Half<decltype(d16)> d16_half;
  const hn::Repartition<uint32_t, ByteTag> d32;
  const size_t lanes = hn::Lanes(d8);
  const bool forward = order == PixelOrder::kForward;
  const auto table = hn::LoadDup128(d8, forward ? kReverseWords : kExchangeWordsSwap16);
  for (size_t r = 0; r < rows.row_count; ++r) {
    const Row row = RowAt(rows, r);
    const size_t bytes = 2 * rows.pixels_per_row;  // of one half frame
    const auto* HWY_RESTRICT upper = reinterpret_cast<const uint8_t*>(row.source);
    const auto* HWY_RESTRICT lower =
        reinterpret_cast<const uint8_t*>(lower_source + r * rows.source_stride);
    auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
    size_t done = 0;
    for (; done + lanes <= bytes; done += lanes) {
      const size_t at = forward ? done : bytes - lanes - done;
      auto high = hn::LoadU(d8, upper + at);
      auto low = hn::LoadU(d8, lower + at);
      if (!forward) {
        high = hn::ReverseBlocks(d8, high);
        low = hn::ReverseBlocks(d8, low);
      }
      const auto high16 = hn::BitCast(d16, hn::TableLookupBytes(high, table));
      const auto low16 = hn::BitCast(d16, hn::TableLookupBytes(low, table));
      const auto first =
          hn::Add(hn::ShiftLeft<12>(hn::PromoteTo(d32, hn::LowerHalf(d16_half, high16))),
                  hn::PromoteTo(d32, hn::LowerHalf(d16_half, low16)));
      const auto second =
          hn::Add(hn::ShiftLeft<12>(hn::PromoteTo(d32, hn::UpperHalf(d16_half, high16))),
                  hn::PromoteTo(d32, hn::UpperHalf(d16_half, low16)));
      hn::StoreU(hn::BitCast(d8, first), d8, to + 2 * done);
      hn::StoreU(hn::BitCast(d8, second), d8, to + 2 * done + lanes);
    }
    if (done == bytes) continue;
    const size_t source_at = forward ? done : 0;
    scalar::UnpackR64Depth24(
        Rest(row.source + source_at, row.destination + 2 * done, (bytes - done) / 2),
        lower_source + r * rows.source_stride + source_at, order);
  }
}

#endif

}  // namespace penstock::ingest::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::ingest {

HWY_EXPORT(UnpackR64Depth1);
HWY_EXPORT(UnpackR64Depth6);
HWY_EXPORT(UnpackR64Depth12);
HWY_EXPORT(UnpackR64Depth24);

void UnpackR64Depth1(const PixelRows& rows, PixelOrder order) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth1)(rows, order);
}

void UnpackR64Depth6(const PixelRows& rows, PixelOrder order) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth6)(rows, order);
}

void UnpackR64Depth12(const PixelRows& rows, PixelOrder order) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth12)(rows, order);
}

void UnpackR64Depth24(const PixelRows& rows, const std::byte* lower_source, PixelOrder order) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth24)(rows, lower_source, order);
}

}  // namespace penstock::ingest
#endif
