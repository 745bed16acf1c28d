// What a pass sees in place of the stored frames: corrected, moved back, cropped and binned, in
// this order (PassOptions::view). Every reduction works on such frames; masks, regions of pixels
// and centres are in the coordinates of the cropped and binned frame.
//
// Values of a seen pixel:
//   corrected = (stored - dark) * gain; a dead pixel is the mean of the corrected pixels around it:
//     of those in the smallest square about it (3 x 3, 5 x 5, ...) that has any which is neither
//     dead nor marked by the dataset's pixel_mask
//   moved(r, c) = corrected(r + row shift, c + column shift) of the frame, by linear interpolation
//     between four pixels where a shift is not whole; what lies beyond the frame is 0
//   cropped: the pixels of a window; binned: the sum over N x N of them
//
// Their type, and what is exact:
//   integer data of 8 and 16 bits stay integer (exact) where the dark values and all shifts are
//     whole numbers and there is neither gain nor dead pixel; otherwise they become float32
//   integer data of 32 bits keep their type where they are only moved by whole pixels and cropped,
//     and become float64 otherwise (exact below 2^53 under the conditions above)
//   float32 and float64 keep their type; sums of a bin are taken in it
// Linear operations (masks, centres of mass) work on the stored pixels, with the view folded into
// the weights (Reduction::FoldsView), wherever that is exact: for integer data without shifts, and
// for float data without dead pixels and window, whose pixels may hold NaN.
//
// A pixel that pixel_mask marks and `dead` does not stays marked: a bin that has one is left out as
// a whole; with shifts, which move it about, it counts as 0.

#ifndef PENSTOCK_READER_FRAME_VIEW_H_
#define PENSTOCK_READER_FRAME_VIEW_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/geometry.h"
#include "penstock/reader/mask.h"
#include "penstock/reader/sparse_mask.h"

namespace penstock {

// One value per stored pixel, C order; empty: none.
struct FrameCorrection {
  std::vector<double> dark = {};
  std::vector<double> gain = {};
  std::vector<uint8_t> dead = {};  // other than 0: to be interpolated
};

// How far the pattern of every frame lies from where it should, in stored pixels, in scan order.
struct FrameShifts {
  std::vector<double> rows = {};
  std::vector<double> columns = {};
};

// first <= row < last; bounds beyond the frame are cut off.
struct PixelWindow {
  int64_t first_row = 0;
  int64_t last_row = INT64_MAX;
  int64_t first_column = 0;
  int64_t last_column = INT64_MAX;
};

struct FrameViewOptions {
  FrameCorrection correction = {};
  FrameShifts shifts = {};
  PixelWindow crop = {};
  int64_t bin = 1;  // at most 256; the cropped frame is a multiple of it

  // True where frames are seen as they are stored.
  bool is_plain() const;
};

// Immutable, thread-safe.
class FrameView {
 public:
  // `good_pixels`: as PassPlan has them, of the stored frame; null: all. kInvalidArgument where
  // lengths do not fit the dataset, for values that are not finite, an empty window, a bin that
  // does not divide it, and where every pixel is dead; kUnsupported for 64-bit integer and complex
  // data.
  static Result<std::shared_ptr<const FrameView>> Create(
      const DatasetShape& stored, const FrameViewOptions& options,
      const std::shared_ptr<const std::vector<uint8_t>>& good_pixels = nullptr);
  ~FrameView();
  FrameView(const FrameView&) = delete;
  FrameView& operator=(const FrameView&) = delete;

  const DatasetShape& stored() const;
  const DatasetShape& seen() const;
  // Of the seen frame; null: all.
  const std::shared_ptr<const std::vector<uint8_t>>& good_pixels() const;

  // True where a sum over seen pixels is one over stored pixels, the same for every frame.
  bool IsFoldable() const;
  // A mask over stored pixels, and what is to be added to its sums, that give the sums of `seen`
  // over seen pixels. Precondition: IsFoldable, and `seen` is valid and has the seen shape.
  template <typename AMask>
  struct Folded {
    AMask mask;
    double constant = 0;
    double imaginary_constant = 0;
  };
  Folded<Mask> Fold(const Mask& seen) const;
  Folded<SparseMask> Fold(const SparseMask& seen) const;

  struct State;
  const State& state() const { return *state_; }

 private:
  explicit FrameView(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

// The shape of frames seen so, without the rest: errors of Create as far as they concern it.
Result<SignalShape> SeenSignal(SignalShape stored, const FrameViewOptions& options);

// "ROW0:ROW1,COLUMN0:COLUMN1" as in Python, without steps. kInvalidArgument otherwise.
Result<PixelWindow> ParseWindow(std::string_view text, SignalShape signal);
// An .npy file with one number per pixel of a frame. kUnsupported for another shape or type.
Result<std::vector<double>> LoadPixelValues(const std::filesystem::path& npy_file,
                                            SignalShape signal);
// An .npy file of shape (scan rows, scan columns, 2), for a series (frames, 2).
Result<FrameShifts> LoadShifts(const std::filesystem::path& npy_file, ScanShape scan);

}  // namespace penstock

#endif  // PENSTOCK_READER_FRAME_VIEW_H_
