// DeviceForm: a reduction on a device.
//
// What it computes for a partition ends in the same State as on a processor, so that partitions are
// merged in the same way whoever had them.

#ifndef PENSTOCK_READER_DEVICE_DEVICE_FORM_H_
#define PENSTOCK_READER_DEVICE_DEVICE_FORM_H_

#include <cstddef>
#include <cstdint>

#include "penstock/base/result.h"
#include "penstock/reader/reduction.h"
#include "reader/device/device.h"

namespace penstock {

// What a form is made for. The device outlives it.
struct DeviceContext {
  Device& device;
  PassPlan plan;
  int64_t batch_frames = 0;  // at most so many at a time
  size_t frame_stride = 0;   // of staged frames
};

// Some frames of a partition, in the device's memory.
struct StagedBatch {
  StagedFrames frames;
  int64_t first_frame = 0;         // dataset-wide
  const uint8_t* valid = nullptr;  // one per frame, in the host's memory
};

// Of one worker. All but Store ask for work of the stream and don't wait for it.
class DeviceForm {
 public:
  virtual ~DeviceForm() = default;
  // True: the state will be the same, bit by bit, as on a processor.
  virtual bool is_exact() const = 0;
  virtual Status Begin(DeviceStream& stream, const Partition& partition) = 0;
  virtual Status Add(DeviceStream& stream, const StagedBatch& batch) = 0;
  // Brings what was collected to the host.
  virtual Status Fetch(DeviceStream& stream) = 0;
  // After the stream was waited for; `state` is one of the reduction, and empty.
  virtual void Store(Reduction::State& state) = 0;
};

// A copy of `bytes` in the device's memory.
Result<DeviceMemory> Upload(Device& device, const void* from, size_t bytes);

// Memory of the device, and as much of the host's to fetch it to.
class FetchedMemory {
 public:
  static Result<FetchedMemory> Make(Device& device, size_t bytes);
  std::byte* on_device() const { return on_device_.get(); }
  template <typename T>
  const T* As() const {
    return reinterpret_cast<const T*>(on_host_.get());
  }
  Status Clear(DeviceStream& stream) { return stream.Clear(on_device_.get(), bytes_); }
  Status Fetch(DeviceStream& stream) {
    return stream.CopyToHost(on_host_.get(), on_device_.get(), bytes_);
  }

 private:
  DeviceMemory on_device_;
  DeviceMemory on_host_;
  size_t bytes_ = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_DEVICE_FORM_H_
