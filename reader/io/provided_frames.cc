#include "reader/io/provided_frames.h"

#include <algorithm>

namespace penstock {

namespace {

// Of whole frames that are provided at once: with what they are made of, an L2 cache of 2 MiB holds
// them.
constexpr uint64_t kGroupBytes = uint64_t{1} << 20;

}  // namespace

ProvidedFrames::ProvidedFrames(const FrameProvider& provider, const PassPlan& plan, bool whole)
    : provider_(provider),
      image_key_(provider.image_key()),
      element_bytes_(ElementSize(plan.shape.element_type)),
      frame_pixels_(plan.shape.signal.pixel_count()),
      in_pixel_order_(plan.pixel_order != nullptr),
      group_frames_(plan.tile_frames),
      run_pixels_(std::min(plan.tile_pixels, frame_pixels_)),
      cursor_(provider.MakeCursor()) {
  if (provider.pixel_unit() > 0 && !whole) return;
  run_pixels_ = frame_pixels_;
  const auto fit = static_cast<int64_t>(kGroupBytes / plan.shape.frame_bytes());
  if (fit < group_frames_) group_frames_ = std::max<int64_t>(fit, 1);
}

Status ProvidedFrames::Start(const Partition& partition, bool /*alone*/) {
  frames_ = partition.frames;
  next_frame_ = frames_.first;
  next_pixel_ = 0;
  const size_t bytes = static_cast<size_t>(group_frames_ * run_pixels_) * element_bytes_;
  if (pixels_.size() < bytes) {
    PENSTOCK_ASSIGN_OR_RETURN(pixels_, AlignedBuffer::Allocate(bytes));
  }
  return Status::Ok();
}

Result<FrameRun> ProvidedFrames::Next() {
  FrameRun run;
  if (next_pixel_ == frame_pixels_) {
    next_pixel_ = 0;
    next_frame_ = std::min(next_frame_ + group_frames_, frames_.last);
  }
  run.first_frame = next_frame_;
  run.frame_count = std::min(group_frames_, frames_.last - next_frame_);
  if (run.frame_count == 0) return run;
  run.first_pixel = next_pixel_;
  run.pixel_count = std::min(run_pixels_, frame_pixels_ - next_pixel_);
  run.frame_stride = static_cast<size_t>(run.pixel_count) * element_bytes_;
  run.pixels = pixels_.data();
  if (run.first_pixel == 0) {
    valid_.resize(static_cast<size_t>(run.frame_count));
    for (int64_t i = 0; i < run.frame_count; ++i) {
      valid_[static_cast<size_t>(i)] =
          image_key_[static_cast<size_t>(next_frame_ + i)] == 0 ? 1 : 0;
    }
    run.valid = valid_.data();
  }
  PENSTOCK_RETURN_IF_ERROR(cursor_->Read(
      {.frames = {next_frame_, next_frame_ + run.frame_count},
       .first_pixel = run.first_pixel,
       .pixel_count = run.pixel_count,
       .in_pixel_order = in_pixel_order_},
      pixels_.span().first(static_cast<size_t>(run.frame_count) * run.frame_stride), valid_));
  next_pixel_ += run.pixel_count;
  return run;
}

}  // namespace penstock
