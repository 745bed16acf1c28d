// How a stack of masks lies in a device's memory: in the order in which the threads of a block read
// it. Known to the kernel and to who packs the weights.
//
// A unit is what a thread loads of a frame at once, 16 bytes; a chunk is the units whose weights,
// for one group of masks, a block keeps in shared memory. The weights of a unit are several vectors
// of 16 bytes: vector v of all units of the chunk, then vector v + 1.

#ifndef PENSTOCK_READER_DEVICE_KERNELS_MASK_LAYOUT_H_
#define PENSTOCK_READER_DEVICE_KERNELS_MASK_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "reader/device/kernels/execution.h"

namespace penstock::device_kernels {

template <typename AnyPixel, typename AnyWeight>
struct MaskLayout {
  using Pixel = AnyPixel;
  using Weight = AnyWeight;
  static constexpr bool kBytes = std::is_same_v<Weight, int8_t>;
  // What a thread adds up in, and what a block does.
  using Sum = std::conditional_t<kBytes, int32_t, Weight>;
  using Total = std::conditional_t<std::is_integral_v<Weight>, int64_t, double>;

  static constexpr int kUnitPixels = 16 / static_cast<int>(sizeof(Pixel));
  static constexpr bool kWide = sizeof(Weight) == 8;
  static constexpr int kMasks = kWide || (!kBytes && sizeof(Pixel) == 1) ? 4 : 8;  // of a group
  static constexpr int kFrames = kWide ? 4 : 8;                                    // of a group
  static constexpr int kChunkBytes = 32768;
  static constexpr int kUnitBytes = kUnitPixels * kMasks * static_cast<int>(sizeof(Weight));
  static constexpr int kUnits = kChunkBytes / kUnitBytes;
  static constexpr int kChunkPixels = kUnits * kUnitPixels;
  static constexpr int kVectors = kUnitBytes / 16;
  static constexpr int kThreads = 128;

  // Bytes from the begin of the chunk of the group. With weights of 8 bits four pixels of a mask
  // share a word; otherwise the masks of a pixel are neighbours.
  PENSTOCK_ON_BOTH static size_t OffsetOf(int pixel, int mask) {
    const int unit = pixel / kUnitPixels;
    const int in_unit = pixel % kUnitPixels;
    int vector = 0, byte = 0;
    if constexpr (kBytes) {
      vector = in_unit / 4 * (kMasks / 4) + mask / 4;
      byte = mask % 4 * 4 + in_unit % 4;
    } else {
      constexpr int kPerVector = 16 / static_cast<int>(sizeof(Weight));
      vector = in_unit * (kMasks / kPerVector) + mask / kPerVector;
      byte = mask % kPerVector * static_cast<int>(sizeof(Weight));
    }
    return (static_cast<size_t>(vector) * kUnits + static_cast<size_t>(unit)) * 16 +
           static_cast<size_t>(byte);
  }
};

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_DEVICE_KERNELS_MASK_LAYOUT_H_
