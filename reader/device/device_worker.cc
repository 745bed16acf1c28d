#include "reader/device/device_worker.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace penstock {

namespace {

constexpr size_t kFrameAlignment = 16;  // what the kernels load at once

size_t RoundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

DeviceWorker::DeviceWorker(Device& device, const PassPlan& plan, size_t batch_bytes)
    : device_(device),
      plan_(plan),
      frame_bytes_(static_cast<size_t>(plan.shape.frame_bytes())),
      frame_stride_(RoundUp(frame_bytes_, kFrameAlignment)),
      batch_frames_(std::clamp(static_cast<int64_t>(batch_bytes / frame_stride_), int64_t{1},
                               plan.partition_frames)) {}

// What was asked for may still be under way in memory that goes now.
DeviceWorker::~DeviceWorker() {
  if (copies_) static_cast<void>(copies_->Wait());
  if (kernels_) static_cast<void>(kernels_->Wait());
}

Result<std::unique_ptr<DeviceWorker>> DeviceWorker::Make(Device& device, const PassPlan& plan,
                                                         std::span<Reduction* const> reductions,
                                                         size_t batch_bytes) {
  std::unique_ptr<DeviceWorker> worker(new DeviceWorker(device, plan, batch_bytes));
  PENSTOCK_RETURN_IF_ERROR(worker->Prepare(reductions));
  if (worker->forms_.size() != reductions.size()) return std::unique_ptr<DeviceWorker>();
  return worker;
}

Status DeviceWorker::Prepare(std::span<Reduction* const> reductions) {
  const DeviceContext context{device_, plan_, batch_frames_, frame_stride_};
  for (const Reduction* const reduction : reductions) {
    PENSTOCK_ASSIGN_OR_RETURN(auto form, reduction->MakeDeviceForm(context));
    if (form == nullptr) return Status::Ok();
    forms_.push_back(std::move(form));
  }
  PENSTOCK_ASSIGN_OR_RETURN(copies_, device_.MakeStream());
  PENSTOCK_ASSIGN_OR_RETURN(kernels_, device_.MakeStream());
  const size_t bytes = static_cast<size_t>(batch_frames_) * (frame_stride_ + 1);
  for (Slot& slot : slots_) {
    PENSTOCK_ASSIGN_OR_RETURN(slot.staged, device_.AllocatePinned(bytes));
    PENSTOCK_ASSIGN_OR_RETURN(slot.on_device, device_.Allocate(bytes));
    PENSTOCK_ASSIGN_OR_RETURN(slot.copied, device_.MakeEvent());
    PENSTOCK_ASSIGN_OR_RETURN(slot.done, device_.MakeEvent());
  }
  return Status::Ok();
}

bool DeviceWorker::is_exact() const {
  return std::ranges::all_of(forms_, [](const auto& form) { return form->is_exact(); });
}

Status DeviceWorker::Keep(Status status) {
  if (!status.ok() && !failure_) failure_ = status.error();
  return status;
}

Status DeviceWorker::Begin(const Partition& partition) {
  staged_frames_ = 0;
  for (const auto& form : forms_) {
    PENSTOCK_RETURN_IF_ERROR(Keep(form->Begin(*kernels_, partition)));
  }
  return Status::Ok();
}

Status DeviceWorker::Add(const FrameRun& run, const uint8_t* valid) {
  return Keep(TryAdd(run, valid));
}

Status DeviceWorker::TryAdd(const FrameRun& run, const uint8_t* valid) {
  int64_t taken = 0;
  while (taken < run.frame_count) {
    const bool follows = run.first_frame + taken == first_frame_ + staged_frames_;
    if (staged_frames_ > 0 && (!follows || staged_frames_ == batch_frames_)) {
      PENSTOCK_RETURN_IF_ERROR(Submit());
    }
    if (staged_frames_ == 0) {
      first_frame_ = run.first_frame + taken;
      PENSTOCK_RETURN_IF_ERROR(slots_[slot_].done->Wait());
    }
    const int64_t frames = std::min(run.frame_count - taken, batch_frames_ - staged_frames_);
    std::byte* to =
        slots_[slot_].staged.get() + static_cast<size_t>(staged_frames_) * frame_stride_;
    const std::byte* from = run.pixels + static_cast<size_t>(taken) * frame_bytes_;
    if (frame_bytes_ == frame_stride_) {
      std::memcpy(to, from, static_cast<size_t>(frames) * frame_bytes_);
    } else {
      for (int64_t f = 0; f < frames; ++f, to += frame_stride_, from += frame_bytes_) {
        std::memcpy(to, from, frame_bytes_);
      }
    }
    auto* const flags = reinterpret_cast<uint8_t*>(
        slots_[slot_].staged.get() + static_cast<size_t>(batch_frames_) * frame_stride_);
    std::copy_n(valid + run.first_frame + taken, frames, flags + staged_frames_);
    staged_frames_ += frames;
    taken += frames;
  }
  return Status::Ok();
}

// The batch that was staged, to the device, and all kernels over it; on to the next slot.
Status DeviceWorker::Submit() {
  Slot& slot = slots_[slot_];
  const auto count = static_cast<size_t>(staged_frames_);
  const size_t flags = static_cast<size_t>(batch_frames_) * frame_stride_;
  PENSTOCK_RETURN_IF_ERROR(
      copies_->CopyToDevice(slot.on_device.get(), slot.staged.get(), count * frame_stride_));
  PENSTOCK_RETURN_IF_ERROR(
      copies_->CopyToDevice(slot.on_device.get() + flags, slot.staged.get() + flags, count));
  PENSTOCK_RETURN_IF_ERROR(copies_->Record(*slot.copied));
  PENSTOCK_RETURN_IF_ERROR(kernels_->WaitFor(*slot.copied));
  StagedBatch batch;
  batch.frames = {.element_type = plan_.shape.element_type,
                  .pixels = slot.on_device.get(),
                  .frame_stride = frame_stride_,
                  .valid = reinterpret_cast<const uint8_t*>(slot.on_device.get() + flags),
                  .frame_count = staged_frames_};
  batch.first_frame = first_frame_;
  batch.valid = reinterpret_cast<const uint8_t*>(slot.staged.get() + flags);
  for (const auto& form : forms_) PENSTOCK_RETURN_IF_ERROR(form->Add(*kernels_, batch));
  PENSTOCK_RETURN_IF_ERROR(kernels_->Record(*slot.done));
  slot_ = (slot_ + 1) % kSlots;
  staged_frames_ = 0;
  return Status::Ok();
}

Status DeviceWorker::Finish(std::span<const std::unique_ptr<Reduction::State>> states) {
  PENSTOCK_RETURN_IF_ERROR(Keep(TryFinish()));
  for (size_t i = 0; i < forms_.size(); ++i) forms_[i]->Store(*states[i]);
  return Status::Ok();
}

Status DeviceWorker::TryFinish() {
  if (staged_frames_ > 0) PENSTOCK_RETURN_IF_ERROR(Submit());
  for (const auto& form : forms_) PENSTOCK_RETURN_IF_ERROR(form->Fetch(*kernels_));
  return kernels_->Wait();
}

}  // namespace penstock
