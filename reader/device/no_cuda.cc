// In builds without the back end for CUDA.

#include "penstock/reader/device.h"

namespace penstock {

bool HasCudaBackEnd() { return false; }

Result<std::shared_ptr<Device>> OpenCudaDevice(int) {
  return Error::Unsupported("this build of penstock has no back end for CUDA")
      .Advice("build it with -DPENSTOCK_CUDA=ON, or do without a device");
}

}  // namespace penstock
