// SIMD kernel for blocks of packed uint12, 16 pixels wide, that lie side by side in the image.
//
// The rows of an image are 4 KiB apart, so that writing one block after the other would put all its
// rows into the same set of the cache. Row by row over all blocks of a strip, the writes are one
// run, and what is read (some hundred KiB) stays in the second-level cache.

#include <hwy/cache_control.h>

#include "ingest/unpack/unpack.h"
#include "ingest/unpack/unpack_scalar.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ingest/unpack/unpack_uint12_blocks.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "ingest/unpack/uint12-inl.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::ingest::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void UnpackUint12Blocks(const Uint12Blocks& blocks) { scalar::UnpackUint12Blocks(blocks); }

#else

// A row of 24 bytes is two overlapping loads of 16, so that no byte outside it is read: pixels 0 to
// 7 are in the first 12 bytes of the first, 8 to 15 in the last 12 of the second.
template <class D16Bytes>
HWY_INLINE void UnpackRow(D16Bytes d8, const uint8_t* HWY_RESTRICT from, uint8_t* HWY_RESTRICT to) {
  const auto first_pairs = hn::Load(d8, kPairs);
  const auto last_pairs = hn::Load(d8, kPairsAround);
  hn::StoreU(PixelsOfPairs(d8, hn::TableLookupBytes(hn::LoadU(d8, from), first_pairs)), d8, to);
  hn::StoreU(PixelsOfPairs(d8, hn::TableLookupBytes(hn::LoadU(d8, from + 8), last_pairs)), d8,
             to + 16);
}

void UnpackUint12Blocks(const Uint12Blocks& blocks) {
  const hn::FixedTag<uint8_t, 16> d8;
#if HWY_TARGET <= HWY_AVX2
  const hn::FixedTag<uint8_t, 32> d8_row;
  const auto pairs = hn::Load(d8_row, kPairsAround);
#endif
  for (size_t row = 0; row < blocks.row_count; ++row) {
    const size_t at = (blocks.first_row + row) * Uint12Blocks::kRowBytes;
    auto* HWY_RESTRICT to =
        reinterpret_cast<uint8_t*>(blocks.destination + row * blocks.destination_stride);
#if HWY_TARGET <= HWY_AVX2
    // Between two rows of the strip, four bytes on either side belong to the block too.
    if (row > 0 && row + 1 < blocks.row_count) {
      for (size_t block = 0; block < blocks.block_count; ++block) {
        const auto* HWY_RESTRICT from =
            reinterpret_cast<const uint8_t*>(blocks.blocks[block]) + at - 4;
        const auto packed = hn::LoadU(d8_row, from);
        if (blocks.prefetch_bytes != 0) hwy::Prefetch(from + blocks.prefetch_bytes);
        hn::StoreU(PixelsOfPairs(d8_row, hn::TableLookupBytes(packed, pairs)), d8_row,
                   to + block * Uint12Blocks::kImageBytes);
      }
      continue;
    }
#endif
    for (size_t block = 0; block < blocks.block_count; ++block) {
      UnpackRow(d8, reinterpret_cast<const uint8_t*>(blocks.blocks[block]) + at,
                to + block * Uint12Blocks::kImageBytes);
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
