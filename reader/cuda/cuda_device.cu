// Device over the CUDA runtime.

#include <cuda_runtime.h>

#include <cstring>
#include <utility>

#include "reader/cuda/launch.h"
#include "reader/device/device.h"

namespace penstock {

namespace {

Status Check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return Status::Ok();
  static_cast<void>(cudaGetLastError());  // errors that are not sticky are told once
  const ErrorKind kind = result == cudaErrorMemoryAllocation ? ErrorKind::kNoSpace : ErrorKind::kIo;
  return Error(kind, std::string("CUDA: cannot ") + what)
      .Found(std::string(cudaGetErrorName(result)) + ": " + cudaGetErrorString(result));
}

class CudaEvent final : public DeviceEvent {
 public:
  explicit CudaEvent(cudaEvent_t event) : event_(event) {}
  ~CudaEvent() override { static_cast<void>(cudaEventDestroy(event_)); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  Status Wait() override { return Check(cudaEventSynchronize(event_), "wait for an event"); }
  cudaEvent_t get() const { return event_; }

 private:
  const cudaEvent_t event_;
};

// The runtime keeps a current device for each thread; every stream belongs to one.
class CudaStream final : public DeviceStream {
 public:
  CudaStream(int number, cudaStream_t stream) : number_(number), stream_(stream) {}
  ~CudaStream() override { static_cast<void>(cudaStreamDestroy(stream_)); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  Status CopyToDevice(std::byte* to, const std::byte* from, size_t bytes) override {
    return Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_),
                 "copy to the device");
  }
  Status CopyToHost(std::byte* to, const std::byte* from, size_t bytes) override {
    return Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_),
                 "copy from the device");
  }
  Status Clear(std::byte* memory, size_t bytes) override {
    return Check(cudaMemsetAsync(memory, 0, bytes, stream_), "clear memory");
  }
  Status Launch(const KernelCall& call) override {
    PENSTOCK_RETURN_IF_ERROR(Check(cudaSetDevice(number_), "choose the device"));
    const bool known =
        std::visit([this](const auto& one) { return LaunchOnCuda(one, stream_); }, call);
    if (!known) return Error::Internal("there is no CUDA kernel for these types");
    return Check(cudaGetLastError(), "launch a kernel");
  }
  Status Record(DeviceEvent& event) override {
    return Check(cudaEventRecord(static_cast<CudaEvent&>(event).get(), stream_), "record an event");
  }
  Status WaitFor(DeviceEvent& event) override {
    return Check(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).get(), 0),
                 "wait for an event in a stream");
  }
  Status Wait() override { return Check(cudaStreamSynchronize(stream_), "wait for a stream"); }

 private:
  const int number_;
  const cudaStream_t stream_;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int number, std::string name) : number_(number), name_(std::move(name)) {}

  std::string Name() const override { return name_; }

  Result<DeviceMemory> Allocate(size_t bytes) override {
    PENSTOCK_RETURN_IF_ERROR(Choose());
    void* memory = nullptr;
    PENSTOCK_RETURN_IF_ERROR(Check(cudaMalloc(&memory, bytes), "allocate memory of the device"));
    return DeviceMemory(static_cast<std::byte*>(memory),
                        [](std::byte* gone) { static_cast<void>(cudaFree(gone)); });
  }

  Result<DeviceMemory> AllocatePinned(size_t bytes) override {
    PENSTOCK_RETURN_IF_ERROR(Choose());
    void* memory = nullptr;
    PENSTOCK_RETURN_IF_ERROR(
        Check(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable), "allocate pinned memory"));
    std::memset(memory, 0, bytes);
    return DeviceMemory(static_cast<std::byte*>(memory),
                        [](std::byte* gone) { static_cast<void>(cudaFreeHost(gone)); });
  }

  Result<std::unique_ptr<DeviceStream>> MakeStream() override {
    PENSTOCK_RETURN_IF_ERROR(Choose());
    cudaStream_t stream = nullptr;
    PENSTOCK_RETURN_IF_ERROR(
        Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a stream"));
    return std::unique_ptr<DeviceStream>(std::make_unique<CudaStream>(number_, stream));
  }

  // Who waits for it sleeps: the processors have partitions of their own.
  Result<std::unique_ptr<DeviceEvent>> MakeEvent() override {
    PENSTOCK_RETURN_IF_ERROR(Choose());
    cudaEvent_t event = nullptr;
    PENSTOCK_RETURN_IF_ERROR(
        Check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
              "make an event"));
    return std::unique_ptr<DeviceEvent>(std::make_unique<CudaEvent>(event));
  }

 private:
  Status Choose() const { return Check(cudaSetDevice(number_), "choose the device"); }

  const int number_;
  const std::string name_;
};

}  // namespace

bool HasCudaBackEnd() { return true; }

Result<std::shared_ptr<Device>> OpenCudaDevice(int number) {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted != cudaSuccess || number < 0 || number >= count) {
    static_cast<void>(cudaGetLastError());
    const std::string found =
        counted != cudaSuccess ? cudaGetErrorString(counted) : std::to_string(count) + " devices";
    return Error::NotFound("there is no CUDA device " + std::to_string(number))
        .Found(found)
        .Advice("look what nvidia-smi says; without a device the processors do the work");
  }
  cudaDeviceProp properties = {};
  PENSTOCK_RETURN_IF_ERROR(
      Check(cudaGetDeviceProperties(&properties, number), "ask for the device"));
  return std::shared_ptr<Device>(std::make_shared<CudaDevice>(number, properties.name));
}

}  // namespace penstock
