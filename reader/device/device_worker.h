// DeviceWorker: one thread's way to a device: frames are staged in pinned memory, copied and worked
// on by two streams, while the next ones are staged.

#ifndef PENSTOCK_READER_DEVICE_DEVICE_WORKER_H_
#define PENSTOCK_READER_DEVICE_DEVICE_WORKER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/reduction.h"
#include "reader/device/device.h"
#include "reader/device/device_form.h"
#include "reader/io/frame_reader.h"

namespace penstock {

// Not thread-safe. After an error it is of no more use, and the partition is to be done anew.
class DeviceWorker {
 public:
  // Null where a reduction has no form for devices. `batch_bytes`: of each of kSlots buffers, at
  // least one frame. After Begin of the reductions, which must outlive the worker like the device.
  static Result<std::unique_ptr<DeviceWorker>> Make(Device& device, const PassPlan& plan,
                                                    std::span<Reduction* const> reductions,
                                                    size_t batch_bytes);
  ~DeviceWorker();
  DeviceWorker(const DeviceWorker&) = delete;
  DeviceWorker& operator=(const DeviceWorker&) = delete;

  // The results are the same, bit by bit, whoever does which partition.
  bool is_exact() const;

  Status Begin(const Partition& partition);
  // Frames of the partition, rising; taken before it returns. `valid`: one per frame of the
  // dataset.
  Status Add(const FrameRun& run, const uint8_t* valid);
  // Waits, and brings the partition into states that are empty, one per reduction.
  Status Finish(std::span<const std::unique_ptr<Reduction::State>> states);

  // Why a call failed, if one did.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  static constexpr size_t kSlots = 3;  // one is filled, one copied, one worked on

  // A batch of frames and behind them a byte for each that says whether it is valid.
  struct Slot {
    DeviceMemory staged;
    DeviceMemory on_device;
    std::unique_ptr<DeviceEvent> copied;
    std::unique_ptr<DeviceEvent> done;
  };

  DeviceWorker(Device& device, const PassPlan& plan, size_t batch_bytes);
  Status Prepare(std::span<Reduction* const> reductions);
  Status TryAdd(const FrameRun& run, const uint8_t* valid);
  Status TryFinish();
  Status Submit();
  Status Keep(Status status);

  Device& device_;
  const PassPlan plan_;
  const size_t frame_bytes_;
  const size_t frame_stride_;
  const int64_t batch_frames_;
  std::unique_ptr<DeviceStream> copies_;
  std::unique_ptr<DeviceStream> kernels_;
  std::array<Slot, kSlots> slots_;
  std::vector<std::unique_ptr<DeviceForm>> forms_;

  size_t slot_ = 0;  // that is filled
  int64_t first_frame_ = 0;
  int64_t staged_frames_ = 0;
  std::optional<Error> failure_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_DEVICE_WORKER_H_
