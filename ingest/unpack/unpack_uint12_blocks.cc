// SIMD kernel for blocks of packed uint12, 16 pixels wide, that lie side by side in the image.
//
// The rows of an image are 4 KiB apart, so that writing one block after the other would put all its
// rows into the same set of the cache. Row by row over all blocks of a strip, the writes are one
// run, and what is read (some hundred KiB) stays in the second-level cache.

#include "ingest/unpack/unpack.h"
#include "ingest/unpack/unpack_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ingest/unpack/unpack_uint12_blocks.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace penstock::ingest::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void UnpackUint12Blocks(const Uint12Blocks& blocks) { scalar::UnpackUint12Blocks(blocks); }

#else

using ByteTag = hn::FixedTag<uint8_t, 16>;

// 12 packed bytes make 8 pixels. A row of 24 bytes is two overlapping loads of 16, so that no byte
// outside it is read: pixels 0 to 7 are in the first 12 bytes of the first, 8 to 15 in the last 12
// of the second.
HWY_ALIGN constexpr uint8_t kFirstPairs[16] = {0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11};
HWY_ALIGN constexpr uint8_t kLastPairs[16] = {4,  5,  5,  6,  7,  8,  8,  9,
                                              10, 11, 11, 12, 13, 14, 14, 15};

void UnpackUint12Blocks(const Uint12Blocks& blocks) {
  const ByteTag d8;
  const hn::Repartition<uint16_t, ByteTag> d16;
  const auto first_pairs = hn::Load(d8, kFirstPairs);
  const auto last_pairs = hn::Load(d8, kLastPairs);
#if HWY_TARGET <= HWY_AVX2
  const hn::Twice<ByteTag> d8_row;
  const hn::Repartition<uint16_t, decltype(d8_row)> d16_row;
  const auto row_pairs = hn::Combine(d8_row, last_pairs, first_pairs);
  const auto row_low_bits = hn::Set(d16_row, uint16_t{0x0FFF});
#else
  const auto low_bits = hn::Set(d16, uint16_t{0x0FFF});
#endif
  for (size_t row = 0; row < blocks.row_count; ++row) {
    const size_t at = row * Uint12Blocks::kRowBytes;
    auto* HWY_RESTRICT to =
        reinterpret_cast<uint8_t*>(blocks.destination + row * blocks.destination_stride);
    for (size_t block = 0; block < blocks.block_count; ++block, to += Uint12Blocks::kImageBytes) {
      const auto* HWY_RESTRICT from = reinterpret_cast<const uint8_t*>(blocks.blocks[block]) + at;
      const auto first = hn::LoadU(d8, from);
      const auto last = hn::LoadU(d8, from + 8);
#if HWY_TARGET <= HWY_AVX2
      const auto words =
          hn::BitCast(d16_row, hn::TableLookupBytes(hn::Combine(d8_row, last, first), row_pairs));
      const auto pixels = hn::OddEven(hn::ShiftRight<4>(words), hn::And(words, row_low_bits));
      hn::StoreU(hn::BitCast(d8_row, pixels), d8_row, to);
#else
      const auto words0 = hn::BitCast(d16, hn::TableLookupBytes(first, first_pairs));
      const auto words1 = hn::BitCast(d16, hn::TableLookupBytes(last, last_pairs));
      const auto pixels0 = hn::OddEven(hn::ShiftRight<4>(words0), hn::And(words0, low_bits));
      const auto pixels1 = hn::OddEven(hn::ShiftRight<4>(words1), hn::And(words1, low_bits));
      hn::StoreU(hn::BitCast(d8, pixels0), d8, to);
      hn::StoreU(hn::BitCast(d8, pixels1), d8, to + 16);
#endif
    }
  }
}

#endif

}  // namespace penstock::ingest::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::ingest {

HWY_EXPORT(UnpackUint12Blocks);

void UnpackUint12Blocks(const Uint12Blocks& blocks) {
  HWY_DYNAMIC_DISPATCH(UnpackUint12Blocks)(blocks);
}

}  // namespace penstock::ingest
#endif
