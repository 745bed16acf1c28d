// PENSTOCK_UNROLL before a loop over registers: without it g++ 12 keeps arrays of vectors in memory
// and halves the rate of the mask kernels.

#ifndef PENSTOCK_READER_KERNELS_UNROLL_H_
#define PENSTOCK_READER_KERNELS_UNROLL_H_

#if defined(__clang__)
#define PENSTOCK_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define PENSTOCK_UNROLL _Pragma("GCC unroll 16")
#else
#define PENSTOCK_UNROLL
#endif

#endif  // PENSTOCK_READER_KERNELS_UNROLL_H_
