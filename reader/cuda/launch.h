// Launches of the kernels, one source file per family, because each takes nvcc a while.

#ifndef PENSTOCK_READER_CUDA_LAUNCH_H_
#define PENSTOCK_READER_CUDA_LAUNCH_H_

#include <cuda_runtime.h>

#include "reader/device/kernel_call.h"

namespace penstock {

// False where there is no kernel for these types; errors of the launch are the runtime's last one.
bool LaunchOnCuda(const MaskProductCall& call, cudaStream_t stream);
bool LaunchOnCuda(const PieceSumsCall& call, cudaStream_t stream);
bool LaunchOnCuda(const RunSumsCall& call, cudaStream_t stream);
bool LaunchOnCuda(const FrameSumsCall& call, cudaStream_t stream);
bool LaunchOnCuda(const MomentsCall& call, cudaStream_t stream);
bool LaunchOnCuda(const TakeShiftCall& call, cudaStream_t stream);
bool LaunchOnCuda(const ShiftedMomentsCall& call, cudaStream_t stream);

}  // namespace penstock

#endif  // PENSTOCK_READER_CUDA_LAUNCH_H_
