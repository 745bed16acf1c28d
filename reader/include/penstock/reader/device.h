// Devices (GPUs) that take partitions of a pass beside the processors: PassOptions::device.
//
// Sums over masks, sums and moments over frames, centres of mass and radial sums have a form for
// devices; a pass with anything else in it is done by the processors alone, as are passes over
// views. A Device may serve several passes at once, from several threads.

#ifndef PENSTOCK_READER_DEVICE_H_
#define PENSTOCK_READER_DEVICE_H_

#include <memory>
#include <string>

#include "penstock/base/result.h"

namespace penstock {

class Device;

// Whether this build has the back end for CUDA (-DPENSTOCK_CUDA=ON).
bool HasCudaBackEnd();

// Device `number` as the CUDA runtime counts them. kUnsupported in a build without the back end,
// kNotFound where there is no such device or no driver for it.
Result<std::shared_ptr<Device>> OpenCudaDevice(int number = 0);

std::string NameOf(const Device& device);

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_H_
