#include "reader/cuda/device_execution.h"
#include "reader/cuda/launch.h"
#include "reader/device/kernels/dispatch.h"

namespace penstock {

bool LaunchOnCuda(const MaskProductCall& call, cudaStream_t stream) {
  return device_kernels::Dispatch(
      call, [stream](const auto& kernel) { device_kernels::LaunchKernel(kernel, stream); });
}

}  // namespace penstock
