// PassDevices: what of a pass goes to a device, and who takes it there.

#ifndef PENSTOCK_READER_DEVICE_PASS_DEVICES_H_
#define PENSTOCK_READER_DEVICE_PASS_DEVICES_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "penstock/reader/reader.h"
#include "penstock/reader/reduction.h"
#include "reader/device/device_worker.h"

namespace penstock {

class PassDevices {
 public:
  PassDevices() = default;
  // After Begin of the reductions. Without workers where the options name no device, and, with a
  // note, where it can't take part.
  static PassDevices Make(const PassPlan& plan, std::span<Reduction* const> reductions,
                          const PassOptions& options);

  const std::string& note() const { return note_; }
  // How many threads the pass has, where there would be `processors` without a device: the first
  // ones are those of the device.
  int ThreadsBeside(int processors) const;
  // The worker of a thread, once; null: it has none. From several threads.
  std::unique_ptr<DeviceWorker> Take(int thread);

 private:
  std::vector<std::unique_ptr<DeviceWorker>> workers_;
  bool alone_ = false;
  std::string note_;
};

}  // namespace penstock

#endif  // PENSTOCK_READER_DEVICE_PASS_DEVICES_H_
