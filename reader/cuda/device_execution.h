// One block of a kernel on a CUDA device (device/kernels/execution.h).

#ifndef PENSTOCK_READER_CUDA_DEVICE_EXECUTION_H_
#define PENSTOCK_READER_CUDA_DEVICE_EXECUTION_H_

#include <cuda_runtime.h>

#include "reader/device/kernels/execution.h"

namespace penstock::device_kernels {

template <typename Kernel>
class DeviceExecution {
 public:
  using Shared = typename Kernel::Shared;
  using Registers = typename Kernel::Registers;

  __device__ __forceinline__ explicit DeviceExecution(Shared& shared) : shared_(shared) {}

  __device__ __forceinline__ GridShape block() const {
    return {blockIdx.x, blockIdx.y, blockIdx.z};
  }
  __device__ __forceinline__ GridShape blocks() const { return {gridDim.x, gridDim.y, gridDim.z}; }
  __device__ __forceinline__ Shared& shared() { return shared_; }

  template <typename Body>
  __device__ __forceinline__ void EachThread(const Body& body) {
    body(static_cast<int>(threadIdx.x), registers_);
    __syncthreads();
  }

 private:
  Shared& shared_;
  Registers registers_;
};

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocksPerProcessor)
    RunKernel(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  DeviceExecution<Kernel> execution(shared);
  kernel(execution);
}

template <typename Kernel>
void LaunchKernel(const Kernel& kernel, cudaStream_t stream) {
  const GridShape grid = kernel.grid();
  RunKernel<<<dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                   static_cast<unsigned>(grid.z)),
              Kernel::kThreads, 0, stream>>>(kernel);
}

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_CUDA_DEVICE_EXECUTION_H_
