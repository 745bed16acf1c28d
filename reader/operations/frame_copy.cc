#include "penstock/reader/frame_copy.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace penstock {

namespace {

struct NoState final : Reduction::State {};

}  // namespace

FrameCopyReduction::FrameCopyReduction(std::span<std::byte> to, std::vector<uint8_t> selection)
    : to_(to), selection_(std::move(selection)) {}
FrameCopyReduction::~FrameCopyReduction() = default;

Status FrameCopyReduction::Begin(const PassPlan& plan) {
  if (selection_.size() != static_cast<size_t>(plan.shape.frame_count())) {
    return Error::InvalidArgument("the selection of frames does not fit the scan")
        .Expected(fmt::format("{} entries", plan.shape.frame_count()))
        .Found(fmt::format("{}", selection_.size()));
  }
  frame_bytes_ = static_cast<size_t>(plan.shape.frame_bytes());
  places_.assign(selection_.size(), -1);
  int64_t wanted = 0;
  for (size_t f = 0; f < selection_.size(); ++f) {
    if (selection_[f] != 0) places_[f] = wanted++;
  }
  if (to_.size() != static_cast<size_t>(wanted) * frame_bytes_) {
    return Error::InvalidArgument("the memory for the frames has another size than they")
        .Expected(fmt::format("{} bytes", static_cast<size_t>(wanted) * frame_bytes_))
        .Found(fmt::format("{}", to_.size()));
  }
  return Status::Ok();
}

std::unique_ptr<Reduction::State> FrameCopyReduction::MakeState() const {
  return std::make_unique<NoState>();
}

void FrameCopyReduction::BeginPartition(State&, const Partition&) const {}

void FrameCopyReduction::Process(State&, const Tile& tile) const {
  const size_t element = ElementSize(tile.element_type);
  for (int64_t f = 0; f < tile.frame_count; ++f) {
    const int64_t place = places_[static_cast<size_t>(tile.first_frame + f)];
    if (tile.valid[f] == 0 || place < 0) continue;
    std::memcpy(to_.data() + static_cast<size_t>(place) * frame_bytes_ +
                    static_cast<size_t>(tile.first_pixel) * element,
                tile.pixels + static_cast<size_t>(f) * tile.frame_stride,
                static_cast<size_t>(tile.pixel_count) * element);
  }
}

void FrameCopyReduction::Merge(State&, const Partition&) {}

}  // namespace penstock
