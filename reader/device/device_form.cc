#include "reader/device/device_form.h"

#include <cstring>
#include <utility>

namespace penstock {

Result<std::unique_ptr<DeviceForm>> Reduction::MakeDeviceForm(const DeviceContext&) const {
  return std::unique_ptr<DeviceForm>();
}

Result<DeviceMemory> Upload(Device& device, const void* from, size_t bytes) {
  PENSTOCK_ASSIGN_OR_RETURN(DeviceMemory pinned, device.AllocatePinned(bytes));
  PENSTOCK_ASSIGN_OR_RETURN(DeviceMemory memory, device.Allocate(bytes));
  PENSTOCK_ASSIGN_OR_RETURN(const auto stream, device.MakeStream());
  std::memcpy(pinned.get(), from, bytes);
  const Status copied = stream->CopyToDevice(memory.get(), pinned.get(), bytes);
  const Status done = stream->Wait();
  PENSTOCK_RETURN_IF_ERROR(copied);
  PENSTOCK_RETURN_IF_ERROR(done);
  return memory;
}

Result<FetchedMemory> FetchedMemory::Make(Device& device, size_t bytes) {
  FetchedMemory memory;
  memory.bytes_ = bytes;
  PENSTOCK_ASSIGN_OR_RETURN(memory.on_device_, device.Allocate(bytes));
  PENSTOCK_ASSIGN_OR_RETURN(memory.on_host_, device.AllocatePinned(bytes));
  return memory;
}

}  // namespace penstock
