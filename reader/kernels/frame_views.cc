// Corrections and bins. Plain loops, which the compiler turns into vectors of each instruction set:
// nothing in them needs more than that.

#include <cstddef>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reader/kernels/frame_views.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "reader/kernels/view_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace penstock::kernels {
namespace HWY_NAMESPACE {

template <typename Pixel>
HWY_INLINE void CorrectAll(const Pixel* HWY_RESTRICT pixels, const float* HWY_RESTRICT dark,
                           const float* HWY_RESTRICT gain, size_t count, float* HWY_RESTRICT out) {
  for (size_t i = 0; i < count; ++i) out[i] = (static_cast<float>(pixels[i]) - dark[i]) * gain[i];
}

template <typename Pixel>
HWY_INLINE void SubtractAll(const Pixel* HWY_RESTRICT pixels, const int32_t* HWY_RESTRICT dark,
                            size_t count, int32_t* HWY_RESTRICT out) {
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(pixels[i]) - dark[i];
}

template <typename Pixel, typename Sum>
HWY_INLINE void AddAll(const Pixel* HWY_RESTRICT pixels, size_t count, Sum* HWY_RESTRICT sums) {
  for (size_t i = 0; i < count; ++i) sums[i] += static_cast<Sum>(pixels[i]);
}

template <typename T>
HWY_INLINE void InterpolateAll(const T* HWY_RESTRICT first, const T* HWY_RESTRICT second, T along,
                               T down, size_t count, T* HWY_RESTRICT out) {
  const T back = 1 - along, up = 1 - down;
  for (size_t i = 0; i < count; ++i) {
    out[i] = up * (back * first[i] + along * first[i + 1]) +
             down * (back * second[i] + along * second[i + 1]);
  }
}

void CorrectU8(const uint8_t* pixels, const float* dark, const float* gain, size_t count,
               float* out) {
  CorrectAll(pixels, dark, gain, count, out);
}
void CorrectI8(const int8_t* pixels, const float* dark, const float* gain, size_t count,
               float* out) {
  CorrectAll(pixels, dark, gain, count, out);
}
void CorrectU16(const uint16_t* pixels, const float* dark, const float* gain, size_t count,
                float* out) {
  CorrectAll(pixels, dark, gain, count, out);
}
void CorrectI16(const int16_t* pixels, const float* dark, const float* gain, size_t count,
                float* out) {
  CorrectAll(pixels, dark, gain, count, out);
}
void CorrectF32(const float* pixels, const float* dark, const float* gain, size_t count,
                float* out) {
  CorrectAll(pixels, dark, gain, count, out);
}
void SubtractU8(const uint8_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  SubtractAll(pixels, dark, count, out);
}
void SubtractI8(const int8_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  SubtractAll(pixels, dark, count, out);
}
void SubtractU16(const uint16_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  SubtractAll(pixels, dark, count, out);
}
void SubtractI16(const int16_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  SubtractAll(pixels, dark, count, out);
}
void AddRowU8(const uint8_t* pixels, size_t count, uint32_t* sums) { AddAll(pixels, count, sums); }
void AddRowI8(const int8_t* pixels, size_t count, int32_t* sums) { AddAll(pixels, count, sums); }
void AddRowU16(const uint16_t* pixels, size_t count, uint32_t* sums) {
  AddAll(pixels, count, sums);
}
void AddRowI16(const int16_t* pixels, size_t count, int32_t* sums) { AddAll(pixels, count, sums); }
void AddRowI32(const int32_t* pixels, size_t count, int32_t* sums) { AddAll(pixels, count, sums); }
void AddRowF32(const float* pixels, size_t count, float* sums) { AddAll(pixels, count, sums); }
void AddRowF64(const double* pixels, size_t count, double* sums) { AddAll(pixels, count, sums); }
void InterpolateF32(const float* first, const float* second, float along, float down, size_t count,
                    float* out) {
  InterpolateAll(first, second, along, down, count, out);
}
void InterpolateF64(const double* first, const double* second, double along, double down,
                    size_t count, double* out) {
  InterpolateAll(first, second, along, down, count, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace penstock::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace penstock::kernels {

HWY_EXPORT(CorrectU8);
HWY_EXPORT(CorrectI8);
HWY_EXPORT(CorrectU16);
HWY_EXPORT(CorrectI16);
HWY_EXPORT(CorrectF32);
HWY_EXPORT(SubtractU8);
HWY_EXPORT(SubtractI8);
HWY_EXPORT(SubtractU16);
HWY_EXPORT(SubtractI16);
HWY_EXPORT(AddRowU8);
HWY_EXPORT(AddRowI8);
HWY_EXPORT(AddRowU16);
HWY_EXPORT(AddRowI16);
HWY_EXPORT(AddRowI32);
HWY_EXPORT(AddRowF32);
HWY_EXPORT(AddRowF64);
HWY_EXPORT(InterpolateF32);
HWY_EXPORT(InterpolateF64);

void Correct(const uint8_t* pixels, const float* dark, const float* gain, size_t count,
             float* out) {
  HWY_DYNAMIC_DISPATCH(CorrectU8)(pixels, dark, gain, count, out);
}
void Correct(const int8_t* pixels, const float* dark, const float* gain, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(CorrectI8)(pixels, dark, gain, count, out);
}
void Correct(const uint16_t* pixels, const float* dark, const float* gain, size_t count,
             float* out) {
  HWY_DYNAMIC_DISPATCH(CorrectU16)(pixels, dark, gain, count, out);
}
void Correct(const int16_t* pixels, const float* dark, const float* gain, size_t count,
             float* out) {
  HWY_DYNAMIC_DISPATCH(CorrectI16)(pixels, dark, gain, count, out);
}
void Correct(const float* pixels, const float* dark, const float* gain, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(CorrectF32)(pixels, dark, gain, count, out);
}
void SubtractDark(const uint8_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  HWY_DYNAMIC_DISPATCH(SubtractU8)(pixels, dark, count, out);
}
void SubtractDark(const int8_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  HWY_DYNAMIC_DISPATCH(SubtractI8)(pixels, dark, count, out);
}
void SubtractDark(const uint16_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  HWY_DYNAMIC_DISPATCH(SubtractU16)(pixels, dark, count, out);
}
void SubtractDark(const int16_t* pixels, const int32_t* dark, size_t count, int32_t* out) {
  HWY_DYNAMIC_DISPATCH(SubtractI16)(pixels, dark, count, out);
}
void AddRow(const uint8_t* pixels, size_t count, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowU8)(pixels, count, sums);
}
void AddRow(const int8_t* pixels, size_t count, int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowI8)(pixels, count, sums);
}
void AddRow(const uint16_t* pixels, size_t count, uint32_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowU16)(pixels, count, sums);
}
void AddRow(const int16_t* pixels, size_t count, int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowI16)(pixels, count, sums);
}
void AddRow(const int32_t* pixels, size_t count, int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowI32)(pixels, count, sums);
}
void AddRow(const float* pixels, size_t count, float* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowF32)(pixels, count, sums);
}
void AddRow(const double* pixels, size_t count, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddRowF64)(pixels, count, sums);
}
void Interpolate(const float* first, const float* second, float along, float down, size_t count,
                 float* out) {
  HWY_DYNAMIC_DISPATCH(InterpolateF32)(first, second, along, down, count, out);
}
void Interpolate(const double* first, const double* second, double along, double down, size_t count,
                 double* out) {
  HWY_DYNAMIC_DISPATCH(InterpolateF64)(first, second, along, down, count, out);
}

}  // namespace penstock::kernels
#endif  // HWY_ONCE
