// FrameProvider: frames that a pass takes from elsewhere than from a dataset on disk, such as those
// of a vendor's files, decoded on the way.
//
//   class Simulated final : public FrameProvider { ... };
//   const auto summary = RunPass(Simulated(), reductions);

#ifndef PENSTOCK_READER_FRAME_PROVIDER_H_
#define PENSTOCK_READER_FRAME_PROVIDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/block_layout.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"

namespace penstock {

// Thread-safe: all members are const, and every worker has a cursor of its own.
class FrameProvider {
 public:
  // Pixels [first_pixel, first_pixel + pixel_count) of each of some frames, in scan order.
  struct Request {
    FrameRange frames;
    int64_t first_pixel = 0;
    int64_t pixel_count = 0;
    bool in_pixel_order = false;  // they are places in pixel_order()
  };

  // Not thread-safe.
  class Cursor {
   public:
    virtual ~Cursor() = default;
    // Writes what is asked for to `destination`, frame after frame without gaps. `valid` has one
    // entry per frame, 1 where image_key is 0: the request that begins with pixel 0 sets those to 0
    // that turn out not to be usable. Pixels of frames that are not valid mean nothing. Requests
    // for further pixels of the same frames follow that for pixel 0, with rising pixels.
    virtual Status Read(const Request& request, std::span<std::byte> destination,
                        std::span<uint8_t> valid) = 0;

    // Instead of Read, where there is a packed_run(). Takes frames in hand, `valid` as above.
    virtual Status Take(FrameRange /*frames*/, std::span<uint8_t> /*valid*/) {
      return Error::Internal("these frames have no packed pixels");
    }
    // Where run number `run` of some of the frames in hand lies, until others are taken. Those that
    // are not valid need something to point at, too.
    virtual void Locate(FrameRange /*frames*/, int64_t /*run*/,
                        std::span<const std::byte*> /*packed*/) const {}
    // When they have been read: an error where they could not be.
    virtual Status CheckTaken() const { return Status::Ok(); }
  };

  virtual ~FrameProvider() = default;

  virtual const DatasetShape& shape() const = 0;
  // One per frame in scan order, 0 valid: what is known before anything was read.
  virtual const std::vector<int32_t>& image_key() const = 0;
  // As PassPlan::good_pixels.
  virtual std::shared_ptr<const std::vector<uint8_t>> good_pixels() const { return nullptr; }
  // Runs of frames, one after the other over the whole scan, that no partition reaches beyond.
  virtual std::vector<FrameRange> blocks() const { return {{0, shape().frame_count()}}; }
  // For errors: the file.
  virtual std::string name() const = 0;

  // 0: a cursor reads whole frames only. Else any number of pixels that is a multiple of this, so
  // that large frames never lie in memory as a whole.
  virtual int64_t pixel_unit() const { return 0; }
  // Frames and pixels of a tile that suit the provider; 0: any.
  virtual int64_t tile_frames() const { return 0; }
  virtual int64_t tile_pixels() const { return 0; }

  // An order of the pixels of a frame in which they are had sooner than in C order, for passes of
  // reductions that take any (Reduction::TakesPixelOrder): place i holds pixel [i] of the frame.
  // Null: there is none.
  virtual std::shared_ptr<const std::vector<uint32_t>> pixel_order() const { return nullptr; }

  // Not 0: the pixels are had packed, too (PackedTile), in runs of so many places of pixel_order(),
  // an even number; for passes of reductions that take them so (Reduction::TakesPackedPixels).
  virtual int64_t packed_run() const { return 0; }

  virtual std::unique_ptr<Cursor> MakeCursor() const = 0;
};

// One pass over the frames, as Reader::Run makes it over those of a dataset; partitions are in
// order.
Result<PassSummary> RunPass(const FrameProvider& provider, std::span<Reduction* const> reductions,
                            const PassOptions& options = {});

// As Reader::ReadFrame; kNotFound also for a frame that turns out not to be usable.
Result<std::vector<std::byte>> ReadFrame(const FrameProvider& provider, int64_t frame);

}  // namespace penstock

#endif  // PENSTOCK_READER_FRAME_PROVIDER_H_
