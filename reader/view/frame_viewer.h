// FrameViewer: makes tiles of seen frames from stored ones. One per worker.

#ifndef PENSTOCK_READER_VIEW_FRAME_VIEWER_H_
#define PENSTOCK_READER_VIEW_FRAME_VIEWER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "penstock/reader/frame_view.h"

namespace penstock {

class FrameViewer {
 public:
  // `view` must outlive it.
  static std::unique_ptr<FrameViewer> Make(const FrameView& view);
  virtual ~FrameViewer() = default;

  // Seen pixels [first_pixel, first_pixel + pixel_count) of frame `frame` of the dataset, whose
  // stored pixels are given, to `out`, aligned for the seen type.
  virtual void See(int64_t frame, const std::byte* stored, int64_t first_pixel, int64_t pixel_count,
                   std::byte* out) = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_VIEW_FRAME_VIEWER_H_
