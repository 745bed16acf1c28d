// Device: what penstock needs of a GPU: memory, streams, events, and its kernels by name.
//
// Implemented over the CUDA runtime in reader/cuda, and in plain C++ for the tests. Device, and
// different streams of it, may be used from several threads; one stream by one thread at a time.

#ifndef PENSTOCK_READER_DEVICE_DEVICE_H_
#define PENSTOCK_READER_DEVICE_DEVICE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "penstock/base/result.h"
#include "penstock/reader/device.h"
#include "reader/device/kernel_call.h"

namespace penstock {

// Given back when it goes. Of a device's own memory only the device may follow the pointer.
using DeviceMemory = std::unique_ptr<std::byte, std::function<void(std::byte*)>>;

// A place in the work of a stream.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  // Until everything before the place is done; at once where the event was never recorded.
  virtual Status Wait() = 0;
};

// Work that is done in order, some time after it was asked for. An error may belong to any earlier
// call. Memory that a call names must stay until the work is done.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  // From and to pinned memory.
  virtual Status CopyToDevice(std::byte* to, const std::byte* from, size_t bytes) = 0;
  virtual Status CopyToHost(std::byte* to, const std::byte* from, size_t bytes) = 0;
  virtual Status Clear(std::byte* memory, size_t bytes) = 0;
  virtual Status Launch(const KernelCall& call) = 0;
  virtual Status Record(DeviceEvent& event) = 0;
  // What is asked of this stream from now on comes after the event.
  virtual Status WaitFor(DeviceEvent& event) = 0;
  // The calling thread waits until everything is done.
  virtual Status Wait() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string Name() const = 0;
  // At least 256-byte aligned, of any content. kNoSpace where there is not so much.
  virtual Result<DeviceMemory> Allocate(size_t bytes) = 0;
  // Host memory that copies need not be staged for, zeroed.
  virtual Result<DeviceMemory> AllocatePinned(size_t bytes) = 0;
  virtual Result<std::unique_ptr<DeviceStream>> MakeStream() = 0;
  virtual Result<std::unique_ptr<DeviceEvent>> MakeEvent() = 0;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_DEVICE_H_
