// The pixels of some frames, copied into memory of the caller: many frames at once, read and
// verified by all workers of a pass, and seen through its view.

#ifndef PENSTOCK_READER_FRAME_COPY_H_
#define PENSTOCK_READER_FRAME_COPY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/reduction.h"

namespace penstock {

// Nothing is copied of frames that are not valid, or not selected in the pass: the caller fills
// `to` beforehand. Pixels that pixel_mask marks are copied as they are.
class FrameCopyReduction final : public Reduction {
 public:
  // `selection`: one per frame of the scan, other than 0: wanted; the frames stand in `to` in scan
  // order without gaps, with the shape and type of the frames that are seen, C order,
  // little-endian. `to` must outlive the object; its parts are written from several threads. Begin:
  // kInvalidArgument where the selection does not fit the scan, or `to` the frames.
  FrameCopyReduction(std::span<std::byte> to, std::vector<uint8_t> selection);
  ~FrameCopyReduction() override;

  bool IsOrderFree() const override { return true; }
  Status Begin(const PassPlan& plan) override;
  std::unique_ptr<State> MakeState() const override;
  void BeginPartition(State& state, const Partition& partition) const override;
  void Process(State& state, const Tile& tile) const override;
  void Merge(State& state, const Partition& partition) override;

 private:
  std::span<std::byte> to_;
  std::vector<uint8_t> selection_;
  std::vector<int64_t> places_;  // per frame of the scan: which of the wanted ones
  size_t frame_bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_FRAME_COPY_H_
