// Radial and azimuthal integration: sums of each frame over rings, or over pieces of rings.

#ifndef PENSTOCK_READER_RADIAL_H_
#define PENSTOCK_READER_RADIAL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/mask.h"
#include "penstock/reader/reduction.h"
#include "penstock/reader/result_array.h"

namespace penstock {

// Rings of one width about a centre (coordinates as in mask.h), each cut into sectors of one angle.
// A pixel belongs to the ring and sector that its centre lies in: inner + b * width <= distance <
// inner + (b + 1) * width, with the angle counted from increasing columns towards increasing rows.
struct PolarGrid {
  double centre_row = 0;
  double centre_column = 0;
  double inner = 0;  // pixels
  double outer = 0;  // pixels; 0: up to the corner that is furthest away
  int64_t rings = 256;
  int64_t sectors = 1;
};

// Exact for integer data (int64); float32 data: sums of at most 4096 pixels in float32, then
// float64. A pass needs 8 bytes for each bin of each frame.
class RadialReduction final : public Reduction {
 public:
  // `selection`: pixels with a weight other than 0 count; none: all. kInvalidArgument for a grid
  // that has no width or more than 2^24 bins.
  static Result<std::unique_ptr<RadialReduction>> Create(const PolarGrid& grid,
                                                         std::optional<Mask> selection = {});
  ~RadialReduction() override;

  // (scan rows, scan columns, rings), for a series (frames, rings); with more than one sector
  // (..., sectors, rings). int64 for integer data. Frames that are not valid or not done: 0, or NaN
  // in float64.
  const ResultArray& sums() const;
  // The mean of the pixels of each bin, float64; NaN where there are none.
  ResultArray Means() const;
  // Pixels of each bin, (rings) or (sectors, rings), int64. Known from Begin on.
  ResultArray PixelCounts() const;
  // The middle of each ring in pixels, (rings), float64.
  ResultArray Radii() const;

  bool IsOrderFree() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;
  Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const override;

 private:
  struct Impl;
  explicit RadialReduction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_RADIAL_H_
