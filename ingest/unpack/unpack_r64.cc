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

void UnpackR64Depth1(std::span<const PixelRows> chips) { scalar::UnpackR64Depth1(chips); }
void UnpackR64Depth6(std::span<const PixelRows> chips) { scalar::UnpackR64Depth6(chips); }
void UnpackR64Depth12(std::span<const PixelRows> chips) { scalar::UnpackR64Depth12(chips); }
void UnpackR64Depth24(std::span<const PixelRows> chips) { scalar::UnpackR64Depth24(chips); }

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
  const std::byte* lower_source;
};

// Calls unpack(chip, row) for the first row of every chip, then for the second, and so on.
template <typename Unpack>
HWY_INLINE void ForEachRow(std::span<const PixelRows> chips, Unpack unpack) {
  const size_t row_count = chips.empty() ? 0 : chips.front().row_count;
  for (size_t row = 0; row < row_count; ++row) {
    for (const PixelRows& chip : chips) {
      const size_t offset = row * chip.source_stride;
      unpack(chip, Row{chip.source + offset,
                       chip.destination + static_cast<ptrdiff_t>(row) * chip.destination_stride,
                       chip.lower_source == nullptr ? nullptr : chip.lower_source + offset});
    }
  }
}

// The part of a row that does not fill a vector, as a job for the scalar twin. In a reversed row
// the first source pixels are written last.
PixelRows Rest(const std::byte* source, std::byte* destination, size_t pixels, PixelOrder order) {
  return {.source = source,
          .source_stride = 0,
          .destination = destination,
          .destination_stride = 0,
          .row_count = 1,
          .pixels_per_row = pixels,
          .order = order};
}

// Calls move(offset) for every whole vector of a row of `bytes` bytes, four in a turn while there
// are; returns the number of bytes done.
template <typename Move>
HWY_INLINE size_t ForEachVector(size_t bytes, size_t lanes, Move move) {
  size_t i = 0;
  for (; i + 4 * lanes <= bytes; i += 4 * lanes) {
    move(i);
    move(i + lanes);
    move(i + 2 * lanes);
    move(i + 3 * lanes);
  }
  for (; i + lanes <= bytes; i += lanes) move(i);
  return i;
}

// Depths 6 and 12, whose pixels keep their width: `bytes` is the length of the row on both sides.
// Returns the number of bytes done from the start of the destination.
template <class V>
HWY_INLINE size_t MoveForward(Row row, size_t bytes, V table) {
  const ByteTag d;
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(row.source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
  return ForEachVector(bytes, hn::Lanes(d), [&](size_t at) HWY_ATTR {
    hn::StoreU(hn::TableLookupBytes(hn::LoadU(d, from + at), table), d, to + at);
  });
}

template <class V>
HWY_INLINE size_t MoveReversed(Row row, size_t bytes, V table) {
  const ByteTag d;
  const size_t lanes = hn::Lanes(d);
  const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(row.source);
  auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
  return ForEachVector(bytes, lanes, [&](size_t at) HWY_ATTR {
    const auto words = hn::ReverseBlocks(d, hn::LoadU(d, from + (bytes - lanes - at)));
    hn::StoreU(hn::TableLookupBytes(words, table), d, to + at);
  });
}

// `bytes_per_pixel` is the same on both sides; `twin` takes what does not fill a vector.
template <typename Twin>
HWY_INLINE void MoveWords(std::span<const PixelRows> chips, size_t bytes_per_pixel,
                          const uint8_t* reversed_table, Twin twin) {
  const ByteTag d;
  const auto forward = hn::LoadDup128(d, kReverseWords);
  const auto reversed = hn::LoadDup128(d, reversed_table);
  ForEachRow(chips, [&](const PixelRows& chip, Row row) HWY_ATTR {
    const size_t bytes = bytes_per_pixel * chip.pixels_per_row;
    const bool is_forward = chip.order == PixelOrder::kForward;
    const size_t done =
        is_forward ? MoveForward(row, bytes, forward) : MoveReversed(row, bytes, reversed);
    if (done == bytes) return;
    const PixelRows rest = Rest(is_forward ? row.source + done : row.source, row.destination + done,
                                (bytes - done) / bytes_per_pixel, chip.order);
    twin(std::span(&rest, 1));
  });
}

void UnpackR64Depth6(std::span<const PixelRows> chips) {
  MoveWords(chips, 1, kExchangeWords, scalar::UnpackR64Depth6);
}

void UnpackR64Depth12(std::span<const PixelRows> chips) {
  MoveWords(chips, 2, kExchangeWordsSwap16, scalar::UnpackR64Depth12);
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

void UnpackR64Depth1(std::span<const PixelRows> chips) {
  constexpr size_t kStepPixels = 128;
  constexpr size_t kStepBytes = kStepPixels / 8;
  const ByteTag d;
  const size_t lanes = hn::Lanes(d);
  const auto one = hn::Set(d, uint8_t{1});
  const auto forward_bits = hn::LoadU(d, kForwardBits.bit_of_pixel);    // period 8, the same for
  const auto reversed_bits = hn::LoadU(d, kReversedBits.bit_of_pixel);  // every vector
  ForEachRow(chips, [&](const PixelRows& chip, Row row) HWY_ATTR {
    const bool forward = chip.order == PixelOrder::kForward;
    const uint8_t* byte_of_pixel =
        forward ? kForwardBits.byte_of_pixel : kReversedBits.byte_of_pixel;
    const auto bits = forward ? forward_bits : reversed_bits;
    const size_t bytes = chip.pixels_per_row / 8;
    auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
    size_t done = 0;  // source bytes
    for (; done + kStepBytes <= bytes; done += kStepBytes) {
      const std::byte* from = row.source + (forward ? done : bytes - kStepBytes - done);
      const auto words = hn::LoadDup128(d, reinterpret_cast<const uint8_t*>(from));
      for (size_t pixel = 0; pixel < kStepPixels; pixel += lanes) {
        const auto source_byte = hn::LoadU(d, byte_of_pixel + pixel);
        const auto selected = hn::And(hn::TableLookupBytes(words, source_byte), bits);
        hn::StoreU(hn::Min(selected, one), d, to + done * 8 + pixel);
      }
    }
    if (done == bytes) return;
    const PixelRows rest = Rest(forward ? row.source + done : row.source,
                                row.destination + done * 8, (bytes - done) * 8, chip.order);
    scalar::UnpackR64Depth1(std::span(&rest, 1));
  });
}

// The upper and the lower 12 bits of a vector of pixels, in order, become two vectors.
template <class V8>
HWY_INLINE void StoreDepth24(V8 high, V8 low, uint8_t* HWY_RESTRICT to) {
  const ByteTag d8;
  const hn::Repartition<uint16_t, ByteTag> d16;
  const hn::Half<decltype(d16)> d16_half;
  const hn::Repartition<uint32_t, ByteTag> d32;
  const auto high16 = hn::BitCast(d16, high);
  const auto low16 = hn::BitCast(d16, low);
  const auto first = hn::Add(hn::ShiftLeft<12>(hn::PromoteTo(d32, hn::LowerHalf(d16_half, high16))),
                             hn::PromoteTo(d32, hn::LowerHalf(d16_half, low16)));
  const auto second =
      hn::Add(hn::ShiftLeft<12>(hn::PromoteTo(d32, hn::UpperHalf(d16_half, high16))),
              hn::PromoteTo(d32, hn::UpperHalf(d16_half, low16)));
  hn::StoreU(hn::BitCast(d8, first), d8, to);
  hn::StoreU(hn::BitCast(d8, second), d8, to + hn::Lanes(d8));
}

void UnpackR64Depth24(std::span<const PixelRows> chips) {
  const ByteTag d8;
  const size_t lanes = hn::Lanes(d8);
  const auto forward_table = hn::LoadDup128(d8, kReverseWords);
  const auto reversed_table = hn::LoadDup128(d8, kExchangeWordsSwap16);
  ForEachRow(chips, [&](const PixelRows& chip, Row row) HWY_ATTR {
    const bool forward = chip.order == PixelOrder::kForward;
    const size_t bytes = 2 * chip.pixels_per_row;  // of one half frame
    const auto* HWY_RESTRICT upper = reinterpret_cast<const uint8_t*>(row.source);
    const auto* HWY_RESTRICT lower = reinterpret_cast<const uint8_t*>(row.lower_source);
    auto* HWY_RESTRICT to = reinterpret_cast<uint8_t*>(row.destination);
    size_t done = 0;
    if (forward) {
      for (; done + lanes <= bytes; done += lanes) {
        StoreDepth24(hn::TableLookupBytes(hn::LoadU(d8, upper + done), forward_table),
                     hn::TableLookupBytes(hn::LoadU(d8, lower + done), forward_table),
                     to + 2 * done);
      }
    } else {
      for (; done + lanes <= bytes; done += lanes) {
        const size_t at = bytes - lanes - done;
        const auto high = hn::ReverseBlocks(d8, hn::LoadU(d8, upper + at));
        const auto low = hn::ReverseBlocks(d8, hn::LoadU(d8, lower + at));
        StoreDepth24(hn::TableLookupBytes(high, reversed_table),
                     hn::TableLookupBytes(low, reversed_table), to + 2 * done);
      }
    }
    if (done == bytes) return;
    const size_t source_at = forward ? done : 0;
    PixelRows rest =
        Rest(row.source + source_at, row.destination + 2 * done, (bytes - done) / 2, chip.order);
    rest.lower_source = row.lower_source + source_at;
    scalar::UnpackR64Depth24(std::span(&rest, 1));
  });
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

void UnpackR64Depth1(std::span<const PixelRows> chips) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth1)(chips);
}

void UnpackR64Depth6(std::span<const PixelRows> chips) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth6)(chips);
}

void UnpackR64Depth12(std::span<const PixelRows> chips) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth12)(chips);
}

void UnpackR64Depth24(std::span<const PixelRows> chips) {
  HWY_DYNAMIC_DISPATCH(UnpackR64Depth24)(chips);
}

}  // namespace penstock::ingest
#endif
