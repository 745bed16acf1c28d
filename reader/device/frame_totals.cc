#include "reader/device/frame_totals.h"

#include <algorithm>

namespace penstock {

static_assert(sizeof(int64_t) == sizeof(double));

Result<FrameTotals> FrameTotals::Make(const DeviceContext& context, bool integer,
                                      const std::vector<int64_t>& first, int64_t partial_count) {
  FrameTotals totals;
  totals.integer_ = integer;
  totals.partial_count_ = partial_count;
  totals.runs_ = static_cast<int64_t>(first.size()) - 1;
  totals.valid_.resize(static_cast<size_t>(context.plan.partition_frames));
  PENSTOCK_ASSIGN_OR_RETURN(
      totals.first_, Upload(context.device, first.data(), first.size() * sizeof first.front()));
  const auto bytes = [](int64_t frames, int64_t values) {
    return static_cast<size_t>(frames) * static_cast<size_t>(values) * sizeof(int64_t);
  };
  PENSTOCK_ASSIGN_OR_RETURN(totals.partials_,
                            context.device.Allocate(bytes(context.batch_frames, partial_count)));
  PENSTOCK_ASSIGN_OR_RETURN(
      totals.totals_,
      FetchedMemory::Make(context.device, bytes(context.plan.partition_frames, totals.runs_)));
  return totals;
}

Status FrameTotals::Begin(DeviceStream& stream, const Partition& partition) {
  first_frame_ = partition.frames.first;
  std::ranges::fill(valid_, uint8_t{0});
  return totals_.Clear(stream);
}

Status FrameTotals::Add(DeviceStream& stream, const StagedBatch& batch) {
  const int64_t first = batch.first_frame - first_frame_;
  std::copy_n(batch.valid, batch.frames.frame_count, valid_.begin() + first);
  return stream.Launch(RunSumsCall{
      .integer = integer_,
      .partials = partials_.get(),
      .partial_count = partial_count_,
      .first = reinterpret_cast<const int64_t*>(first_.get()),
      .runs = runs_,
      .frame_count = batch.frames.frame_count,
      .totals = totals_.on_device() + static_cast<size_t>(first * runs_) * sizeof(int64_t)});
}

FetchedTotals FrameTotals::Get() const {
  const size_t count = valid_.size() * static_cast<size_t>(runs_);
  if (integer_) return {std::span(totals_.As<int64_t>(), count), valid_};
  return {std::span(totals_.As<double>(), count), valid_};
}

}  // namespace penstock
