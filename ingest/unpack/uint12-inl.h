// How packed uint12 become pixels in a vector; for the kernels of contiguous and of blocked images.

#if defined(PENSTOCK_INGEST_UNPACK_UINT12_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_INGEST_UNPACK_UINT12_INL_H_
#undef PENSTOCK_INGEST_UNPACK_UINT12_INL_H_
#else
#define PENSTOCK_INGEST_UNPACK_UINT12_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace penstock::ingest::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// 12 packed bytes make 8 pixels = 16 bytes: every pixel gets the two bytes that hold it, the even
// ones with four bits too many above, the odd ones with four too many below. Multiplying the even
// ones by 16 and shifting all by 4 clears both, one instruction less than shift, mask and blend.
HWY_ALIGN constexpr uint8_t kPairs[16] = {0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11};
// The same for two blocks whose 24 bytes lie four bytes into a vector of 32: the first block ends
// the lower half, the second begins the upper one, so that nothing has to cross the halves.
HWY_ALIGN constexpr uint8_t kPairsAround[32] = {
    4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11, 12, 13, 14, 14, 15,  //
    0, 1, 1, 2, 3, 4, 4, 5, 6,  7,  7,  8,  9,  10, 10, 11};
HWY_ALIGN constexpr uint16_t kScale[8] = {16, 1, 16, 1, 16, 1, 16, 1};

// Pixels of 16-byte blocks that begin with their 12 packed bytes.
template <class D8, class V8>
HWY_INLINE hn::Vec<D8> PixelsOfPairs(D8 d8, V8 pairs_of_bytes) {
  const hn::Repartition<uint16_t, D8> d16;
  const auto words = hn::BitCast(d16, pairs_of_bytes);
  return hn::BitCast(d8, hn::ShiftRight<4>(hn::Mul(words, hn::LoadDup128(d16, kScale))));
}

#endif

}  // namespace penstock::ingest::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
