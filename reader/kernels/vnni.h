#ifndef PENSTOCK_READER_KERNELS_VNNI_H_
#define PENSTOCK_READER_KERNELS_VNNI_H_

namespace penstock::kernels {

// Whether the processor has AVX512_VNNI: products of 16-bit and of 8-bit integers that are added to
// 32-bit sums in one instruction.
bool HasVnni();

// The same for VNNI and AVX512_VBMI: any bytes of a vector in any order in one instruction, too.
bool HasVnniAndVbmi();

// For tests and benchmarks: false, as if it had not. Not thread-safe.
void AllowVnni(bool allowed);

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_VNNI_H_
