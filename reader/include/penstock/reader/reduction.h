// Reduction: the extension point of the reader. Every operation, built-in or not, is a Reduction,
// and any number of them share one pass over the frames.
//
// A pass cuts the dataset into partitions (runs of frames of one block) and those into tiles (some
// frames x some pixels) that fit the L2 cache. Workers take partitions; each brings its own State.
// Partitions are merged strictly in order, so a result depends on neither the number of threads nor
// their timing. Only where all reductions of a pass are order-free (or the caller allows it) are
// they merged as they are done.
//
//   class Brightest final : public Reduction {
//     struct Mine final : State { uint16_t maximum = 0; };
//     ...
//     void Process(State& state, const Tile& tile) const override {
//       for (int64_t f = 0; f < tile.frame_count; ++f) {
//         if (tile.valid[f]) { ... tile.Frame<uint16_t>(f) ... }
//       }
//     }
//   };

#ifndef PENSTOCK_READER_REDUCTION_H_
#define PENSTOCK_READER_REDUCTION_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/geometry.h"

namespace penstock {

class FrameView;

// A run of frames that one worker processes.
struct Partition {
  int64_t index = 0;
  int64_t block = 0;
  FrameRange frames;  // dataset-wide
};

// What a reduction may rely on during one pass.
struct PassPlan {
  DatasetShape shape;
  int64_t tile_frames = 0;  // at most so many frames in one tile
  int64_t tile_pixels = 0;  // in every tile but the last ones of a frame; a multiple of 256
                            // (Reduction::WantsWholeFrames: no less than a frame has)
  int64_t partition_count = 0;
  int64_t partition_frames = 0;  // at most so many frames in one partition
  // One per detector pixel: 0 where the dataset's pixel_mask says that it is not to be used. Null:
  // all are good. Weights of other pixels count as 0; results per pixel are 0 there, or NaN.
  std::shared_ptr<const std::vector<uint8_t>> good_pixels = {};
  // `shape` is that of the frames as they are seen (penstock/reader/frame_view.h). Null: the tiles
  // are, too. Otherwise this reduction folds the view into what it does, and the tiles, tile_pixels
  // included, are of frames as they are stored; good_pixels remain those of the seen frame.
  std::shared_ptr<const FrameView> view = {};
  // Pixel p of the tiles is pixel (*pixel_order)[p] of the frame; null: they are in C order. Only
  // where all reductions of the pass take any order.
  std::shared_ptr<const std::vector<uint32_t>> pixel_order = {};
  // Not 0: the pixels are packed and come as PackedTile, not as Tile: in that order, which is not
  // null then, in runs of so many places, but for the last one of a frame. Only where all
  // reductions of the pass take them.
  int64_t packed_run = 0;
};

// Pixels [first_pixel, first_pixel + pixel_count) of frames [first_frame, first_frame +
// frame_count), where they were read or mapped: nothing is copied. Aligned to the element size.
// Within a partition the tiles of a group of frames come with rising pixels, then the next frames.
struct Tile {
  ElementType element_type = ElementType::kUint16;
  const std::byte* pixels = nullptr;  // the first pixel of the first frame
  size_t frame_stride = 0;            // bytes
  int64_t first_frame = 0;            // dataset-wide
  int64_t frame_count = 0;
  int64_t first_pixel = 0;
  int64_t pixel_count = 0;
  // One per frame of the tile: 0 where image_key says that the frame is not to be used. Its pixels
  // are readable (usually zero) but mean nothing.
  const uint8_t* valid = nullptr;

  template <typename T>
  const T* Frame(int64_t frame) const {
    return reinterpret_cast<const T*>(pixels + static_cast<size_t>(frame) * frame_stride);
  }
};

// The same of pixels that are packed 12 bits each, two in three bytes, the first one in the low
// bits (K2 IS, docs/formats/k2is.md): some of the runs that PassPlan::packed_run speaks of.
struct PackedTile {
  // [run][frame]: its first pixel. Any alignment; no byte behind the last pixel of a run may be
  // read.
  const std::byte* const* frames = nullptr;
  int64_t first_frame = 0;  // dataset-wide
  int64_t frame_count = 0;
  int64_t first_run = 0;
  int64_t run_count = 0;
  const uint8_t* valid = nullptr;  // as Tile has it
};

class DeviceForm;  // reader/device/device_form.h
struct DeviceContext;

// Life of one pass: Begin, then from several workers BeginPartition, Process, ..., Merge. What a
// subclass offers as its result may be read after the pass, and in the pass's callbacks for the
// frames that are done.
class Reduction {
 public:
  // What one worker collects over one partition.
  class State {
   public:
    virtual ~State() = default;
  };

  virtual ~Reduction() = default;

  // True where partitions may be merged in any order without a difference to the result: values
  // per frame, exact sums. May depend on what Begin was told.
  virtual bool IsOrderFree() const { return false; }
  // Asked before Begin where frames are seen through a view: true where the reduction wants them as
  // they are stored and brings the view into its result itself (PassPlan::view).
  virtual bool FoldsView(const FrameView&) const { return false; }

  // Asked before Begin: true where the reduction heeds PassPlan::pixel_order.
  virtual bool TakesPixelOrder() const { return false; }
  // The same for pixels that remain packed (PassPlan::packed_run); who takes them takes any order.
  virtual bool TakesPackedPixels() const { return false; }

  // Asked before Begin, with the plan that it would be given: true where every tile must hold whole
  // frames, as PassPlan::tile_pixels then says. They leave the processor's cache sooner.
  virtual bool WantsWholeFrames(const PassPlan&) const { return false; }

  // Checks that the operation can work on this dataset, forgets earlier results and allocates the
  // new ones.
  virtual Status Begin(const PassPlan& plan) = 0;
  // Called a few times more often than there are workers; states are reused.
  virtual std::unique_ptr<State> MakeState() const = 0;
  // Empties the state. Like Process called from several threads, on different states.
  virtual void BeginPartition(State& state, const Partition& partition) const = 0;
  virtual void Process(State& state, const Tile& tile) const = 0;
  // In the place of Process where TakesPackedPixels. By default it ends the program.
  virtual void ProcessPacked(State& /*state*/, const PackedTile& /*tile*/) const { std::abort(); }
  // Takes what the state has collected into the result. One call at a time, in order of the
  // partitions.
  virtual void Merge(State& state, const Partition& partition) = 0;

  // After Begin: what fills a State on a device (penstock/reader/device.h). Null, as it is by
  // default: only processors can.
  virtual Result<std::unique_ptr<DeviceForm>> MakeDeviceForm(const DeviceContext& context) const;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_REDUCTION_H_
