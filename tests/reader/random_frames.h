// Frames with random pixels, some of them lost, for the tests of operations.

#ifndef PENSTOCK_TESTS_READER_RANDOM_FRAMES_H_
#define PENSTOCK_TESTS_READER_RANDOM_FRAMES_H_

#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "penstock/base/element_type.h"
#include "penstock/dataset/geometry.h"
#include "tests/reader/in_memory_pass.h"

namespace penstock {

template <typename Pixel>
inline constexpr ElementType kTypeOf = ElementType::kUint8;
template <>
inline constexpr ElementType kTypeOf<int8_t> = ElementType::kInt8;
template <>
inline constexpr ElementType kTypeOf<uint16_t> = ElementType::kUint16;
template <>
inline constexpr ElementType kTypeOf<int16_t> = ElementType::kInt16;
template <>
inline constexpr ElementType kTypeOf<uint32_t> = ElementType::kUint32;
template <>
inline constexpr ElementType kTypeOf<int32_t> = ElementType::kInt32;
template <>
inline constexpr ElementType kTypeOf<float> = ElementType::kFloat32;
template <>
inline constexpr ElementType kTypeOf<double> = ElementType::kFloat64;

template <typename Pixel>
struct Frames {
  DatasetShape shape;
  std::vector<Pixel> data;
  std::vector<uint8_t> valid;

  size_t pixels() const { return static_cast<size_t>(shape.signal.pixel_count()); }
  size_t count() const { return static_cast<size_t>(shape.frame_count()); }
  Pixel At(size_t frame, size_t pixel) const { return data[frame * pixels() + pixel]; }
};

// 5 x 7 frames of 37 x 29 pixels (an odd number), of which some are lost: the first one, one in the
// middle, and a run.
template <typename Pixel>
Frames<Pixel> MakeFrames() {
  Frames<Pixel> frames;
  frames.shape = {{5, 7, false}, {37, 29}, kTypeOf<Pixel>};
  frames.data.resize(frames.count() * frames.pixels());
  frames.valid.assign(frames.count(), 1);
  for (const size_t lost : {0, 12, 20, 21, 22}) frames.valid[lost] = 0;
  std::mt19937_64 random(42);
  if constexpr (std::is_integral_v<Pixel>) {
    std::uniform_int_distribution<int64_t> values(std::numeric_limits<Pixel>::min(),
                                                  std::numeric_limits<Pixel>::max());
    for (Pixel& value : frames.data) value = static_cast<Pixel>(values(random));
  } else {
    std::lognormal_distribution<double> values(0, 1);
    for (Pixel& value : frames.data) value = static_cast<Pixel>(values(random) + 100);
  }
  return frames;
}

inline const std::vector<PassCut> kCuts = {
    {32, 1 << 20, 1 << 20}, {4, 256, 8}, {3, 512, 9}, {1, 256, 1}};

}  // namespace penstock

#endif  // PENSTOCK_TESTS_READER_RANDOM_FRAMES_H_
