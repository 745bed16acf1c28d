// The inner loops of another view of frames: corrections and bins. In the manner of kernels.h:
// run-time dispatch, thread-safe, no allocation, any alignment.

#ifndef PENSTOCK_READER_KERNELS_VIEW_KERNELS_H_
#define PENSTOCK_READER_KERNELS_VIEW_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace penstock::kernels {

// out[i] = (pixels[i] - dark[i]) * gain[i], each step rounded to float32.
void Correct(const uint8_t* pixels, const float* dark, const float* gain, size_t count, float* out);
void Correct(const int8_t* pixels, const float* dark, const float* gain, size_t count, float* out);
void Correct(const uint16_t* pixels, const float* dark, const float* gain, size_t count,
             float* out);
void Correct(const int16_t* pixels, const float* dark, const float* gain, size_t count, float* out);
void Correct(const float* pixels, const float* dark, const float* gain, size_t count, float* out);

// out[i] = pixels[i] - dark[i]. The caller sees to it that int32 holds it.
void SubtractDark(const uint8_t* pixels, const int32_t* dark, size_t count, int32_t* out);
void SubtractDark(const int8_t* pixels, const int32_t* dark, size_t count, int32_t* out);
void SubtractDark(const uint16_t* pixels, const int32_t* dark, size_t count, int32_t* out);
void SubtractDark(const int16_t* pixels, const int32_t* dark, size_t count, int32_t* out);

// sums[i] += pixels[i]. The caller sees to it that sums can't overflow.
void AddRow(const uint8_t* pixels, size_t count, uint32_t* sums);
void AddRow(const int8_t* pixels, size_t count, int32_t* sums);
void AddRow(const uint16_t* pixels, size_t count, uint32_t* sums);
void AddRow(const int16_t* pixels, size_t count, int32_t* sums);
void AddRow(const int32_t* pixels, size_t count, int32_t* sums);
void AddRow(const float* pixels, size_t count, float* sums);
void AddRow(const double* pixels, size_t count, double* sums);

// out[i] = (1 - along) * first[i] + along * first[i + 1] + down * (the same of second - that), in
// float32 or float64: linear interpolation between four pixels.
void Interpolate(const float* first, const float* second, float along, float down, size_t count,
                 float* out);
void Interpolate(const double* first, const double* second, double along, double down, size_t count,
                 double* out);

}  // namespace penstock::kernels

#endif  // PENSTOCK_READER_KERNELS_VIEW_KERNELS_H_
