#include "reader/cuda/device_execution.h"
#include "reader/cuda/launch.h"
#include "reader/device/kernels/dispatch.h"

namespace penstock {

namespace {

template <typename Call>
bool Launch(const Call& call, cudaStream_t stream) {
  return device_kernels::Dispatch(
      call, [stream](const auto& kernel) { device_kernels::LaunchKernel(kernel, stream); });
}

}  // namespace

bool LaunchOnCuda(const PieceSumsCall& call, cudaStream_t stream) { return Launch(call, stream); }
bool LaunchOnCuda(const RunSumsCall& call, cudaStream_t stream) { return Launch(call, stream); }
bool LaunchOnCuda(const FrameSumsCall& call, cudaStream_t stream) { return Launch(call, stream); }
bool LaunchOnCuda(const MomentsCall& call, cudaStream_t stream) { return Launch(call, stream); }
bool LaunchOnCuda(const TakeShiftCall& call, cudaStream_t stream) { return Launch(call, stream); }
bool LaunchOnCuda(const ShiftedMomentsCall& call, cudaStream_t stream) {
  return Launch(call, stream);
}

}  // namespace penstock
