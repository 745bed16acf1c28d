// Sums over frames, pixel by pixel, on a device.

#ifndef PENSTOCK_READER_DEVICE_PIXEL_FORM_H_
#define PENSTOCK_READER_DEVICE_PIXEL_FORM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "reader/device/device_form.h"

namespace penstock {

// Sums over the valid frames of a partition.
struct FetchedSums {
  int64_t frames = 0;
  std::span<const uint64_t> integers{};  // of integer data, modulo 2^64
  std::span<const double> doubles{};     // of other data
};
using StoreSums = std::function<void(Reduction::State& state, const FetchedSums& sums)>;
Result<std::unique_ptr<DeviceForm>> MakeSumForm(const DeviceContext& context, StoreSums store);

// The first two moments: of unsigned data of 8 and 16 bits exact sums and sums of squares; of other
// data about the first valid frame of the partition.
struct FetchedMoments {
  int64_t frames = 0;
  std::span<const uint64_t> exact_sums{};
  std::span<const uint64_t> exact_squares{};
  std::span<const double> shift{};
  std::span<const double> sums{};
  std::span<const double> squares{};
};
using StoreMoments = std::function<void(Reduction::State& state, const FetchedMoments& moments)>;
Result<std::unique_ptr<DeviceForm>> MakeMomentForm(const DeviceContext& context,
                                                   StoreMoments store);

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_PIXEL_FORM_H_
