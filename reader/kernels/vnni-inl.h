// The instructions of AVX512_VNNI, for code that HasVnni() (kernels/vnni.h) chooses at run time.
// Included once per instruction set.

#if defined(PENSTOCK_READER_KERNELS_VNNI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PENSTOCK_READER_KERNELS_VNNI_INL_H_
#undef PENSTOCK_READER_KERNELS_VNNI_INL_H_
#else
#define PENSTOCK_READER_KERNELS_VNNI_INL_H_
#endif

#include <hwy/highway.h>

// Highway's targets do not tell AVX-512 with VNNI from AVX-512 without: such kernels are compiled
// in both ways.
#undef PENSTOCK_KERNELS_WITH_VNNI
#define PENSTOCK_KERNELS_WITH_VNNI (HWY_TARGET == HWY_AVX3)

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

#if PENSTOCK_KERNELS_WITH_VNNI

// As text, since the compiler has these instructions only for code that always requires them.

// sum += the products of two signed words in each lane of 32 bits.
HWY_INLINE void AddProductsOfWords(__m512i x, __m512i y, __m512i& sum) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
}

// sum += the products of four unsigned with four signed bytes in each lane of 32 bits.
HWY_INLINE void AddProductsOfBytes(__m512i unsigned_bytes, __m512i signed_bytes, __m512i& sum) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_bytes), "v"(signed_bytes));
}

#endif  // PENSTOCK_KERNELS_WITH_VNNI

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
