// What a FrameView knows; shared by the files that implement it.

#ifndef PENSTOCK_READER_VIEW_FRAME_VIEW_STATE_H_
#define PENSTOCK_READER_VIEW_FRAME_VIEW_STATE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "penstock/reader/frame_view.h"

namespace penstock {

struct FrameView::State {
  // A pixel whose own value is not to be used: the mean of others in its place, 0 where none are.
  struct Replaced {
    int64_t pixel = 0;
    size_t first_source = 0;
    size_t source_count = 0;
  };

  DatasetShape stored;
  DatasetShape seen;
  ElementType work = ElementType::kUint16;  // of corrected and moved pixels
  PixelWindow window;                       // within the frame
  int64_t bin = 1;
  std::vector<double> dark;  // one per stored pixel, or empty
  std::vector<double> gain;
  FrameShifts shifts;
  bool whole_shifts = true;
  std::vector<Replaced> replaced;    // by rising pixels
  std::vector<size_t> row_replaced;  // where those of each row begin, and the end
  std::vector<int64_t> sources;
  bool has_dead = false;
  std::shared_ptr<const std::vector<uint8_t>> good_pixels;  // of the seen frame

  bool has_correction() const { return !dark.empty() || !gain.empty() || has_dead; }
  bool has_shifts() const { return !shifts.rows.empty(); }
  std::span<const int64_t> SourcesOf(const Replaced& pixel) const {
    return std::span(sources).subspan(pixel.first_source, pixel.source_count);
  }
};

}  // namespace penstock

#endif  // PENSTOCK_READER_VIEW_FRAME_VIEW_STATE_H_
