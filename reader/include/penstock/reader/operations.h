// The built-in operations. Each object is used in one pass at a time; results are valid until the
// next one. Frames that image_key marks are left out everywhere.
//
// Exactness: integer data (8, 16 and 32 bits) with integer masks gives exact int64 results, as do
// sums. Float data or float masks: float32 products and partial sums over at most 4096 pixels, then
// float64; relative error of the order of 1e-7 of the sum of the absolute terms. 64-bit and complex
// elements are kUnsupported.

#ifndef PENSTOCK_READER_OPERATIONS_H_
#define PENSTOCK_READER_OPERATIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/mask.h"
#include "penstock/reader/reduction.h"
#include "penstock/reader/result_array.h"
#include "penstock/reader/sparse_mask.h"

namespace penstock {

// Sum over the pixels of frame * mask, for every frame and mask: virtual detectors. Stacks that cut
// the frame into few regions of equal weights (disks, rings, segments, however many) are added up
// region by region, others mask by mask. Where pixels are not finite, a mask in which their weight
// is 0 may be NaN or not be touched by them. Sparse masks that have more than one pixel in 16 are
// computed as dense ones; the others touch only the pixels that they have, with products and sums
// in float64, and a pixel without weight may be NaN.
class MaskReduction final : public Reduction {
 public:
  // kInvalidArgument without masks, for masks of different shapes, and what Validate finds.
  static Result<std::unique_ptr<MaskReduction>> Create(std::vector<Mask> masks);
  static Result<std::unique_ptr<MaskReduction>> CreateMixed(std::vector<AnyMask> masks);
  ~MaskReduction() override;

  const std::vector<std::string>& names() const;  // of the masks
  // (masks, scan rows, scan columns), or (masks, frames) for a series. complex128 where a mask is
  // complex; int64 where the data and all masks are integer and no sum can leave int64 (of sparse
  // masks on 8- and 16-bit data: 2^53); otherwise float64. Frames that are not valid or not done
  // yet: 0, or NaN in float64.
  const ResultArray& result() const;

  bool IsOrderFree() const override;
  bool FoldsView(const FrameView& view) const override;
  bool TakesPixelOrder() const override;
  bool TakesPackedPixels() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void ProcessPacked(State& state, const PackedTile& tile) const override;
  void Merge(State& state, const Partition& partition) override;
  Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const override;

 private:
  struct Impl;
  explicit MaskReduction(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The sum over all frames, pixel by pixel.
class SumReduction final : public Reduction {
 public:
  SumReduction();
  ~SumReduction() override;

  // (signal rows, signal columns), int64 for integer data.
  const ResultArray& result() const;
  int64_t frames_summed() const;

  bool IsOrderFree() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;
  Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Mean and standard deviation over all frames, pixel by pixel. 8- and 16-bit data: from exact sums
// and sums of squares. Other types: float64 moments about the first frame of each partition, merged
// pairwise (Chan, Golub, LeVeque 1983), so a large offset costs no digits.
class StatisticsReduction final : public Reduction {
 public:
  StatisticsReduction();
  ~StatisticsReduction() override;

  // (signal rows, signal columns), float64; NaN without frames. Deviation and variance are those of
  // the population (divided by n, as NumPy does).
  ResultArray Mean() const;
  ResultArray Variance() const;
  ResultArray StandardDeviation() const;
  // What SumReduction gives, where it falls off here. After Begin; nothing for other types.
  std::optional<ResultArray> ExactSum() const;
  static bool HasExactSum(ElementType type);  // 8- and 16-bit data without sign
  int64_t frames_seen() const;

  bool IsOrderFree() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;
  Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The smallest and the largest value over all frames, pixel by pixel. NaN in the data is passed
// over.
class ExtremesReduction final : public Reduction {
 public:
  ExtremesReduction();
  ~ExtremesReduction() override;

  // (signal rows, signal columns), float64, which holds every integer of up to 32 bits; NaN without
  // frames, and where the data has nothing but NaN.
  ResultArray Minimum() const;
  ResultArray Maximum() const;
  int64_t frames_seen() const;

  bool IsOrderFree() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Bins of one width from low to high; the last one takes its upper bound in, as NumPy has it.
struct HistogramBins {
  int64_t count = 256;
  double low = 0;
  double high = 0;
};

// How often values occur, over all frames and the pixels of a region. Exact.
class HistogramReduction final : public Reduction {
 public:
  // `region`: pixels with a weight other than 0 count; none: all. kInvalidArgument for bins that
  // are none.
  static Result<std::unique_ptr<HistogramReduction>> Create(const HistogramBins& bins,
                                                            std::optional<Mask> region = {});
  ~HistogramReduction() override;

  ResultArray Edges() const;      // (bins + 1), float64
  ResultArray BinCounts() const;  // (bins), int64
  int64_t below() const;
  int64_t above() const;
  int64_t not_numbers() const;

  bool IsOrderFree() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;

 private:
  struct Impl;
  explicit HistogramReduction(std::unique_ptr<Impl> impl);
  int64_t At(size_t place) const;
  std::unique_ptr<Impl> impl_;
};

// The centre of mass of every frame, in pixels from the centre of pixel (0, 0).
class CentreOfMassReduction final : public Reduction {
 public:
  // `selection`: the pixels that count, with their weights; FullMask for all of them.
  static Result<std::unique_ptr<CentreOfMassReduction>> Create(const Mask& selection);
  ~CentreOfMassReduction() override;

  // Each of the scan's shape, float64. NaN for frames that are not valid or not done yet, and where
  // the weighted sum is zero.
  ResultArray Rows() const;
  ResultArray Columns() const;
  // The weighted sum itself, as MaskReduction gives it.
  ResultArray Intensity() const;

  bool IsOrderFree() const override;
  bool FoldsView(const FrameView& view) const override;
  bool TakesPixelOrder() const override;
  bool TakesPackedPixels() const override;
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void ProcessPacked(State& state, const PackedTile& tile) const override;
  void Merge(State& state, const Partition& partition) override;
  Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const override;

 private:
  explicit CentreOfMassReduction(std::unique_ptr<MaskReduction> moments, SignalShape shape);
  std::unique_ptr<MaskReduction> moments_;  // selection, selection * row, selection * column
  SignalShape shape_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_OPERATIONS_H_
